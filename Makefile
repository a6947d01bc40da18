# customer_hub: PGXS build. Rooms in floor order; each contributes its C and SQL.
#
#   make, make install      build and install for the PostgreSQL of $(PG_CONFIG)
#   make installcheck       pg_regress and isolation against a running server that
#                           has customer_hub in shared_preload_libraries and a key
#   make demo, make test    everything in a throw-away server: see test/run.sh
EXTENSION = customer_hub
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)
MODULE_big = customer_hub
ROOMS = foundation keyring types identity access audit privacy channels hub

ROOM_INCLUDES = $(sort $(wildcard src/*/*.h))
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard $(ROOMS:%=src/%/*.c))))

# One template makes the SQL of each encrypted type.
ENCRYPTED_TYPES = encrypted_text encrypted_email encrypted_phone encrypted_date encrypted_jsonb

COMMENT_encrypted_text = Text, sealed under the key of its data subject
COMMENT_encrypted_email = E-mail address, sealed under the key of its data subject
COMMENT_encrypted_phone = Phone number, sealed under the key of its data subject
COMMENT_encrypted_date = Date, sealed under the key of its data subject
COMMENT_encrypted_jsonb = JSON document, sealed under the key of its data subject

# Stated order: floors first, and within a room what others refer to first.
ROOM_SQL = \
	src/foundation/catalog.sql \
	src/types/enums.sql \
	src/types/region.sql \
	src/types/phone.sql \
	src/types/email.sql \
	src/types/data_class.sql \
	src/types/equality_tag.sql \
	$(ENCRYPTED_TYPES:%=build/types/%.sql) \
	src/types/encrypted.sql \
	src/types/word_search.sql \
	src/keyring/keyring.sql \
	src/keyring/rotation.sql \
	src/keyring/tag_generation.sql \
	src/keyring/export.sql \
	src/identity/identity.sql \
	src/identity/region_group.sql \
	src/identity/clearance.sql \
	src/identity/break_glass.sql \
	src/identity/purpose.sql \
	src/access/predicates.sql \
	src/access/governed.sql \
	src/access/seal.sql \
	src/access/govern.sql \
	src/access/approval.sql \
	src/access/export.sql \
	src/access/column_rewrite.sql \
	src/access/column_rewrite_steps.sql \
	src/access/posture_server.sql \
	src/access/posture.sql \
	src/audit/audit.sql \
	src/audit/reveal.sql \
	src/audit/seal.sql \
	src/audit/log_key.sql \
	src/audit/posting.sql \
	src/audit/retire.sql \
	src/audit/verify.sql \
	src/audit/compliance.sql \
	src/privacy/subject_graph.sql \
	src/privacy/legal_hold.sql \
	src/privacy/receipt.sql \
	src/privacy/erasure.sql \
	src/privacy/residue.sql \
	src/privacy/restore.sql \
	src/privacy/retention.sql \
	src/privacy/rights.sql \
	src/privacy/requests.sql \
	src/privacy/consent.sql \
	src/privacy/restriction.sql \
	src/privacy/html.sql \
	src/privacy/report.sql \
	src/channels/parsers.sql \
	src/channels/crm.sql \
	src/channels/accounts.sql \
	src/channels/ingest.sql \
	src/channels/customer.sql \
	src/channels/outbox.sql \
	src/channels/statistics.sql \
	src/hub/hub.sql

# Frozen install scripts and the steps between versions: src/upgrade/README.md
UPGRADE_SQL = $(sort $(wildcard src/upgrade/$(EXTENSION)--*.sql))

built_script = build/$(EXTENSION)--$(EXTVERSION).sql
DATA = $(UPGRADE_SQL)
DATA_built = $(built_script)
PG_CPPFLAGS = -Isrc
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
# Calls within the library need not go through its symbol table.
SHLIB_LINK = -lsodium $(filter -lcrypto, $(LIBS)) -Wl,-Bsymbolic-functions
EXTRA_CLEAN = build results output_iso

# Each test file runs in a database of its own, so files need no order and share
# nothing; PGXS would run all of them in one.
NO_INSTALLCHECK = 1
REGRESS_FILES = $(sort $(wildcard sql/*.sql))
ISOLATION_FILES = $(sort $(wildcard test/isolation/specs/*.spec))

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

.DEFAULT_GOAL := all
.PHONY: demo test

demo test:
	@sh test/run.sh $@

ifneq ($(wildcard $(PGXS)),)

include $(PGXS)

$(OBJS): $(ROOM_INCLUDES)

build/types/%.sql: src/types/encrypted_type.sql.in Makefile
	@mkdir -p build/types
	sed 's/@type@/$*/g; s/@comment@/$(COMMENT_$*)/' $< > $@

$(built_script): src/install.sql $(ROOM_SQL) $(EXTENSION).control Makefile
	@mkdir -p build
	cat src/install.sql $(ROOM_SQL) > $@.tmp
	mv $@.tmp $@

.PHONY: installcheck
installcheck: $(REGRESS_FILES:sql/%.sql=check-regress-%) $(ISOLATION_FILES:test/isolation/specs/%.spec=check-isolation-%)

# One file of pg_regress; RESULTS is where its output goes
RESULTS = .
check-regress-%: sql/%.sql
	@mkdir -p $(RESULTS)
	@$(pg_regress_installcheck) --outputdir=$(RESULTS) --load-extension=$(EXTENSION) --dbname=regress_$* $*

check-isolation-%: test/isolation/specs/%.spec
	@mkdir -p $(RESULTS)/output_iso
	@$(pg_isolation_regress_installcheck) --inputdir=test/isolation --outputdir=$(RESULTS)/output_iso --load-extension=$(EXTENSION) --dbname=isolation_$* $*

else

.PHONY: all install installcheck clean
all install installcheck clean:
	@echo "customer_hub: no PostgreSQL to build for: '$(PG_CONFIG)' does not name a pg_config with server headers." >&2
	@echo "Missing: the PostgreSQL server headers (Debian, Ubuntu: postgresql-server-dev-NN) and libsodium (libsodium-dev)." >&2
	@echo "Install them, or set PG_CONFIG=/path/to/pg_config. 'sh test/run.sh demo' installs what is missing by itself." >&2
	@exit 1

endif
