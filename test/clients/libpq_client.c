/*
 * libpq: what an application sees of the hub, with parameters and results as text
 * and as binary, of unknown and of text type, and with prepared statements.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#define TEXT_OID 25
#define COLUMNS 5
#define ENCRYPTED "email, phone, name, born, extra"
#define MASK "\342\200\242"

static const char *const plain[COLUMNS] = {
	"nora@example.com", "+4915112345678", "Nora Lindqvist", "1990-02-03", "{\"vip\": true}"
};

static int	failures = 0;

static void
check(bool condition, const char *format, const char *mode, const char *type)
{
	printf(condition ? "ok - " : "not ok - ");
	printf(format, mode, type);
	printf("\n");
	failures += !condition;
}

/* Run a statement; parameters of one type, they and the result in one format */
static PGresult *
run(PGconn *conn, const char *statement, int count, const char *const *values, Oid type, int format)
{
	Oid			types[COLUMNS] = {type, type, type, type, type};
	int			formats[COLUMNS] = {format, format, format, format, format};
	int			lengths[COLUMNS] = {0};

	for (int i = 0; i < count; i++)
		lengths[i] = (int) strlen(values[i]);
	return PQexecParams(conn, statement, count, types, values, lengths, formats, format);
}

/* Run a statement that must succeed */
static void
must(PGconn *conn, const char *statement, int count, const char *const *values)
{
	PGresult   *result = run(conn, statement, count, values, 0, 0);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		fprintf(stderr, "%s: %s", statement, PQerrorMessage(conn));
		exit(1);
	}
	PQclear(result);
}

/* Begin a transaction as a member, as behind a pooler */
static void
begin_as(PGconn *conn, const char *token)
{
	must(conn, "BEGIN", 0, NULL);
	must(conn, "SELECT hub.authenticate($1)", 1, &token);
}

/* Is a field of a result this text? Binary results have no terminating zero of their own */
static bool
is_field(PGresult *result, int column, const char *text)
{
	return PQntuples(result) == 1 && PQgetlength(result, 0, column) == (int) strlen(text) &&
		memcmp(PQgetvalue(result, 0, column), text, strlen(text)) == 0;
}

/* Does a result have these values? */
static bool
has_row(PGresult *result, const char *const *row)
{
	for (int i = 0; i < COLUMNS; i++)
	{
		if (!is_field(result, i, row[i]))
			return false;
	}
	return true;
}

/* Read what is masked to an agent, sealed, as a superuser without identity sees it */
static char *
stored(PGconn *superuser)
{
	PGresult   *result = PQexec(superuser, "SELECT string_agg(concat_ws(',', email, phone, born, extra), ';' ORDER BY id) FROM shop.person");
	char	   *text = strdup(PQgetvalue(result, 0, 0));

	PQclear(result);
	return text;
}

/* Did a statement fail with this SQLSTATE, and without quoting a text? */
static bool
failed(PGresult *result, const char *sqlstate, const char *text)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state != NULL && strcmp(state, sqlstate) == 0 &&
		strstr(PQresultVerboseErrorMessage(result, PQERRORS_VERBOSE, PQSHOW_CONTEXT_ALWAYS), text) == NULL;
}

int
main(void)
{
	const char *sales = getenv("SALES_TOKEN");
	const char *agent = getenv("AGENT_TOKEN");
	PGconn	   *conn = PQconnectdb("user=pooled");
	PGconn	   *superuser = PQconnectdb("user=postgres");
	const char *bad = "no address";
	const char *one = "1";
	int			number = 0;
	PGresult   *result;

	if (sales == NULL || agent == NULL || PQstatus(conn) != CONNECTION_OK || PQstatus(superuser) != CONNECTION_OK)
	{
		fprintf(stderr, "no tokens or no connection: %s", PQerrorMessage(conn));
		return 1;
	}

	for (int format = 0; format <= 1; format++)
	{
		for (int typed = 0; typed <= 1; typed++)
		{
			const char *mode = format ? "binary" : "text";
			const char *type = typed ? "typed text" : "of unknown type";
			Oid			oid = typed ? TEXT_OID : 0;
			const char *look_up = "SELECT " ENCRYPTED " FROM shop.person WHERE email = $1";
			char		address[64];
			char		statement[256];
			const char *row[COLUMNS];
			char	   *shown[COLUMNS];
			char	   *before;
			char	   *after;

			number++;
			memcpy(row, plain, sizeof(row));
			snprintf(address, sizeof(address), "%d.%s", number, plain[0]);
			row[0] = address;

			begin_as(conn, sales);
			snprintf(statement, sizeof(statement), "INSERT INTO shop.person (id, region, " ENCRYPTED
					 ") VALUES (%d, 'DE', $1, $2, $3, $4, $5) RETURNING " ENCRYPTED, number);
			result = run(conn, statement, COLUMNS, row, oid, format);
			check(has_row(result, row), "%s, %s: RETURNING shows what was inserted", mode, type);
			PQclear(result);
			result = run(conn, look_up, 1, row, oid, format);
			check(has_row(result, row), "%s, %s: found by its address, and revealed", mode, type);
			PQclear(result);
			must(conn, "COMMIT", 0, NULL);

			result = run(conn, look_up, 1, row, oid, format);
			check(failed(result, "42501", address), "%s, %s: the identity ended with its transaction", mode, type);
			PQclear(result);

			before = stored(superuser);
			begin_as(conn, agent);
			result = run(conn, look_up, 1, row, oid, format);
			check(is_field(result, 2, row[2]) && strstr(PQgetvalue(result, 0, 0), MASK) != NULL &&
				  strstr(PQgetvalue(result, 0, 0), "nora") == NULL, "%s, %s: masked to who may not see it", mode, type);
			for (int i = 0; i < COLUMNS; i++)
				shown[i] = strndup(PQgetvalue(result, 0, i), PQgetlength(result, 0, i));
			PQclear(result);

			/* what an ORM does: read a row, change one thing, write all of it */
			snprintf(statement, sizeof(statement), "UPDATE shop.person SET email = $1, phone = $2, name = $3, born = $4, extra = $5,"
					 " visits = 7 WHERE id = %d", number);
			result = run(conn, statement, COLUMNS, (const char *const *) shown, oid, format);
			check(strcmp(PQcmdTuples(result), "1") == 0, "%s, %s: a whole row with masks in it can be written", mode, type);
			PQclear(result);
			must(conn, "COMMIT", 0, NULL);
			after = stored(superuser);
			check(strcmp(before, after) == 0 && strstr(before, "hub1:") != NULL && strstr(before, MASK) == NULL,
				  "%s, %s: masks written back change nothing", mode, type);
			for (int i = 0; i < COLUMNS; i++)
				free(shown[i]);
			free(before);
			free(after);

			begin_as(conn, sales);
			result = run(conn, "INSERT INTO shop.person (id, region, email) VALUES (9, 'DE', $1)", 1, &bad, oid, format);
			check(failed(result, "22P02", bad), "%s, %s: bad text is refused with 22P02, and not quoted", mode, type);
			PQclear(result);
			must(conn, "ROLLBACK", 0, NULL);
		}
	}

	/* a prepared statement outlives the transaction; identity and what it shows do not */
	PQclear(PQprepare(superuser, "address", "SELECT email FROM shop.person WHERE id = $1", 1, NULL));
	begin_as(conn, sales);
	PQclear(PQprepare(conn, "address", "SELECT email FROM shop.person WHERE id = $1", 1, NULL));
	for (int turn = 0; turn < 4; turn++)
	{
		if (turn > 0)
			begin_as(conn, turn == 2 ? agent : sales);
		result = PQexecPrepared(conn, "address", 1, &one, NULL, NULL, 1);
		check(turn == 2 ? strstr(PQgetvalue(result, 0, 0), MASK) != NULL : is_field(result, 0, "1.nora@example.com"),
			  "a prepared statement shows %s%s", turn == 2 ? "an agent" : "sales", " what the identity may see");
		PQclear(result);
		must(conn, "COMMIT", 0, NULL);
	}
	result = PQexecPrepared(conn, "address", 1, &one, NULL, NULL, 1);
	check(failed(result, "42501", "nora"), "%s needs an identity%s", "a prepared statement", "");
	PQclear(result);
	result = PQexecPrepared(superuser, "address", 1, &one, NULL, NULL, 1);
	check(strncmp(PQgetvalue(result, 0, 0), "hub1:", 5) == 0, "%s gets the sealed value%s", "a superuser", ", in binary too");
	PQclear(result);

	PQfinish(conn);
	PQfinish(superuser);
	return failures != 0;
}
