/*
 * carrier.c: the GUC customer_hub.identity.
 *
 * Its value is text that authenticate made: the identity, a stamp of the
 * transaction, and a MAC under a key of the keyring over both. The GUC machinery
 * takes it back at the end of the transaction, rolls it back with savepoints and
 * copies it to parallel workers. The value is never printed.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "foundation/compat.h"
#include "foundation/errors.h"
#include "identity/carrier.h"
#include "keyring/keyring.h"

#define CARRIER_NAME "customer_hub.identity"
#define CARRIER_VERSION "hubid1:"
#define CARRIER_MAC_BYTES 32

/* An identity with the transaction that it belongs to */
typedef struct Carrier
{
	Identity	identity;
	int32		leader_pid;
	uint32		lxid;			/* LocalTransactionId of the leader */
} Carrier;

#define CARRIER_BODY_LEN (sizeof(CARRIER_VERSION) - 1 + 2 * sizeof(Carrier))
#define CARRIER_LEN (CARRIER_BODY_LEN + 2 * CARRIER_MAC_BYTES)

/* The GUC itself; nobody reads it, the assign hook leaves what it means in current */
static char *carrier_text = NULL;
static const Carrier *current = NULL;

bool		identity_carried = false;

/* Return the process whose transaction this is: ours, or a parallel worker's leader */
static PGPROC *
transaction_owner(void)
{
	if (MyProc == NULL)
		return NULL;
	return MyProc->lockGroupLeader != NULL ? MyProc->lockGroupLeader : MyProc;
}

/* Was the carrier made in this very transaction? */
static bool
stamp_is_ours(const Carrier *carrier)
{
	PGPROC	   *owner = transaction_owner();

	return owner != NULL &&
		carrier->lxid != InvalidLocalTransactionId &&
		carrier->lxid == compat_proc_lxid(owner) &&
		carrier->leader_pid == owner->pid;
}

/* Read a carrier's text; false when it is malformed or its MAC is wrong */
static bool
parse_carrier(const char *text, Carrier *carrier)
{
	uint8		mac[CARRIER_MAC_BYTES];
	Size		version_len = sizeof(CARRIER_VERSION) - 1;

	if (strlen(text) != CARRIER_LEN || strncmp(text, CARRIER_VERSION, version_len) != 0)
		return false;
	/* hex_decode() raises an error, which would quote the text */
	if (strspn(text + version_len, "0123456789abcdef") != CARRIER_LEN - version_len)
		return false;
	if (!keyring_available())
		return false;
	hex_decode(text + CARRIER_BODY_LEN, 2 * CARRIER_MAC_BYTES, (char *) mac);
	if (!keyring_mac_verify(SERVICE_KEY_IDENTITY, text, CARRIER_BODY_LEN, mac, sizeof(mac)))
		return false;
	hex_decode(text + version_len, 2 * sizeof(Carrier), (char *) carrier);
	return true;
}

/*
 * Refuse every value but one that authenticate made in this transaction.
 *
 * A parallel worker must not raise an error here, since the server would add
 * the value to its context; there a value that does not count means nobody.
 */
static bool
check_carrier(char **newval, void **extra, GucSource source)
{
	Carrier		carrier;
	Carrier    *kept;

	*extra = NULL;
	if (*newval == NULL || **newval == '\0')
		return true;

	if (source != PGC_S_SESSION ||
		!parse_carrier(*newval, &carrier) ||
		!stamp_is_ours(&carrier))
	{
		if (InitializingParallelWorker)
			return true;
		GUC_check_errcode(ERRCODE_CH_NOT_PERMITTED);
		GUC_check_errmsg("parameter \"%s\" cannot be set directly", CARRIER_NAME);
		GUC_check_errhint("Call hub.authenticate within the transaction.");
		return false;
	}

	kept = compat_guc_malloc(sizeof(Carrier));
	if (kept == NULL)
		return false;
	memcpy(kept, &carrier, sizeof(Carrier));
	*extra = kept;
	return true;
}

/* Make what the check hook found the current carrier */
static void
assign_carrier(const char *newval, void *extra)
{
	current = extra;
	identity_carried = current != NULL;
	identity_held |= identity_carried;
	identity_changes++;
}

/* Show nothing, whoever asks */
static const char *
show_carrier(void)
{
	return "";
}

/* Define the GUC; called once from identity_init */
void
carrier_init(void)
{
	DefineCustomStringVariable(CARRIER_NAME,
							   "Carries the identity of the transaction; set by hub.authenticate only.",
							   "Its value is never shown.",
							   &carrier_text,
							   "",
							   PGC_USERSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   check_carrier, assign_carrier, show_carrier);
}

/* Return the token identity of this transaction */
const Identity *
carrier_identity(void)
{
	if (current == NULL || !stamp_is_ours(current))
		return NULL;
	return &current->identity;
}

/* Put an identity into the carrier, for this transaction */
void
carrier_set(const Identity *identity)
{
	PGPROC	   *owner = transaction_owner();
	char		text[CARRIER_LEN + 1];
	uint8		mac[CARRIER_MAC_BYTES];
	Size		version_len = sizeof(CARRIER_VERSION) - 1;
	Carrier		carrier;

	/* padding included, since all bytes go into the text */
	memset(&carrier, 0, sizeof(Carrier));
	memcpy(&carrier.identity, identity, sizeof(Identity));
	carrier.leader_pid = owner->pid;
	carrier.lxid = compat_proc_lxid(owner);

	memcpy(text, CARRIER_VERSION, version_len);
	hex_encode((const char *) &carrier, sizeof(Carrier), text + version_len);
	keyring_mac(SERVICE_KEY_IDENTITY, text, CARRIER_BODY_LEN, mac, sizeof(mac));
	hex_encode((const char *) mac, sizeof(mac), text + CARRIER_BODY_LEN);
	text[CARRIER_LEN] = '\0';

	set_config_option(CARRIER_NAME, text, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
					  false);
	explicit_bzero(text, sizeof(text));
}
