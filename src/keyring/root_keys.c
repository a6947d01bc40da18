/*
 * root_keys.c: the root key of each epoch, read once by the postmaster.
 *
 * A problem with the keys does not keep the server from starting, since other
 * databases may live on it. It is remembered, and every use of the keyring
 * reports it.
 */
#include "postgres.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "port.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "foundation/errors.h"
#include "foundation/memory.h"
#include "foundation/settings.h"
#include "keyring/locked_memory.h"
#include "keyring/root_keys.h"

#define KEY_HEX_BYTES (ROOT_KEY_BYTES * 2)
#define KEY_COMMAND_TIMEOUT_MS 10000
#define KEY_COMMAND_TOTAL_TIMEOUT_MS 30000
#define DERIVATION_CONTEXT "custhub1"	/* crypto_kdf wants eight bytes */

typedef struct RootKey
{
	bool		loaded;
	uint8		key[ROOT_KEY_BYTES];
} RootKey;

/* Locked, non-dumpable, guarded memory of libsodium; entry 0 stands for epoch 1 */
static RootKey *root_keys = NULL;
static int	highest_epoch = 0;
static int	locked_by_pid = 0;

static int	problem_sqlstate = 0;
static char *problem = NULL;
static char *problem_hint = NULL;

/* Remember why keys cannot be used; the first reason is the one to report */
static void
remember_problem(int sqlstate, char *message, char *hint)
{
	if (problem != NULL)
		return;
	problem_sqlstate = sqlstate;
	problem = strdup(message);
	problem_hint = strdup(hint);
	ereport(WARNING,
			(errcode(sqlstate),
			 errmsg("customer_hub: %s", problem),
			 errhint("%s", problem_hint)));
}

/* Take 64 hexadecimal digits, with white space at the end allowed, as a key */
static bool
accept_key(int epoch, const char *text, Size len)
{
	RootKey    *root = &root_keys[epoch - 1];
	size_t		written = 0;

	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	if (len != KEY_HEX_BYTES ||
		sodium_hex2bin(root->key, ROOT_KEY_BYTES, text, len, NULL, &written, NULL) != 0 ||
		written != ROOT_KEY_BYTES ||
		sodium_is_zero(root->key, ROOT_KEY_BYTES))
	{
		sodium_memzero(root->key, ROOT_KEY_BYTES);
		return false;
	}
	root->loaded = true;
	highest_epoch = Max(highest_epoch, epoch);
	return true;
}

/* Is path the data directory, or below it? Both are resolved first */
static bool
path_inside_data_directory(const char *path)
{
	char		data_path[PATH_MAX];
	Size		len;

	if (realpath(DataDir, data_path) == NULL)
		return true;			/* cannot tell: refuse */
	len = strlen(data_path);
	return strncmp(path, data_path, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* Read one key file; false after a problem was remembered */
static bool
load_key_file(const char *path, int epoch)
{
	struct stat status;
	char		text[KEY_HEX_BYTES + 16];
	ssize_t		len;
	bool		accepted;
	int			fd = open(path, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0 || fstat(fd, &status) != 0)
	{
		remember_problem(ERRCODE_CH_KEY_UNAVAILABLE,
						 psprintf("could not read key file \"%s\": %s", path, strerror(errno)),
						 "The file must belong to the user that runs the server and have mode 0600.");
		if (fd >= 0)
			close(fd);
		return false;
	}
	if (!S_ISREG(status.st_mode) || (status.st_mode & (S_IRWXG | S_IRWXO)) != 0 ||
		(status.st_uid != geteuid() && status.st_uid != 0))
	{
		close(fd);
		remember_problem(ERRCODE_CH_KEY_UNAVAILABLE,
						 psprintf("key file \"%s\" is accessible to others", path),
						 "Make it belong to the user that runs the server, with mode 0600, and restart.");
		return false;
	}
	len = read(fd, text, sizeof(text));
	close(fd);
	accepted = len > 0 && accept_key(epoch, text, len);
	sodium_memzero(text, sizeof(text));
	if (!accepted)
		remember_problem(ERRCODE_CH_KEY_UNAVAILABLE,
						 psprintf("key file \"%s\" does not hold a key", path),
						 "A key file holds 64 hexadecimal digits, which must not all be zero.");
	return accepted;
}

/* Read epoch-N.key files of a directory that must be outside the data directory */
static void
load_key_directory(const char *directory)
{
	char		path[PATH_MAX];
	struct stat status;

	if (realpath(directory, path) == NULL || stat(path, &status) != 0 || !S_ISDIR(status.st_mode))
	{
		remember_problem(ERRCODE_CH_KEY_UNAVAILABLE,
						 psprintf("could not open key directory \"%s\"", directory),
						 "Set customer_hub.key_directory to a directory that the server can read, and restart.");
		return;
	}
	if (path_inside_data_directory(path))
	{
		remember_problem(ERRCODE_CH_KEY_UNAVAILABLE,
						 "customer_hub.key_directory is inside the data directory",
						 "A copy of the data directory would carry its own key. Move the keys elsewhere and restart.");
		return;
	}
	if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
	{
		remember_problem(ERRCODE_CH_KEY_UNAVAILABLE,
						 psprintf("key directory \"%s\" is writable by others", directory),
						 "Give it mode 0700 and restart.");
		return;
	}

	for (int epoch = 1; epoch <= ROOT_KEY_MAX_EPOCHS; epoch++)
	{
		char	   *file = psprintf("%s/epoch-%d.key", path, epoch);

		if (access(file, F_OK) == 0 && !load_key_file(file, epoch))
			return;
		pfree(file);
	}
	if (highest_epoch == 0)
		remember_problem(ERRCODE_CH_KEY_UNAVAILABLE,
						 psprintf("key directory \"%s\" holds no key", directory),
						 "Put 64 random hexadecimal digits into epoch-1.key there, mode 0600, and restart.");
}

/* Put the epoch in the place of %e; %% stands for a percent sign */
static char *
expand_key_command(const char *command, int epoch)
{
	StringInfoData expanded;

	initStringInfo(&expanded);
	for (const char *p = command; *p; p++)
	{
		if (p[0] == '%' && p[1] == 'e')
		{
			appendStringInfo(&expanded, "%d", epoch);
			p++;
		}
		else if (p[0] == '%' && p[1] == '%')
		{
			appendStringInfoChar(&expanded, '%');
			p++;
		}
		else
			appendStringInfoChar(&expanded, *p);
	}
	return expanded.data;
}

/* What became of one run of the key command */
typedef enum CommandResult
{
	COMMAND_PRINTED,			/* exited with 0 */
	COMMAND_DECLINED,			/* exited with another status: it has no such key */
	COMMAND_NOT_FOUND,			/* the shell could not run it */
	COMMAND_HUNG,
	COMMAND_PRINTED_TOO_MUCH,
	COMMAND_KILLED,
	COMMAND_NOT_STARTED			/* the system could not; errno says why */
} CommandResult;

/* Be the key command: the group of its own that can be ended, and nothing of the server's */
static void
become_key_command(const char *command, int output)
{
	sigset_t	none;
	int			nothing = open("/dev/null", O_RDONLY);

	setpgid(0, 0);
	dup2(nothing, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	for (int fd = STDERR_FILENO + 1; fd < 64; fd++)
		close(fd);
	/* the postmaster has signals blocked while it starts */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	execl("/bin/sh", "sh", "-c", command, (char *) NULL);
	_exit(127);
}

/* Read what a command prints until it closes its output; false when it hung or printed too much */
static bool
read_output(int fd, TimestampTz deadline, char *output, Size output_size, Size *used,
			CommandResult *result)
{
	for (;;)
	{
		struct pollfd watched = {.fd = fd, .events = POLLIN};
		long		remaining = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		ssize_t		got;

		*result = COMMAND_HUNG;
		if (remaining <= 0)
			return false;
		if (poll(&watched, 1, (int) remaining) <= 0)
			continue;
		*result = COMMAND_PRINTED_TOO_MUCH;
		if (*used == output_size)
			return false;
		got = read(fd, output + *used, output_size - *used);
		if (got == 0)
			return true;
		if (got > 0)
			*used += got;
	}
}

/* Wait for a command that may have closed its output and gone on; false when it hangs */
static bool
wait_for_exit(pid_t pid, TimestampTz deadline, int *status)
{
	for (;;)
	{
		pid_t		ended = waitpid(pid, status, WNOHANG);

		if (ended == pid || (ended < 0 && errno != EINTR))
			return true;
		if (TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline) <= 0)
			return false;
		pg_usleep(5000L);
	}
}

/* Run a command until a deadline and collect what it prints; it is gone afterwards */
static CommandResult
run_key_command(const char *command, TimestampTz deadline, char *output, Size output_size,
				Size *used)
{
	CommandResult result;
	int			fds[2];
	int			status = 0;
	bool		ended;
	pid_t		pid;

	*used = 0;
	if (pipe(fds) != 0)
		return COMMAND_NOT_STARTED;
	pid = fork();
	if (pid == 0)
		become_key_command(command, fds[1]);
	close(fds[1]);
	if (pid < 0)
	{
		close(fds[0]);
		return COMMAND_NOT_STARTED;
	}
	setpgid(pid, pid);			/* whoever of the two comes first */

	ended = read_output(fds[0], deadline, output, output_size, used, &result) &&
		wait_for_exit(pid, deadline, &status);
	close(fds[0]);
	if (!ended)
	{
		if (result != COMMAND_PRINTED_TOO_MUCH)
			result = COMMAND_HUNG;
		kill(-pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		return result;
	}
	/* a shell says so of its command's end by a signal */
	if (WIFSIGNALED(status) || WEXITSTATUS(status) > 128)
		return COMMAND_KILLED;
	if (WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 127)
		return COMMAND_NOT_FOUND;
	return WEXITSTATUS(status) == 0 ? COMMAND_PRINTED : COMMAND_DECLINED;
}

/* Say what is wrong with a key command, and never what it printed */
static void
report_key_command(CommandResult result, int epoch)
{
	char	   *hint = "It must print the 64 hexadecimal digits of the key and exit with 0, or with another status when there is no such epoch. Call it by hand as the user that runs the server, then restart.";
	char	   *reason = "did not print a key";

	switch (result)
	{
		case COMMAND_PRINTED:
		case COMMAND_DECLINED:
			break;
		case COMMAND_NOT_FOUND:
			reason = "could not be run";
			hint = "Give its whole path and let the user that runs the server execute it, then restart.";
			break;
		case COMMAND_HUNG:
			reason = "did not end in time";
			hint = "It has ten seconds for each epoch and thirty in all, and must not wait for input. See to the service behind it and restart.";
			break;
		case COMMAND_PRINTED_TOO_MUCH:
			reason = "printed more than a key";
			break;
		case COMMAND_KILLED:
			reason = "was ended by a signal";
			break;
		case COMMAND_NOT_STARTED:
			reason = psprintf("could not be started: %s", strerror(errno));
			hint = "See to the limits of the server's processes and restart.";
			break;
	}
	remember_problem(ERRCODE_CH_KEY_UNAVAILABLE,
					 psprintf("customer_hub.key_command %s for epoch %d", reason, epoch), hint);
}

/*
 * Ask the key command for the keys of epoch 1, 2, …
 *
 * It has none of those that are retired, which come first, nor after the last.
 * Whatever else happens than "there is no such epoch" is a problem.
 */
static void
load_key_command(const char *command)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												  KEY_COMMAND_TOTAL_TIMEOUT_MS);

	for (int epoch = 1; epoch <= ROOT_KEY_MAX_EPOCHS; epoch++)
	{
		char		output[KEY_HEX_BYTES + 16];
		char	   *expanded = expand_key_command(command, epoch);
		TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														   KEY_COMMAND_TIMEOUT_MS);
		Size		used;
		CommandResult result = run_key_command(expanded, Min(deadline, end), output,
											   sizeof(output), &used);
		bool		accepted = result == COMMAND_PRINTED && accept_key(epoch, output, used);

		sodium_memzero(output, sizeof(output));
		pfree(expanded);
		if (accepted && epoch > 1 && root_keys[epoch - 2].loaded &&
			sodium_memcmp(root_keys[epoch - 1].key, root_keys[epoch - 2].key, ROOT_KEY_BYTES) == 0)
		{
			remember_problem(ERRCODE_CH_KEY_UNAVAILABLE,
							 psprintf("customer_hub.key_command gave the key of epoch %d again for epoch %d",
									  epoch - 1, epoch),
							 "Put %e, which stands for the epoch, into the command; it must exit with a status other than 0 when there is no such epoch.");
			return;
		}
		if (accepted)
			continue;
		if (result != COMMAND_DECLINED)
		{
			report_key_command(result, epoch);
			return;
		}
		if (highest_epoch > 0)
			return;
	}
	if (highest_epoch == 0)
		remember_problem(ERRCODE_CH_KEY_UNAVAILABLE,
						 "customer_hub.key_command has no key for any epoch",
						 "It exited with a status other than 0 each time. Call it by hand as the user that runs the server, then restart.");
}

/* Load the keys; called by the postmaster from _PG_init, before any fork */
void
root_keys_load(void)
{
	if (sodium_init() < 0)
		ereport(FATAL,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not initialize libsodium")));

	root_keys = locked_alloc(ROOT_KEY_MAX_EPOCHS * sizeof(RootKey));
	locked_by_pid = MyProcPid;

	if (settings_key_directory()[0] != '\0' && settings_key_command()[0] != '\0')
		remember_problem(ERRCODE_CH_KEY_UNAVAILABLE,
						 "both customer_hub.key_directory and customer_hub.key_command are set",
						 "Keep one of them and restart.");
	else if (settings_key_directory()[0] != '\0')
		load_key_directory(settings_key_directory());
	else if (settings_key_command()[0] != '\0')
		load_key_command(settings_key_command());

	/* a half-loaded keyring is not used: it would hide the problem */
	if (problem != NULL)
	{
		sodium_memzero(root_keys, ROOT_KEY_MAX_EPOCHS * sizeof(RootKey));
		highest_epoch = 0;
	}
	sodium_mprotect_readonly(root_keys);
}

/* Lock the inherited keys again: memory locks do not survive a fork */
static void
relock(void)
{
	if (locked_by_pid == MyProcPid)
		return;
	locked_by_pid = MyProcPid;
	locked_again(root_keys, ROOT_KEY_MAX_EPOCHS * sizeof(RootKey));
}

/* Tell which setting the keys come from; NULL when neither is set */
const char *
root_keys_source(void)
{
	if (settings_key_directory()[0] != '\0')
		return "key_directory";
	return settings_key_command()[0] != '\0' ? "key_command" : NULL;
}

/* Is any root key loaded? */
bool
root_keys_any(void)
{
	return highest_epoch > 0;
}

/* Is the root key of an epoch loaded? */
bool
root_keys_loaded(int epoch)
{
	return root_keys != NULL && epoch >= 1 && epoch <= ROOT_KEY_MAX_EPOCHS &&
		root_keys[epoch - 1].loaded;
}

/* Return the highest epoch that has a key, or 0 */
int
root_keys_highest_epoch(void)
{
	return highest_epoch;
}

/* Return the SQLSTATE of what is wrong with the keys */
int
root_keys_sqlstate(void)
{
	return problem ? problem_sqlstate : ERRCODE_CH_KEY_UNAVAILABLE;
}

/* Return what is wrong with the keys, as a message */
const char *
root_keys_problem(void)
{
	return problem ? problem : "no encryption key is configured";
}

/* Return what can be done about it */
const char *
root_keys_hint(void)
{
	return problem_hint ? problem_hint :
		"Set customer_hub.key_directory or customer_hub.key_command and restart the server.";
}

/* Derive a key for one use from the root key of an epoch, which must be loaded */
void
root_keys_derive(int epoch, uint64 use, uint8 *key, Size key_len)
{
	Assert(root_keys_loaded(epoch));
	relock();
	crypto_kdf_derive_from_key(key, key_len, use, DERIVATION_CONTEXT, root_keys[epoch - 1].key);
}
