/*
 * nesting.c: encrypted types inside other types: domains over them, arrays,
 * composite types and ranges.
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "types/data_class.h"
#include "types/encrypted.h"

PG_FUNCTION_INFO_V1(hub_is_encrypted_type);
PG_FUNCTION_INFO_V1(hub_holds_encrypted_type);

/* Tell family and class of a column; a domain over an encrypted type is one, with the domain's class */
bool
encrypted_column_family(Oid type, int32 typmod, EnvelopeFamily *family, uint16 *class_id)
{
	Oid			base = getBaseTypeAndTypmod(type, &typmod);

	*class_id = typmod > 0 ? (uint16) typmod : DATA_CLASS_UNCLASSIFIED;
	return encrypted_type_family(base, family);
}

/* Does a type hold values of an encrypted type: itself, or as elements or fields? */
bool
encrypted_type_held(Oid type)
{
	EnvelopeFamily family;
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);
	TupleDesc	fields;
	bool		held = false;

	check_stack_depth();
	if (OidIsValid(element))
		return encrypted_type_held(element);
	if (encrypted_type_family(base, &family))
		return true;
	if (get_typtype(base) != TYPTYPE_COMPOSITE)
		return false;
	fields = lookup_rowtype_tupdesc_noerror(base, -1, true);
	for (int i = 0; fields != NULL && i < fields->natts && !held; i++)
		held = !TupleDescAttr(fields, i)->attisdropped &&
			encrypted_type_held(TupleDescAttr(fields, i)->atttypid);
	if (fields != NULL)
		ReleaseTupleDesc(fields);
	return held;
}

/* Is a type one of the encrypted types, or a domain over one? */
Datum
hub_is_encrypted_type(PG_FUNCTION_ARGS)
{
	EnvelopeFamily family;

	PG_RETURN_BOOL(encrypted_type_family(getBaseType(PG_GETARG_OID(0)), &family));
}

/* Does a type hold encrypted values inside others? */
Datum
hub_holds_encrypted_type(PG_FUNCTION_ARGS)
{
	EnvelopeFamily family;
	Oid			type = PG_GETARG_OID(0);

	PG_RETURN_BOOL(!encrypted_type_family(getBaseType(type), &family) && encrypted_type_held(type));
}
