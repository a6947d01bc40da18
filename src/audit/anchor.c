/*
 * anchor.c: writing checkpoints to a file, and holding the log against one.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"

#include "audit/anchor.h"
#include "audit/block.h"
#include "audit/checkpoint.h"
#include "audit/log_key.h"
#include "foundation/settings.h"

/* Longest note that is looked for at the end of a file */
#define NOTE_BYTES 1024

/* Anchoring has failed and was reported */
static bool failing = false;

/* Name the file of a log; a copy of the database is another one, which goes its own way */
static bool
file_name(const char *origin, char *path)
{
	const char *directory = settings_audit_anchor_directory();
	const char *log_id = strrchr(origin, '/');

	if (directory[0] == '\0' || log_id == NULL)
		return false;
	snprintf(path, MAXPGPATH, "%s/%.36s-%u.checkpoints", directory, log_id + 1, MyDatabaseId);
	return true;
}

/* Report the first of several failures */
static void
report_failure(const char *path)
{
	if (!failing)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write audit checkpoint to file \"%s\": %m", path),
				 errhint("The audit trail is written all the same; the next checkpoint is tried again.")));
	failing = true;
}

/* Append a checkpoint; see anchor.h */
void
anchor_append(const char *note)
{
	char		path[MAXPGPATH];
	char		line[NOTE_BYTES + 2];
	char	   *end;
	struct stat status;
	int			len;
	int			fd;

	/* the first line is the log's name */
	strlcpy(line, note, sizeof(line));
	end = strchr(line, '\n');
	if (end == NULL)
		return;
	*end = '\0';
	if (!file_name(line, path))
		return;
	len = snprintf(line, sizeof(line), "%s\n", note);
	if (len >= (int) sizeof(line))
		return;

	fd = BasicOpenFilePerm(path, O_WRONLY | O_APPEND | O_CREAT | PG_BINARY, S_IRUSR | S_IWUSR);
	if (fd < 0 || fstat(fd, &status) != 0)
	{
		report_failure(path);
		if (fd >= 0)
			(void) close(fd);
		return;
	}
	errno = 0;
	if (write(fd, line, len) != len || pg_fsync(fd) != 0)
	{
		if (errno == 0)
			errno = ENOSPC;
		report_failure(path);
		/* half a note would run into the next one */
		if (ftruncate(fd, status.st_size) != 0)
			report_failure(path);
	}
	else
		failing = false;
	(void) close(fd);
}

/* Tell how long a note is that is whole, up to its last line; 0 for one that was cut short */
static Size
note_length(const char *note, const char *origin)
{
	const char *end = strstr(note, "\n\n" NOTE_SIGNATURE_MARK);
	const char *next = note;

	if (end == NULL)
		return 0;
	/* a note that a crash cut short is followed by the line that the next one begins with */
	while ((next = strstr(next + 1, origin)) != NULL && next < end)
	{
		if (next[strlen(origin)] == '\n')
			return 0;
	}
	end += 2;
	while (strncmp(end, NOTE_SIGNATURE_MARK, strlen(NOTE_SIGNATURE_MARK)) == 0)
	{
		end = strchr(end, '\n');
		if (end == NULL)
			return 0;
		end++;
	}
	/* an empty line ends each note in the file */
	return *end == '\n' ? end - note : 0;
}

/* Read the last checkpoint of a file; see anchor.h */
char *
anchor_last(const char *origin)
{
	char		path[MAXPGPATH];
	char		tail[2 * NOTE_BYTES + 1];
	char	   *found = NULL;
	Size		found_len = 0;
	char	   *at = tail;
	struct stat status;
	ssize_t		len;
	int			fd;

	if (!file_name(origin, path))
		return NULL;
	fd = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) != 0)
		status.st_size = 0;
	len = pg_pread(fd, tail, sizeof(tail) - 1,
				   Max((off_t) 0, status.st_size - (off_t) sizeof(tail) + 1));
	(void) close(fd);
	if (len <= 0)
		return NULL;
	tail[len] = '\0';

	/* a note begins with the log's name and the end of its line; its signature line has the name, too */
	while ((at = strstr(at, origin)) != NULL)
	{
		if (at[strlen(origin)] == '\n' && note_length(at, origin) > 0)
		{
			found = at;
			found_len = note_length(at, origin);
		}
		at++;
	}
	return found ? pnstrdup(found, found_len) : NULL;
}

/* Hold the log against a checkpoint; see anchor.h */
const char *
anchor_check(const char *kept, const char *origin, uint64 size)
{
	char	   *note = psprintf("%s\n", kept);
	const char *line = strchr(note, '\n');
	uint64		noted;
	MerkleRange range;
	MerkleHash	root;
	CheckpointKeys signers;

	/* whoever kept it may have kept more or fewer empty lines at its end */
	for (Size len = strlen(note); len > 1 && note[len - 2] == '\n'; len--)
		note[len - 1] = '\0';
	if (strncmp(note, origin, line - note) != 0 || origin[line - note] != '\0')
		return "the checkpoint that was kept is of another log";
	noted = strtoull(line + 1, NULL, 10);
	if (noted > size)
		return psprintf("the log has " UINT64_FORMAT " blocks, and had " UINT64_FORMAT
						" when the checkpoint was made", size, noted);
	if (noted == 0)
		return "the checkpoint that was kept is of no block";
	block_log_range(noted, &range);
	merkle_range_root(&range, &root);
	signers = log_keys_of_size(log_keys_read(), noted);
	if (!checkpoint_is_of(note, origin, noted, &root, signers) ||
		!checkpoint_is_signed(note, origin, signers, true))
		return "the log is not the one that the checkpoint was made of, or the checkpoint is not signed by the key of that time";
	return NULL;
}
