/*
 * words.c: what is a word, and its token.
 *
 * The rules are spelled out here, and ask no locale, dictionary or parser: tokens
 * are stored, and must be the same on every server and version.
 *
 * A text is brought into Unicode normal form KC, so that full-width letters and
 * composed accents are spelled one way. A word is a run of letters and digits,
 * lower-cased. Scripts that put no spaces between words (Han,
 * kana, Thai and its neighbours) give overlapping pairs of characters, or one
 * character where it stands alone.
 */
#include "postgres.h"

#include "common/unicode_norm.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"

#include "foundation/errors.h"
#include "foundation/memory.h"
#include "keyring/keyring.h"
#include "types/email.h"
#include "types/words.h"

/* Longer words are told apart by so many characters */
#define MAX_WORD_CHARACTERS 64

#define CLASS_BYTES 2

/* Normalizing a run of combining marks takes the square of its length, uninterrupted: no piece is longer */
#define MAX_PIECE_CHARACTERS 1024

typedef enum CharacterKind
{
	CHARACTER_SEPARATOR,
	CHARACTER_LETTER,			/* or digit, or mark */
	CHARACTER_UNSPACED			/* of a script without spaces */
} CharacterKind;

/* Code points above ASCII that part words: blanks, punctuation, symbols, controls */
static const pg_wchar separators[][2] = {
	{0x80, 0xA9}, {0xAB, 0xB4}, {0xB6, 0xB9}, {0xBB, 0xBF}, {0xD7, 0xD7}, {0xF7, 0xF7},
	{0x37E, 0x37E}, {0x387, 0x387}, {0x55A, 0x55F}, {0x589, 0x58A}, {0x5BE, 0x5BE},
	{0x5C0, 0x5C0}, {0x5C3, 0x5C3}, {0x5F3, 0x5F4}, {0x60C, 0x60D}, {0x61B, 0x61F},
	{0x66A, 0x66D}, {0x6D4, 0x6D4}, {0x964, 0x965}, {0xE4F, 0xE4F}, {0xE5A, 0xE5B},
	{0x1680, 0x1680}, {0x2000, 0x206F}, {0x20A0, 0x20CF}, {0x2190, 0x245F}, {0x2500, 0x2BFF},
	{0x2E00, 0x2E7F}, {0x3000, 0x3004}, {0x3008, 0x3020}, {0x3030, 0x3030}, {0x303D, 0x303F},
	{0x30A0, 0x30A0}, {0x30FB, 0x30FB}, {0xE000, 0xF8FF}, {0xFE00, 0xFE6F}, {0xFEFF, 0xFEFF},
	{0xFF01, 0xFF0F}, {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65}, {0xFFE0, 0xFFFF},
	{0x1F000, 0x1FAFF}, {0xE0000, 0x10FFFF}
};

/* Scripts written without spaces: Thai, Lao, Myanmar, Khmer, kana, Han */
static const pg_wchar unspaced[][2] = {
	{0xE00, 0xE4E}, {0xE80, 0xEFF}, {0x1000, 0x109F}, {0x1780, 0x17FF}, {0x3005, 0x3007},
	{0x3021, 0x302F}, {0x3031, 0x303C}, {0x3041, 0x30FF}, {0x31F0, 0x31FF}, {0x3400, 0x4DBF},
	{0x4E00, 0x9FFF}, {0xF900, 0xFAFF}, {0x1B000, 0x1B16F}, {0x20000, 0x3FFFF}
};

/* Is a character within one of the ranges, which are in order? */
static bool
is_within(pg_wchar c, const pg_wchar (*ranges)[2], int count)
{
	int			low = 0;
	int			high = count - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (c < ranges[middle][0])
			high = middle - 1;
		else if (c > ranges[middle][1])
			low = middle + 1;
		else
			return true;
	}
	return false;
}

/* Tell what a character is to words */
static CharacterKind
kind_of(pg_wchar c)
{
	if (c < 0x80)
		return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ?
			CHARACTER_LETTER : CHARACTER_SEPARATOR;
	if (is_within(c, separators, lengthof(separators)))
		return CHARACTER_SEPARATOR;
	if (is_within(c, unspaced, lengthof(unspaced)))
		return CHARACTER_UNSPACED;
	return CHARACTER_LETTER;
}

/* Lower-case a character: as addresses are, and what they need not know of */
static pg_wchar
fold_character(pg_wchar c)
{
	if (c == 0x3C2)
		return 0x3C3;			/* final sigma */
	if (c == 0x1E9E)
		return 0xDF;			/* capital sharp s */
	if ((c >= 0x1E00 && c <= 0x1E95) || (c >= 0x1EA0 && c <= 0x1EFF))
		return c | 1;
	return email_fold_character(c);
}

/* Append the token of a word, cut to a length already; words of different classes stay unlike */
static void
append_token(StringInfo tokens, uint16 class_id, const pg_wchar *word, int length)
{
	uint8		message[CLASS_BYTES + MAX_WORD_CHARACTERS * 4];
	uint8		mac[KEYRING_TAG_BYTES];
	Size		used = CLASS_BYTES;

	message[0] = class_id >> 8;
	message[1] = class_id & 0xFF;
	for (int i = 0; i < length; i++)
	{
		unicode_to_utf8(fold_character(word[i]), message + used);
		used += pg_utf_mblen(message + used);
	}
	keyring_mac(SERVICE_KEY_WORD, message, used, mac, sizeof(mac));
	appendBinaryStringInfo(tokens, (char *) mac, ENVELOPE_WORD_BYTES);
	memory_zero(message, used);
}

/* Order of tokens for qsort */
static int
compare_tokens(const void *a, const void *b)
{
	return memcmp(a, b, ENVELOPE_WORD_BYTES);
}

/* Sort tokens and keep each once; returns how many are left */
static uint32
sort_tokens(uint8 *tokens, uint32 count)
{
	uint32		kept = 0;

	if (count == 0)
		return 0;
	qsort(tokens, count, ENVELOPE_WORD_BYTES, compare_tokens);
	for (uint32 i = 1; i < count; i++)
	{
		if (compare_tokens(tokens + kept * ENVELOPE_WORD_BYTES,
						   tokens + i * ENVELOPE_WORD_BYTES) == 0)
			continue;
		kept++;
		memmove(tokens + kept * ENVELOPE_WORD_BYTES, tokens + i * ENVELOPE_WORD_BYTES,
				ENVELOPE_WORD_BYTES);
	}
	return kept + 1;
}

/* Find the end of a piece to normalize: before an ASCII character, as none joins what precedes it, if it can */
static Size
piece_end(const pg_wchar *characters, Size start, Size count)
{
	Size		end = start + MAX_PIECE_CHARACTERS;

	if (end >= count)
		return count;
	while (end > start && characters[end] >= 0x80)
		end--;
	return end > start ? end : start + MAX_PIECE_CHARACTERS;
}

/* Make room for more characters; what is left behind is cleared */
static pg_wchar *
make_room(pg_wchar *characters, Size used, Size more, Size *capacity)
{
	pg_wchar   *larger;

	if (used + more <= *capacity)
		return characters;
	*capacity = (used + more) * 2;
	larger = palloc_extended(*capacity * sizeof(pg_wchar), MCXT_ALLOC_HUGE);
	memcpy(larger, characters, used * sizeof(pg_wchar));
	memory_zero(characters, used * sizeof(pg_wchar));
	pfree(characters);
	return larger;
}

/* Bring characters into normal form KC; zero-terminated and palloc'd */
static pg_wchar *
normalize(pg_wchar *characters, Size count, Size *size)
{
	Size		capacity = count + MAX_PIECE_CHARACTERS;
	pg_wchar   *normal = palloc_extended(capacity * sizeof(pg_wchar), MCXT_ALLOC_HUGE);
	Size		used = 0;

	for (Size start = 0, end; start < count; start = end)
	{
		pg_wchar	next;
		pg_wchar   *piece;
		Size		length = 0;

		CHECK_FOR_INTERRUPTS();
		end = piece_end(characters, start, count);
		next = characters[end];
		characters[end] = 0;
		piece = unicode_normalize(UNICODE_NFKC, characters + start);
		characters[end] = next;
		while (piece[length] != 0)
			length++;
		normal = make_room(normal, used, length + 1, &capacity);
		memcpy(normal + used, piece, length * sizeof(pg_wchar));
		used += length;
		memory_zero(piece, length * sizeof(pg_wchar));
		pfree(piece);
	}
	normal[used] = 0;
	*size = (used + 1) * sizeof(pg_wchar);
	return normal;
}

/* Split a text into characters, normalized; zero-terminated and palloc'd */
static pg_wchar *
read_characters(const char *text, Size len, Size *size)
{
	pg_wchar   *characters = palloc_extended((len + 1) * sizeof(pg_wchar), MCXT_ALLOC_HUGE);
	pg_wchar   *normal;
	Size		count = 0;
	bool		ascii = true;

	for (Size i = 0; i < len; i += pg_utf_mblen((const unsigned char *) text + i))
	{
		characters[count] = utf8_to_unicode((const unsigned char *) text + i);
		ascii &= characters[count] < 0x80;
		count++;
	}
	characters[count] = 0;
	*size = (count + 1) * sizeof(pg_wchar);
	if (ascii)
		return characters;
	normal = normalize(characters, count, size);
	memory_zero(characters, (count + 1) * sizeof(pg_wchar));
	pfree(characters);
	return normal;
}

/* Make the tokens of the words of a text; see words.h */
void
words_tokenize(uint16 class_id, const char *text, Size len, EnvelopeWords *words)
{
	pg_wchar   *characters;
	Size		size;
	StringInfoData tokens;

	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("search by word needs a database in UTF8")));
	characters = read_characters(text, len, &size);
	initStringInfo(&tokens);
	for (Size i = 0; characters[i] != 0;)
	{
		CharacterKind kind = kind_of(characters[i]);
		Size		start = i;

		CHECK_FOR_INTERRUPTS();
		while (characters[i] != 0 && kind_of(characters[i]) == kind)
			i++;
		if (kind == CHARACTER_LETTER ||
			(kind == CHARACTER_UNSPACED && i - start == 1))
			append_token(&tokens, class_id, characters + start, (int) Min(i - start, MAX_WORD_CHARACTERS));
		else if (kind == CHARACTER_UNSPACED)
		{
			for (Size pair = start; pair + 1 < i; pair++)
				append_token(&tokens, class_id, characters + pair, 2);
		}
	}
	memory_zero(characters, size);
	pfree(characters);
	words->tokens = (const uint8 *) tokens.data;
	words->count = sort_tokens((uint8 *) tokens.data, tokens.len / ENVELOPE_WORD_BYTES);
}

/* Release tokens */
void
words_free(EnvelopeWords *words)
{
	pfree(unconstify(uint8 *, words->tokens));
}
