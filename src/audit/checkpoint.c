#include "postgres.h"

#include "common/base64.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "audit/block.h"
#include "audit/checkpoint.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"
#include "keyring/keyring.h"

/* Signature type Ed25519 of c2sp.org/signed-note */
#define NOTE_ED25519 0x01
#define NOTE_KEY_ID_BYTES 4

/* A signature line begins with an em dash and a space */
#define NOTE_SIGNATURE_MARK "\xE2\x80\x94 "

static SPIPlanPtr origin_plan = NULL;
static SPIPlanPtr create_plan = NULL;

PG_FUNCTION_INFO_V1(hub_audit_checkpoint);
PG_FUNCTION_INFO_V1(hub_audit_public_key);

/* Encode in base64, with padding */
char *
checkpoint_base64(const void *bytes, Size len)
{
	int			room = pg_b64_enc_len((int) len);
	char	   *text = palloc(room + 1);
	int			used = pg_b64_encode(bytes, (int) len, text, room);

	Assert(used >= 0);
	text[used] = '\0';
	return text;
}

/* Read the name of the log; NULL before the first block */
char *
checkpoint_origin(void)
{
	SPI_execute_plan(engine_prepare(&origin_plan,
									"SELECT 'customer_hub/' || l.log_id FROM hub.audit_log l", 0, NULL),
					 NULL, NULL, true, 1);
	if (SPI_processed == 0)
		return NULL;
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* Name the log, if nobody has */
char *
checkpoint_create_origin(void)
{
	char	   *origin = checkpoint_origin();

	if (origin != NULL)
		return origin;
	SPI_execute_plan(engine_prepare(&create_plan,
									"INSERT INTO hub.audit_log DEFAULT VALUES "
									"RETURNING 'customer_hub/' || log_id", 0, NULL),
					 NULL, NULL, false, 1);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CH_AUDIT_UNAVAILABLE),
				 errmsg("the audit log cannot be named"),
				 errhint("A trigger on hub.audit_log keeps the row from being inserted; drop it.")));
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* Compute the key id: SHA-256(name || 0x0A || type || public key), its first four bytes */
static void
key_id(const char *name, const uint8 *public_key, uint8 *id)
{
	StringInfoData buf;
	uint8		hash[KEYRING_HASH_BYTES];

	initStringInfo(&buf);
	appendStringInfoString(&buf, name);
	appendStringInfoChar(&buf, '\n');
	appendStringInfoChar(&buf, NOTE_ED25519);
	appendBinaryStringInfo(&buf, (const char *) public_key, KEYRING_PUBLIC_KEY_BYTES);
	keyring_sha256(buf.data, buf.len, hash);
	memcpy(id, hash, NOTE_KEY_ID_BYTES);
	pfree(buf.data);
}

/* Write the text that is signed */
static void
checkpoint_text(StringInfo note, const char *origin, uint64 size, const MerkleHash *root)
{
	appendStringInfo(note, "%s\n" UINT64_FORMAT "\n%s\n", origin, size,
					 checkpoint_base64(root->bytes, MERKLE_HASH_BYTES));
}

/* Make and sign a checkpoint */
char *
checkpoint_sign(const char *origin, uint64 size, const MerkleHash *root)
{
	StringInfoData note;
	uint8		public_key[KEYRING_PUBLIC_KEY_BYTES];
	uint8		signature[NOTE_KEY_ID_BYTES + KEYRING_SIGNATURE_BYTES];

	initStringInfo(&note);
	checkpoint_text(&note, origin, size, root);
	keyring_public_key(SIGNING_KEY_CHECKPOINT, public_key);
	key_id(origin, public_key, signature);
	keyring_sign(SIGNING_KEY_CHECKPOINT, note.data, note.len, signature + NOTE_KEY_ID_BYTES);
	appendStringInfo(&note, "\n%s%s %s\n", NOTE_SIGNATURE_MARK, origin,
					 checkpoint_base64(signature, sizeof(signature)));
	return note.data;
}

/* Is the note a checkpoint of exactly that, signed by this hub's key? */
bool
checkpoint_verify(const char *note, const char *origin, uint64 size, const MerkleHash *root)
{
	StringInfoData text;
	uint8		public_key[KEYRING_PUBLIC_KEY_BYTES];
	uint8		expected_id[NOTE_KEY_ID_BYTES];
	uint8		signature[NOTE_KEY_ID_BYTES + KEYRING_SIGNATURE_BYTES + 3];
	Size		signed_len;
	int			len;

	initStringInfo(&text);
	checkpoint_text(&text, origin, size, root);
	signed_len = text.len;
	appendStringInfo(&text, "\n%s%s ", NOTE_SIGNATURE_MARK, origin);
	if (strncmp(note, text.data, text.len) != 0)
		return false;
	len = strlen(note) - text.len;
	if (len < 1 || note[text.len + len - 1] != '\n')
		return false;
	/* unsigned bytes since PG 18, signed before: void fits both */
	len = pg_b64_decode(note + text.len, len - 1, (void *) signature, sizeof(signature));
	if (len != NOTE_KEY_ID_BYTES + KEYRING_SIGNATURE_BYTES)
		return false;
	keyring_public_key(SIGNING_KEY_CHECKPOINT, public_key);
	key_id(origin, public_key, expected_id);
	return memcmp(expected_id, signature, NOTE_KEY_ID_BYTES) == 0 &&
		keyring_verify_signature(public_key, text.data, signed_len,
								 signature + NOTE_KEY_ID_BYTES);
}

/* Return the last checkpoint, as it was signed when its block was sealed */
Datum
hub_audit_checkpoint(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	AuditBlock	block;
	text	   *result = NULL;

	SPI_connect();
	if (block_last(&block))
	{
		MemoryContext old_context = MemoryContextSwitchTo(caller);

		result = cstring_to_text(block.checkpoint);
		MemoryContextSwitchTo(old_context);
	}
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}

/* Return the key that checkpoints are verified with, as c2sp.org/signed-note writes it */
Datum
hub_audit_public_key(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	uint8		key[1 + KEYRING_PUBLIC_KEY_BYTES];
	uint8		id[NOTE_KEY_ID_BYTES];
	char	   *origin;
	text	   *result = NULL;

	key[0] = NOTE_ED25519;
	keyring_public_key(SIGNING_KEY_CHECKPOINT, key + 1);
	SPI_connect();
	origin = checkpoint_origin();
	if (origin != NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(caller);
		StringInfoData vkey;

		key_id(origin, key + 1, id);
		initStringInfo(&vkey);
		appendStringInfo(&vkey, "%s+%02x%02x%02x%02x+%s", origin, id[0], id[1], id[2], id[3],
						 checkpoint_base64(key, sizeof(key)));
		result = cstring_to_text_with_len(vkey.data, vkey.len);
		MemoryContextSwitchTo(old_context);
	}
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}
