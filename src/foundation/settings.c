#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "foundation/settings.h"

/* Lets the install script see that the library was preloaded. */
static bool preloaded = false;

/*
 * Where the epoch keys are. A directory outside the data directory, so that a
 * copy of the data directory never holds the key to itself.
 */
static char *key_directory = NULL;

/*
 * For keys that live in a KMS or Vault: a command that prints one epoch key,
 * %e standing for the epoch. Run by the postmaster, once per epoch.
 */
static char *key_command = NULL;

/*
 * A token that lives for a day is a password. The cap holds whatever the
 * issuer signs.
 */
static int	token_max_lifetime = 3600;

/* Issuer and database rarely agree to the second. */
static int	token_clock_skew = 30;

/* Extra clearance that lasts is ordinary clearance without its approval. */
static int	break_glass_max = 60;

/* A count of few people tells about each of them. */
static int	statistics_threshold = 5;

/*
 * The server log is read by people who hold no clearance, so statements and
 * values of sessions that hold an identity stay out of it.
 */
static bool redact_log = true;

/*
 * A scan over many people wants all their keys at hand. They lie in locked
 * memory, which is not to be had without end.
 */
static int	key_cache_size = 32 * 1024;

/*
 * EXPLAIN ANALYZE counts the rows that a policy removed, which tells about rows
 * of others. On for a session, it lets a DBA tune what a member runs.
 */
static bool allow_explain_analyze = false;

/* How many databases of one server can have an audit worker at a time. */
static int	audit_databases = 8;

/* How many reveals may wait for the audit worker before readers wait too. */
static int	reveal_ring_size = 8192;

/* How long an event may stay unsealed; shorter means more and smaller blocks. */
static int	seal_interval = 1000;

/*
 * A standby cannot write the audit, so by default it shows no plaintext; with
 * this on it does, and writes each reveal to the server log instead.
 */
static bool standby_reveal = false;

/*
 * Off, a reveal is in shared memory before its plaintext goes out, and lost if the
 * machine dies within the next milliseconds. On, it is on disk first.
 */
static bool durable_reveal = false;

/*
 * Who changes tables can change blocks with them. Checkpoints in a directory that
 * is backed up elsewhere, or only ever added to, show it.
 */
static char *audit_anchor_directory = NULL;

/* Define every setting and reserve the prefix; called once from _PG_init */
void
settings_init(void)
{
	DefineCustomBoolVariable("customer_hub.preloaded",
							 "Shows that customer_hub was loaded at server start.",
							 NULL,
							 &preloaded,
							 false,
							 PGC_INTERNAL,
							 GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							 NULL, NULL, NULL);
	SetConfigOption("customer_hub.preloaded", "on", PGC_INTERNAL, PGC_S_DYNAMIC_DEFAULT);

	DefineCustomStringVariable("customer_hub.key_directory",
							   "Directory that holds one 32-byte hexadecimal key file per epoch.",
							   "Must be outside the data directory; files must have mode 0600.",
							   &key_directory,
							   "",
							   PGC_POSTMASTER,
							   GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);

	DefineCustomStringVariable("customer_hub.key_command",
							   "Command that prints the hexadecimal key of the epoch %e.",
							   "Used instead of customer_hub.key_directory.",
							   &key_command,
							   "",
							   PGC_POSTMASTER,
							   GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);

	DefineCustomIntVariable("customer_hub.token_max_lifetime",
							"Longest lifetime of a token that hub.authenticate accepts.",
							NULL,
							&token_max_lifetime,
							3600, 1, INT_MAX / 1000,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomIntVariable("customer_hub.token_clock_skew",
							"How far the issuer's clock may differ from the server's.",
							NULL,
							&token_clock_skew,
							30, 0, 300,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomIntVariable("customer_hub.break_glass_max",
							"Longest time that hub.break_glass gives extra clearance for; 0 turns it off.",
							NULL,
							&break_glass_max,
							60, 0, 24 * 60,
							PGC_SIGHUP,
							GUC_UNIT_MIN,
							NULL, NULL, NULL);

	DefineCustomIntVariable("customer_hub.statistics_threshold",
							"Smallest number of customers that hub.statistics counts as a group.",
							"Smaller groups are left out.",
							&statistics_threshold,
							5, 1, INT_MAX,
							PGC_SIGHUP,
							0,
							NULL, NULL, NULL);

	DefineCustomBoolVariable("customer_hub.redact_log",
							 "Hides statements and values of sessions that hold an identity from the server log.",
							 "The client still receives its own errors in full.",
							 &redact_log,
							 true,
							 PGC_SUSET,
							 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("customer_hub.key_cache_size",
							"Most memory that a session takes for keys of data subjects.",
							"Each takes 64 bytes; a session that needs more of them starts over.",
							&key_cache_size,
							32 * 1024, 64, 1024 * 1024,
							PGC_USERSET,
							GUC_UNIT_KB,
							NULL, NULL, NULL);

	DefineCustomBoolVariable("customer_hub.allow_explain_analyze",
							 "Lets members run EXPLAIN ANALYZE on governed relations.",
							 "It counts rows that no policy shows them.",
							 &allow_explain_analyze,
							 false,
							 PGC_SUSET,
							 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("customer_hub.audit_databases",
							"Number of databases of this server that can have an audit worker.",
							NULL,
							&audit_databases,
							8, 1, 1024,
							PGC_POSTMASTER,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("customer_hub.reveal_ring_size",
							"Number of reveals per database that can wait for the audit worker.",
							NULL,
							&reveal_ring_size,
							8192, 64, 1024 * 1024,
							PGC_POSTMASTER,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("customer_hub.seal_interval",
							"Time between two runs of the audit sealer.",
							NULL,
							&seal_interval,
							1000, 10, 3600 * 1000,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomBoolVariable("customer_hub.standby_reveal",
							 "Lets a standby show plaintext, each reveal going to the server log.",
							 NULL,
							 &standby_reveal,
							 false,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	DefineCustomBoolVariable("customer_hub.durable_reveal",
							 "Shows protected data only after the record of it is on disk.",
							 "Otherwise the record is in shared memory first, and on disk some milliseconds later.",
							 &durable_reveal,
							 false,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("customer_hub.audit_anchor_directory",
							   "Directory to which the checkpoints of the audit trail are also written.",
							   "Empty: to none. Keep it where the owner of the database cannot change files.",
							   &audit_anchor_directory,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);

	MarkGUCPrefixReserved("customer_hub");
}

/* Return the key directory, or an empty string */
const char *
settings_key_directory(void)
{
	return key_directory ? key_directory : "";
}

/* Return the key command, or an empty string */
const char *
settings_key_command(void)
{
	return key_command ? key_command : "";
}

/* Return the longest accepted token lifetime, in seconds */
int
settings_token_max_lifetime(void)
{
	return token_max_lifetime;
}

/* Return the accepted clock difference, in seconds */
int
settings_token_clock_skew(void)
{
	return token_clock_skew;
}

/* Tell whether the server log is redacted */
bool
settings_redact_log(void)
{
	return redact_log;
}

/* Return how large a session's cache of keys may grow, in kilobytes */
int
settings_key_cache_size(void)
{
	return key_cache_size;
}

/* Tell whether members may run EXPLAIN ANALYZE on governed relations */
bool
settings_allow_explain_analyze(void)
{
	return allow_explain_analyze;
}

/* Return how many databases can have an audit worker */
int
settings_audit_databases(void)
{
	return audit_databases;
}

/* Return the number of entries of one reveal ring */
int
settings_reveal_ring_size(void)
{
	return reveal_ring_size;
}

/* Return the time between two sealer runs, in milliseconds */
int
settings_seal_interval(void)
{
	return seal_interval;
}

/* Tell whether a standby may show plaintext */
bool
settings_standby_reveal(void)
{
	return standby_reveal;
}

/* Tell whether plaintext waits until the record of it is on disk */
bool
settings_durable_reveal(void)
{
	return durable_reveal;
}

/* Return the directory for checkpoints, or an empty string */
const char *
settings_audit_anchor_directory(void)
{
	return audit_anchor_directory ? audit_anchor_directory : "";
}
