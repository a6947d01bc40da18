/*
 * data_class.c: what kind of data a column holds.
 *
 * Seven classes are built in; others get numbers from 100 on and live in
 * hub.data_class_custom, which is cached per backend.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "foundation/catalog.h"
#include "foundation/errors.h"
#include "types/data_class.h"

/* Columns of hub.data_class_custom */
#define ANUM_CLASS_ID 1
#define ANUM_NAME 2
#define ANUM_SEARCHABLE 3

/* hub.set_word_search() lets no more classes be searched by word */
#define MAX_WORD_CLASSES 64

typedef struct DataClass
{
	uint16		class_id;
	bool		searchable;
	char		name[NAMEDATALEN];
} DataClass;

static const struct
{
	DataClass	data_class;
	const char *description;
}			builtin_classes[] = {
	{{DATA_CLASS_PUBLIC, false, "public"}, "Not personal, or meant for everybody"},
	{{DATA_CLASS_BASIC, false, "basic"}, "Names, language and other plain facts of a person"},
	{{DATA_CLASS_CONTACT, true, "contact"}, "E-mail and postal addresses, phone numbers, channel accounts"},
	{{DATA_CLASS_CONTENT, false, "content"}, "What people write: messages, notes, attachments"},
	{{DATA_CLASS_INTENT, false, "intent"}, "What a person may buy or do, and what is thought of them"},
	{{DATA_CLASS_FINANCIAL, false, "financial"}, "Payments, accounts, credit"},
	{{DATA_CLASS_SPECIAL, false, "special"}, "Special categories (GDPR 9): health, belief, origin, biometrics"}
};

/* Custom classes of this database */
static CatalogCopy custom = {.relation_name = "data_class_custom"};
static DataClass *custom_classes = NULL;
static int	custom_count = 0;

/* Classes that are searched by word */
static CatalogCopy word_search = {.relation_name = "word_search"};
static uint16 word_classes[MAX_WORD_CLASSES];
static int	word_count = 0;

/* What reading hub.data_class_custom collects */
typedef struct ClassList
{
	DataClass  *classes;
	int			count;
	int			capacity;
} ClassList;

/* What reading hub.word_search collects */
typedef struct WordClassList
{
	uint16		classes[MAX_WORD_CLASSES];
	int			count;
} WordClassList;

PG_FUNCTION_INFO_V1(hub_builtin_data_classes);
PG_FUNCTION_INFO_V1(hub_data_class_typmod_in);
PG_FUNCTION_INFO_V1(hub_data_class_typmod_out);
PG_FUNCTION_INFO_V1(hub_data_class_id);

/* Watch for changes; called once from _PG_init */
void
data_class_init(void)
{
	catalog_copy_watch(&custom);
	catalog_copy_watch(&word_search);
}

/* Take in a custom class */
static void
read_custom_class(HeapTuple tuple, TupleDesc desc, void *state)
{
	ClassList  *list = state;
	DataClass  *added;
	bool		isnull;

	if (list->count == list->capacity)
	{
		list->capacity *= 2;
		list->classes = repalloc(list->classes, list->capacity * sizeof(DataClass));
	}
	added = &list->classes[list->count++];
	added->class_id = (uint16) DatumGetInt32(heap_getattr(tuple, ANUM_CLASS_ID, desc, &isnull));
	strlcpy(added->name, NameStr(*DatumGetName(heap_getattr(tuple, ANUM_NAME, desc, &isnull))),
			NAMEDATALEN);
	added->searchable = DatumGetBool(heap_getattr(tuple, ANUM_SEARCHABLE, desc, &isnull));
}

/* Read the custom classes, if they are not cached */
static void
load_custom_classes(void)
{
	ClassList	list = {.capacity = 16};
	DataClass  *kept;

	if (custom.valid || !IsTransactionState())
		return;
	list.classes = palloc(list.capacity * sizeof(DataClass));
	if (!catalog_copy_read(&custom, read_custom_class, &list))
		return;
	kept = MemoryContextAlloc(TopMemoryContext, list.capacity * sizeof(DataClass));
	memcpy(kept, list.classes, list.count * sizeof(DataClass));
	pfree(list.classes);
	if (custom_classes != NULL)
		pfree(custom_classes);
	custom_classes = kept;
	custom_count = list.count;
}

/* Find a class by number; NULL when there is none */
static const DataClass *
class_by_id(uint16 class_id)
{
	if (class_id >= 1 && class_id <= lengthof(builtin_classes))
		return &builtin_classes[class_id - 1].data_class;
	if (class_id < DATA_CLASS_FIRST_CUSTOM)
		return NULL;
	load_custom_classes();
	for (int i = 0; i < custom_count; i++)
	{
		if (custom_classes[i].class_id == class_id)
			return &custom_classes[i];
	}
	return NULL;
}

/* Find a class by name; false when there is none */
bool
data_class_find(const char *name, uint16 *class_id)
{
	for (int i = 0; i < lengthof(builtin_classes); i++)
	{
		if (strcmp(builtin_classes[i].data_class.name, name) == 0)
		{
			*class_id = builtin_classes[i].data_class.class_id;
			return true;
		}
	}
	load_custom_classes();
	for (int i = 0; i < custom_count; i++)
	{
		if (strcmp(custom_classes[i].name, name) == 0)
		{
			*class_id = custom_classes[i].class_id;
			return true;
		}
	}
	return false;
}

/* Return the number of a class; raises CH105 when there is none of that name */
uint16
data_class_by_name(const char *name)
{
	uint16		class_id;

	if (!data_class_find(name, &class_id))
		ereport(ERROR,
				(errcode(ERRCODE_CH_UNKNOWN_CLASS),
				 errmsg("data class \"%s\" does not exist", name),
				 errhint("See hub.data_class for the classes there are; hub.add_data_class() adds one.")));
	return class_id;
}

/* Return the name of a class, or NULL */
const char *
data_class_name(uint16 class_id)
{
	const DataClass *found = class_by_id(class_id);

	return found ? found->name : NULL;
}

/*
 * Do values of a class carry an equality tag?
 *
 * A literal has no class yet: it carries one, since it may be compared with a
 * column that does, and loses it when it is bound to a class that does not.
 */
bool
data_class_searchable(uint16 class_id)
{
	const DataClass *found;

	if (class_id == DATA_CLASS_UNCLASSIFIED)
		return true;
	found = class_by_id(class_id);
	return found != NULL && found->searchable;
}

/* Take in a class that is searched by word */
static void
read_word_class(HeapTuple tuple, TupleDesc desc, void *state)
{
	WordClassList *list = state;
	bool		isnull;
	Datum		name = heap_getattr(tuple, 1, desc, &isnull);

	if (list->count < MAX_WORD_CLASSES &&
		data_class_find(NameStr(*DatumGetName(name)), &list->classes[list->count]))
		list->count++;
}

/* Read which classes are searched by word, if that is not cached */
static void
load_word_classes(void)
{
	WordClassList list = {.count = 0};

	if (word_search.valid || !catalog_copy_read(&word_search, read_word_class, &list))
		return;
	memcpy(word_classes, list.classes, list.count * sizeof(uint16));
	word_count = list.count;
}

/* Do values of a class carry the tokens of their words? */
bool
data_class_word_searchable(uint16 class_id)
{
	load_word_classes();
	for (int i = 0; i < word_count; i++)
	{
		if (word_classes[i] == class_id)
			return true;
	}
	return false;
}

/* Return the classes that are built in */
Datum
hub_builtin_data_classes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(builtin_classes); i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false, false, false, false};
		NameData	name;

		namestrcpy(&name, builtin_classes[i].data_class.name);
		values[0] = Int32GetDatum(builtin_classes[i].data_class.class_id);
		values[1] = NameGetDatum(&name);
		values[2] = BoolGetDatum(builtin_classes[i].data_class.searchable);
		values[3] = CStringGetTextDatum(builtin_classes[i].description);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * Read a type modifier: the name of a data class.
 *
 * A second one gives the number, as pg_dump writes it for a class that was
 * added: tables are restored before the rows of hub.data_class_custom are.
 */
Datum
hub_data_class_typmod_in(PG_FUNCTION_ARGS)
{
	ArrayType  *modifiers = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *elements;
	int			count;
	uint16		class_id;
	char	   *name;

	deconstruct_array(modifiers, CSTRINGOID, -2, false, TYPALIGN_CHAR, &elements, NULL, &count);
	if (count < 1 || count > 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an encrypted type takes the name of one data class"),
				 errhint("Write, for example, hub.encrypted_email('contact').")));
	name = DatumGetCString(elements[0]);
	if (count == 2)
	{
		char	   *end;
		long		given = strtol(DatumGetCString(elements[1]), &end, 10);
		const char *known;

		if (*end != '\0' || given < DATA_CLASS_FIRST_CUSTOM || given > PG_UINT16_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the number of a data class must be between %d and %d",
							DATA_CLASS_FIRST_CUSTOM, PG_UINT16_MAX)));
		known = data_class_name((uint16) given);
		if (known == NULL && !data_class_find(name, &class_id))
			PG_RETURN_INT32((int32) given);
		if (known != NULL && strcmp(known, name) == 0)
			PG_RETURN_INT32((int32) given);
		ereport(ERROR,
				(errcode(ERRCODE_CH_UNKNOWN_CLASS),
				 errmsg("data class \"%s\" does not have the number %ld here", name, given),
				 errhint("Leave the number out, or restore into a database without data classes of its own.")));
	}
	PG_RETURN_INT32(data_class_by_name(name));
}

/* Print a type modifier as the name of its data class, with the number of an added one */
Datum
hub_data_class_typmod_out(PG_FUNCTION_ARGS)
{
	int32		class_id = PG_GETARG_INT32(0);
	const char *name = data_class_name((uint16) class_id);

	if (class_id < DATA_CLASS_FIRST_CUSTOM)
		PG_RETURN_CSTRING(psprintf("(%s)", quote_literal_cstr(name ? name : "?")));
	PG_RETURN_CSTRING(psprintf("(%s, %d)",
							   quote_literal_cstr(name ? name : "?"), class_id));
}

/* Return the number of a data class; raises CH105 when there is none of that name */
Datum
hub_data_class_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(data_class_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}
