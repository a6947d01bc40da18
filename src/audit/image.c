/*
 * image.c: reading back what capture.c has sealed, for whoever may see it.
 *
 * A value is shown by the clearance of its column's class, like the column
 * itself, and showing it is a reveal.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "parser/parse_type.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "audit/capture.h"
#include "audit/row_plan.h"
#include "foundation/compat.h"
#include "foundation/errors.h"
#include "keyring/envelope.h"
#include "types/data_class.h"
#include "types/disclosure.h"
#include "types/encrypted.h"

#define MASKED_TEXT "•••"
#define SEALED_TEXT "[sealed]"
#define UNREADABLE_TEXT "[unreadable]"

/* Where reading an image has come to */
typedef struct ImageReader
{
	const char *at;
	const char *end;
	pg_uuid_t	subject;
} ImageReader;

/* One column of an image */
typedef struct ImageColumn
{
	uint8		flags;
	char		name[NAMEDATALEN];
	char		type[256];
	uint16		class_id;
	ImageFormat format;
} ImageColumn;

PG_FUNCTION_INFO_V1(hub_audit_values);

/* Take bytes from an image */
static const char *
take(ImageReader *reader, Size len)
{
	const char *at = reader->at;

	if (len > (Size) (reader->end - at))
		ereport(ERROR,
				(errcode(ERRCODE_CH_SEALED_VALUE_INVALID),
				 errmsg("sealed row image in the audit trail has an unknown form"),
				 errhint("It was written by a newer version of the extension; update the library.")));
	reader->at += len;
	return at;
}

/* Take a string that has its length in front */
static void
take_short_string(ImageReader *reader, char *out, Size size)
{
	Size		len = *(const uint8 *) take(reader, 1);
	const char *at = take(reader, len);

	len = Min(len, size - 1);
	memcpy(out, at, len);
	out[len] = '\0';
}

/* Take what stands before the values of a column */
static void
take_column(ImageReader *reader, ImageColumn *column)
{
	uint16		class_order;

	column->flags = *(const uint8 *) take(reader, 1);
	take_short_string(reader, column->name, sizeof(column->name));
	take_short_string(reader, column->type, sizeof(column->type));
	memcpy(&class_order, take(reader, sizeof(class_order)), sizeof(class_order));
	column->class_id = pg_ntoh16(class_order);
	column->format = (ImageFormat) *take(reader, 1);
}

/* Print a value of an encrypted type by its own rules */
static char *
print_encrypted(ImageReader *reader, ImageColumn *column, const char *bytes, Size len)
{
	uint8		family = (uint8) bytes[0];
	struct varlena *value;

	if (family == 0)
	{
		value = palloc(VARHDRSZ + len - 1);
		SET_VARSIZE(value, VARHDRSZ + len - 1);
		memcpy(VARDATA(value), bytes + 1, len - 1);
	}
	else
		value = envelope_seal((EnvelopeFamily) family, 0, column->class_id, &reader->subject, NULL,
							  bytes + 1, len - 1);
	return encrypted_disclose(value);
}

/* Make text of bytes by the output function of their type */
static char *
print_bytes(ImageColumn *column, const char *bytes, Size len)
{
	Oid			type = InvalidOid;
	Oid			function;
	Oid			receive;
	Oid			io_param;
	int32		typmod;
	bool		is_varlena;
	StringInfoData buffer;
	struct varlena *value;

	if (column->format == IMAGE_TEXT)
		return pnstrdup(bytes, len);
	compat_parse_type_string(column->type, &type, &typmod);
	if (!OidIsValid(type))
		return pstrdup(UNREADABLE_TEXT);
	type = getBaseType(type);
	getTypeOutputInfo(type, &function, &is_varlena);

	if (column->format == IMAGE_SEND)
	{
		getTypeBinaryInputInfo(type, &receive, &io_param);
		initStringInfo(&buffer);
		appendBinaryStringInfo(&buffer, bytes, (int) len);
		return OidOutputFunctionCall(function,
									 OidReceiveFunctionCall(receive, &buffer, io_param, typmod));
	}
	if (type == UUIDOID && len == UUID_LEN)
		return OidOutputFunctionCall(function, PointerGetDatum(bytes));
	value = palloc(VARHDRSZ + len);
	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), bytes, len);
	return OidOutputFunctionCall(function, PointerGetDatum(value));
}

/* Take a value, and print it as the current identity may see it unless it is not asked for */
static char *
take_value(ImageReader *reader, ImageColumn *column, bool wanted)
{
	uint32		len;
	const char *bytes;

	memcpy(&len, take(reader, sizeof(len)), sizeof(len));
	len = pg_ntoh32(len);
	bytes = take(reader, len);
	if (!wanted)
		return NULL;
	if (column->format == IMAGE_ENCRYPTED)
		return len > 0 ? print_encrypted(reader, column, bytes, len) : pstrdup(ENCRYPTED_ERASED);

	switch (disclosure_of_value(column->class_id, &reader->subject))
	{
		case DISCLOSURE_REVEAL:
			disclosure_record(&reader->subject, column->class_id, REVEAL_FULL);
			return print_bytes(column, bytes, len);
		case DISCLOSURE_MASK:
			return pstrdup(MASKED_TEXT);
		case DISCLOSURE_TOKEN:
		case DISCLOSURE_DENY:
			return pstrdup(ENCRYPTED_RESTRICTED);
		case DISCLOSURE_SEALED:
			break;
	}
	return pstrdup(SEALED_TEXT);
}

/* Return a text, or NULL */
static void
set_text(Datum *value, bool *isnull, const char *text)
{
	*isnull = text == NULL;
	*value = text ? CStringGetTextDatum(text) : (Datum) 0;
}

/*
 * hub.audit_values(sealed bytea, only_column text) returns TABLE(column_name,
 * data_class, old_value, new_value): no rows when the data subject is erased
 */
Datum
hub_audit_values(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *only_column = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	struct varlena *sealed;
	EnvelopeView view;
	ImageReader reader;
	Size		len;
	char	   *image;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	sealed = PG_GETARG_VARLENA_PP(0);
	envelope_view(sealed, &view);
	if (view.family != ENVELOPE_AUDIT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value is not a sealed row image of the audit trail")));
	image = envelope_open(sealed, &len);
	if (image == NULL)
		return (Datum) 0;

	reader.at = image;
	reader.end = image + len;
	reader.subject = view.subject;
	if (*take(&reader, 1) != IMAGE_VERSION)
		take(&reader, len);		/* raises: more than there is */
	while (reader.at < reader.end)
	{
		ImageColumn column;
		Datum		values[4];
		bool		nulls[4] = {false};
		bool		wanted;

		CHECK_FOR_INTERRUPTS();
		take_column(&reader, &column);
		wanted = only_column == NULL || strcmp(column.name, only_column) == 0;
		values[0] = CStringGetTextDatum(column.name);
		set_text(&values[1], &nulls[1], data_class_name(column.class_id));
		set_text(&values[2], &nulls[2],
				 column.flags & IMAGE_HAS_OLD ? take_value(&reader, &column, wanted) : NULL);
		set_text(&values[3], &nulls[3],
				 column.flags & IMAGE_HAS_NEW ? take_value(&reader, &column, wanted) : NULL);
		if (wanted)
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
