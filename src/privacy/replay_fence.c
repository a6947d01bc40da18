/*
 * replay_fence.c: tell a database that was restored from before an erasure.
 *
 * The number of erased subjects is kept beside the root keys too, in a file that
 * no backup of the database brings back. A database whose ledger is shorter has
 * forgotten erasures; until they are replayed it shows no protected value.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "foundation/catalog.h"
#include "foundation/engine.h"
#include "foundation/errors.h"
#include "foundation/settings.h"
#include "identity/identity.h"
#include "privacy/replay_fence.h"

#define COUNT_TEXT_BYTES 32

PG_FUNCTION_INFO_V1(hub_note_erasures);

/* Once a backend has found nothing missing, nothing can get lost under it */
static bool nothing_missing = false;

/*
 * Return the file that counts the erasures of this hub, and how many its ledger
 * has; NULL when there is nowhere to keep it, or the hub has no name yet.
 */
static char *
fence_file(int64 *erased)
{
	static SPIPlanPtr plan = NULL;
	char	   *path = NULL;
	char	   *name;
	bool		isnull;
	EngineScope scope;
	MemoryContext caller = CurrentMemoryContext;

	*erased = 0;
	if (settings_key_directory()[0] == '\0')
		return NULL;
	engine_begin(&scope);
	SPI_execute_plan(engine_prepare(&plan,
									"SELECT l.log_id::pg_catalog.text, "
									"(SELECT pg_catalog.count(*) FROM hub.erasure_ledger) "
									"FROM hub.audit_log l", 0, NULL),
					 NULL, NULL, true, 1);
	if (SPI_processed == 1)
	{
		name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		*erased = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
		path = MemoryContextStrdup(caller, psprintf("%s/erasures-%s", settings_key_directory(), name));
	}
	engine_end(&scope);
	return path;
}

/* Read a count; a file that is not there counts nothing */
static int64
read_count(const char *path)
{
	char		text[COUNT_TEXT_BYTES] = {0};
	int			fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	ssize_t		len;

	if (fd < 0)
	{
		if (errno == ENOENT)
			return 0;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open the count of erasures in the key directory: %m")));
	}
	len = read(fd, text, sizeof(text) - 1);
	CloseTransientFile(fd);
	if (len <= 0 || strspn(text, "0123456789\n") != (size_t) len)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the count of erasures in the key directory is not a number")));
	return strtoll(text, NULL, 10);
}

/* Replace a count, durably; a directory that cannot be written to is no reason to stop erasing */
static void
write_count(const char *path, int64 count)
{
	char	   *temporary = psprintf("%s.new", path);
	char		text[COUNT_TEXT_BYTES];
	int			len = snprintf(text, sizeof(text), INT64_FORMAT "\n", count);
	int			fd = OpenTransientFilePerm(temporary, O_CREAT | O_TRUNC | O_WRONLY | PG_BINARY,
										   S_IRUSR | S_IWUSR);
	bool		written = fd >= 0 && write(fd, text, len) == len && pg_fsync(fd) == 0;

	if (fd >= 0 && CloseTransientFile(fd) != 0)
		written = false;
	if (!written || durable_rename(temporary, path, LOG) != 0)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not write the count of erasures to the key directory: %m"),
				 errhint("A restored backup will not be found to have forgotten this erasure; replay the ledger after any restore.")));
}

/*
 * Count the erasures that are committed.
 *
 * A count of more, once it stands beside the keys, would outlive the rollback of
 * what it counts, and keep the hub from serving.
 */
static int64
count_committed(void)
{
	Relation	relation = table_open(catalog_relation("erasure_ledger"), AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	int64		count = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
			count++;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return count;
}

/* Note how many subjects are erased; with force, also when there had been more */
Datum
hub_note_erasures(PG_FUNCTION_ARGS)
{
	bool		force = PG_GETARG_BOOL(0);
	int64		erased;
	char	   *path = fence_file(&erased);

	erased = count_committed();
	if (path != NULL && (force || read_count(path) < erased))
		write_count(path, erased);
	PG_RETURN_VOID();
}

/* Say what the identity may see of a data class, unless erasures have to be replayed first */
Disclosure
replay_fence_decide(uint16 class_id)
{
	Disclosure	disclosure = identity_clearance(class_id);
	int64		erased;
	char	   *path;

	if (nothing_missing || disclosure <= DISCLOSURE_DENY)
		return disclosure;
	path = fence_file(&erased);
	if (path == NULL)
		return disclosure;
	if (read_count(path) > erased)
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_REPLAYED),
				 errmsg("this database has forgotten erasures"),
				 errdetail("It was restored from a backup that is older than they are."),
				 errhint("CALL hub.replay_erasures() with the ledger that hub.export_erasure_ledger() returned last.")));
	nothing_missing = true;
	pfree(path);
	return disclosure;
}
