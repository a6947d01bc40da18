/*
 * errors.h: the SQLSTATE class CH, one code for each thing a caller can act on.
 *
 * docs/errors.md lists the same codes; test/lint compares the two.
 */
#ifndef CUSTOMER_HUB_ERRORS_H
#define CUSTOMER_HUB_ERRORS_H

#include "postgres.h"

/* keyring */
#define ERRCODE_CH_KEY_UNAVAILABLE MAKE_SQLSTATE('C', 'H', '0', '0', '1')
#define ERRCODE_CH_WRONG_KEY MAKE_SQLSTATE('C', 'H', '0', '0', '2')
#define ERRCODE_CH_SEALED_VALUE_INVALID MAKE_SQLSTATE('C', 'H', '0', '0', '3')
#define ERRCODE_CH_SUBJECT_ERASED MAKE_SQLSTATE('C', 'H', '0', '0', '4')
#define ERRCODE_CH_EPOCH_IN_USE MAKE_SQLSTATE('C', 'H', '0', '0', '5')
/* types */
#define ERRCODE_CH_CLASS_CHANGE MAKE_SQLSTATE('C', 'H', '1', '0', '1')
#define ERRCODE_CH_SUBJECT_MISMATCH MAKE_SQLSTATE('C', 'H', '1', '0', '2')
#define ERRCODE_CH_NOT_SEARCHABLE MAKE_SQLSTATE('C', 'H', '1', '0', '3')
#define ERRCODE_CH_MASKED_INPUT MAKE_SQLSTATE('C', 'H', '1', '0', '4')
#define ERRCODE_CH_UNKNOWN_CLASS MAKE_SQLSTATE('C', 'H', '1', '0', '5')
#define ERRCODE_CH_TAG_GENERATION MAKE_SQLSTATE('C', 'H', '1', '0', '6')
/* identity */
#define ERRCODE_CH_TOKEN_REJECTED MAKE_SQLSTATE('C', 'H', '2', '0', '1')
#define ERRCODE_CH_IDENTITY_EXPIRED MAKE_SQLSTATE('C', 'H', '2', '0', '2')
#define ERRCODE_CH_IDENTITY_REQUIRED MAKE_SQLSTATE('C', 'H', '2', '0', '3')
#define ERRCODE_CH_IDENTITY_ALREADY_SET MAKE_SQLSTATE('C', 'H', '2', '0', '4')
#define ERRCODE_CH_NOT_PERMITTED MAKE_SQLSTATE('C', 'H', '2', '0', '5')
/* access */
#define ERRCODE_CH_NOT_GOVERNED MAKE_SQLSTATE('C', 'H', '3', '0', '1')
#define ERRCODE_CH_SUBJECT_COLUMN MAKE_SQLSTATE('C', 'H', '3', '0', '2')
#define ERRCODE_CH_APPROVAL_REQUIRED MAKE_SQLSTATE('C', 'H', '3', '0', '3')
#define ERRCODE_CH_SELF_APPROVAL MAKE_SQLSTATE('C', 'H', '3', '0', '4')
#define ERRCODE_CH_EXPORT_REFUSED MAKE_SQLSTATE('C', 'H', '3', '0', '5')
#define ERRCODE_CH_PROTECTED_OBJECT MAKE_SQLSTATE('C', 'H', '3', '0', '6')
#define ERRCODE_CH_COLUMN_REWRITE MAKE_SQLSTATE('C', 'H', '3', '0', '7')
/* audit */
#define ERRCODE_CH_AUDIT_UNAVAILABLE MAKE_SQLSTATE('C', 'H', '4', '0', '1')
#define ERRCODE_CH_AUDIT_IMMUTABLE MAKE_SQLSTATE('C', 'H', '4', '0', '2')
/* privacy */
#define ERRCODE_CH_LEGAL_HOLD MAKE_SQLSTATE('C', 'H', '5', '0', '1')
#define ERRCODE_CH_ERASURE_STATE MAKE_SQLSTATE('C', 'H', '5', '0', '2')
#define ERRCODE_CH_SUBJECT_GRAPH MAKE_SQLSTATE('C', 'H', '5', '0', '3')
#define ERRCODE_CH_NOT_REPLAYED MAKE_SQLSTATE('C', 'H', '5', '0', '4')
/* channels */
#define ERRCODE_CH_CHANNEL_PAYLOAD MAKE_SQLSTATE('C', 'H', '6', '0', '1')
#define ERRCODE_CH_CHANNEL_ACCOUNT MAKE_SQLSTATE('C', 'H', '6', '0', '2')
#define ERRCODE_CH_CHANNEL_SIGNATURE MAKE_SQLSTATE('C', 'H', '6', '0', '3')
#define ERRCODE_CH_MERGE_REFUSED MAKE_SQLSTATE('C', 'H', '6', '0', '4')

#endif							/* CUSTOMER_HUB_ERRORS_H */
