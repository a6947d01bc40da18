# customer_hub: PGXS build. Rooms in floor order; each contributes its C and SQL.
EXTENSION = customer_hub
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)
MODULE_big = customer_hub
ROOMS = foundation keyring types identity access audit privacy channels hub

ROOM_INCLUDES = $(sort $(wildcard src/*/*.h))
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard $(ROOMS:%=src/%/*.c))))

# Stated order: floors first, and within a room what others refer to first.
ROOM_SQL = \
	src/types/enums.sql \
	src/types/region.sql \
	src/types/phone.sql \
	src/types/email.sql \
	src/types/data_class.sql \
	src/types/encrypted.sql \
	src/keyring/keyring.sql \
	src/identity/identity.sql \
	src/access/governed.sql \
	src/audit/audit.sql \
	src/privacy/privacy.sql \
	src/channels/channels.sql \
	src/hub/hub.sql


built_script = build/$(EXTENSION)--$(EXTVERSION).sql
DATA_built = $(built_script)
PG_CPPFLAGS = -Isrc
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
SHLIB_LINK = -lsodium
EXTRA_CLEAN = build

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(ROOM_INCLUDES)

$(built_script): src/install.sql $(ROOM_SQL) $(EXTENSION).control Makefile
	@mkdir -p build
	cat src/install.sql $(ROOM_SQL) > $@
