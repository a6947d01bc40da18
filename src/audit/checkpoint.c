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

static SPIPlanPtr origin_plan = NULL;
static SPIPlanPtr create_plan = NULL;

PG_FUNCTION_INFO_V1(hub_audit_checkpoint);

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

/* Write a public key as c2sp.org/signed-note does: name, key id, type and key */
char *
checkpoint_public_key(const char *origin, int generation)
{
	uint8		key[1 + KEYRING_PUBLIC_KEY_BYTES];
	uint8		id[NOTE_KEY_ID_BYTES];

	key[0] = NOTE_ED25519;
	keyring_public_key(SIGNING_KEY_CHECKPOINT, generation, key + 1);
	key_id(origin, key + 1, id);
	return psprintf("%s+%02x%02x%02x%02x+%s", origin, id[0], id[1], id[2], id[3],
					checkpoint_base64(key, sizeof(key)));
}

/* Write the text that is signed; where the key changes, it names both */
static void
checkpoint_text(StringInfo note, const char *origin, uint64 size, const MerkleHash *root,
				CheckpointKeys keys)
{
	appendStringInfo(note, "%s\n" UINT64_FORMAT "\n%s\n", origin, size,
					 checkpoint_base64(root->bytes, MERKLE_HASH_BYTES));
	if (keys.before != keys.now)
		appendStringInfo(note, "old-key %s\nnew-key %s\n",
						 checkpoint_public_key(origin, keys.before),
						 checkpoint_public_key(origin, keys.now));
}

/* Append a signature of the first bytes of a note */
static void
append_signature(StringInfo note, Size signed_len, const char *origin, int generation)
{
	uint8		public_key[KEYRING_PUBLIC_KEY_BYTES];
	uint8		signature[NOTE_KEY_ID_BYTES + KEYRING_SIGNATURE_BYTES];

	keyring_public_key(SIGNING_KEY_CHECKPOINT, generation, public_key);
	key_id(origin, public_key, signature);
	keyring_sign(SIGNING_KEY_CHECKPOINT, generation, note->data, signed_len,
				 signature + NOTE_KEY_ID_BYTES);
	appendStringInfo(note, "%s%s %s\n", NOTE_SIGNATURE_MARK, origin,
					 checkpoint_base64(signature, sizeof(signature)));
}

/* Make and sign a checkpoint */
char *
checkpoint_sign(const char *origin, uint64 size, const MerkleHash *root, CheckpointKeys keys)
{
	StringInfoData note;
	Size		signed_len;

	initStringInfo(&note);
	checkpoint_text(&note, origin, size, root, keys);
	signed_len = note.len;
	appendStringInfoChar(&note, '\n');
	if (keys.before != keys.now)
		append_signature(&note, signed_len, origin, keys.before);
	append_signature(&note, signed_len, origin, keys.now);
	return note.data;
}

/* Read a signature line, without its line feed: key id and signature; false when it is of another name or type */
static bool
read_signature(const char *line, Size len, const char *origin,
			   uint8 signature[NOTE_KEY_ID_BYTES + KEYRING_SIGNATURE_BYTES])
{
	char	   *begin = psprintf("%s%s ", NOTE_SIGNATURE_MARK, origin);
	Size		begin_len = strlen(begin);
	uint8		bytes[NOTE_KEY_ID_BYTES + KEYRING_SIGNATURE_BYTES + 3];
	char	   *text;

	if (len <= begin_len || strncmp(line, begin, begin_len) != 0)
		return false;
	text = pnstrdup(line + begin_len, len - begin_len);
	/* unsigned bytes since PG 18, signed before: void fits both */
	if (pg_b64_decode(text, (int) strlen(text), (void *) bytes, sizeof(bytes)) !=
		NOTE_KEY_ID_BYTES + KEYRING_SIGNATURE_BYTES)
		return false;
	memcpy(signature, bytes, NOTE_KEY_ID_BYTES + KEYRING_SIGNATURE_BYTES);
	/* there is one way to write it */
	return strcmp(checkpoint_base64(bytes, NOTE_KEY_ID_BYTES + KEYRING_SIGNATURE_BYTES), text) == 0;
}

/* Is the text of a note that of a checkpoint of exactly this? See checkpoint.h */
bool
checkpoint_is_of(const char *note, const char *origin, uint64 size, const MerkleHash *root,
				 CheckpointKeys keys)
{
	StringInfoData text;

	initStringInfo(&text);
	checkpoint_text(&text, origin, size, root, keys);
	return strncmp(note, text.data, text.len) == 0 && note[text.len] == '\n';
}

/* Is a note signed by exactly these keys? See checkpoint.h */
bool
checkpoint_is_signed(const char *note, const char *origin, CheckpointKeys keys, bool others)
{
	int			generations[2] = {keys.before, keys.now};
	int			next = keys.before == keys.now ? 1 : 0;
	const char *text_end = strstr(note, "\n\n");
	Size		text_len;
	const char *line;
	const char *end;

	if (text_end == NULL)
		return false;
	text_len = text_end + 1 - note;
	for (line = note + text_len + 1; *line != '\0'; line = end + 1)
	{
		uint8		signature[NOTE_KEY_ID_BYTES + KEYRING_SIGNATURE_BYTES];
		uint8		public_key[KEYRING_PUBLIC_KEY_BYTES];
		uint8		expected_id[NOTE_KEY_ID_BYTES];

		end = strchr(line, '\n');
		if (end == NULL)
			return false;
		if (next < lengthof(generations) &&
			read_signature(line, end - line, origin, signature))
		{
			keyring_public_key(SIGNING_KEY_CHECKPOINT, generations[next], public_key);
			key_id(origin, public_key, expected_id);
			if (memcmp(expected_id, signature, NOTE_KEY_ID_BYTES) == 0)
			{
				if (!keyring_verify_signature(public_key, note, text_len,
											  signature + NOTE_KEY_ID_BYTES))
					return false;
				next++;
				continue;
			}
		}
		if (!others)
			return false;
	}
	return next == lengthof(generations);
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
