/*
 * posting.h: where in the trail the events about a person, by a member and so on
 * are: an inverted index that is made behind the trail instead of with each
 * event, since a btree costs an insert as much as all the rest of recording.
 *
 * The audit worker reads sealed events in order and writes, for each chunk of some
 * thousands, their positions by hash of what they can be asked for, in a fixed
 * number of buckets. Events after the last chunk are read themselves. Nothing is
 * known from postings but where to look, and each row carries a keyed tag, so
 * that none can be left out or changed unnoticed. They can be thrown away at any
 * time: hub.rebuild_audit_postings().
 */
#ifndef CUSTOMER_HUB_POSTING_H
#define CUSTOMER_HUB_POSTING_H

#include "postgres.h"

#include "audit/block.h"
#include "audit/event.h"
#include "audit/scan.h"

/* Events per chunk: that many are read one by one at most before they are found by posting */
#define POSTING_CHUNK_EVENTS 8192
#define POSTING_BUCKETS 128

/* A row's key of more columns is found by the first of them */
#define POSTING_KEY_COLUMNS 8

/* What events can be asked for; part of the hash */
typedef enum PostingTerm
{
	POSTING_SUBJECT = 's',		/* the data subject */
	POSTING_MEMBER = 'm',		/* who was at work, but for reveals */
	POSTING_MEMBER_REVEAL = 'r',	/* to whom something was revealed */
	POSTING_LOGIN_REVEAL = 'l', /* the same by login */
	POSTING_KIND = 'k',			/* kinds other than row and reveal; audit_read for questions to the trail */
	POSTING_ROW = 'p'			/* relation, and name and value of a column of its key */
} PostingTerm;

/* An event's place under one hash, as it is stored: relative to the chunk's first xid */
typedef struct PostingEntry
{
	uint32		hash;			/* low half; the bucket is taken of the high one */
	uint32		xid_offset;
	int32		ordinal;
} PostingEntry;

/* What the bytes of a row of hub.audit_posting begin with, before entries in order; then the tag */
typedef struct PostingHead
{
	uint64		first_xid;
	uint64		count;
} PostingHead;

/* Where reading goes on: after an event of a block */
typedef struct PostingPosition
{
	int64		block;			/* first one that is not done */
	uint64		xid;			/* 0: from the beginning of the block */
	int64		ordinal;
	int64		done;			/* events of the block up to there */
} PostingPosition;

/* A row of hub.audit_posting_chunk */
typedef struct PostingChunk
{
	int64		number;
	PostingPosition from;
	PostingPosition to;
	TimestampTz first_at;
	TimestampTz last_at;
	uint8		tag[EVENT_TAG_BYTES];
} PostingChunk;

/* Events in order, with what each can be asked for. Opened and read within SPI */
typedef struct PostingReader PostingReader;

/* What a block holds after a position in it; false when there is no such block */
extern bool posting_open_block(const PostingPosition *from, PostingReader **reader);

/* All there is after a position, sealed or not */
extern PostingReader *posting_open_tail(const PostingPosition *from);

/* Go on to the next event; hashes stay until the one after */
extern bool posting_next(PostingReader *reader, AuditEvent *event, const uint64 **hashes, int *count);
extern void posting_close(PostingReader *reader);

extern uint64 posting_hash(PostingTerm term, const char *key, Size len);

/* Hashes of the columns of a row's key, at most max of them */
extern int	posting_row_hashes(const char *relation, Size relation_len, const Jsonb *row_key,
							   uint64 *hashes, int max);
extern int	posting_bucket(uint64 hash);

/* Tags of rows, under the key of the trail's */
extern void posting_bucket_tag(int64 chunk, int32 bucket, const char *bytes, Size len,
							   uint8 tag[EVENT_TAG_BYTES]);
extern void posting_chunk_tag(const PostingChunk *chunk, uint8 tag[EVENT_TAG_BYTES]);

/* posting_write.c, in the worker */
extern void posting_init(void);
extern void posting_note_sealed(int64 events);	/* so that it knows when a chunk is full */
extern bool posting_due(void);
extern bool posting_run(void);	/* some chunks at a time */
extern void posting_give_up(const ErrorData *error);

#endif							/* CUSTOMER_HUB_POSTING_H */
