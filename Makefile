# customer_hub: PGXS build. Rooms in floor order; each contributes its C and SQL.
EXTENSION = customer_hub
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)
MODULE_big = customer_hub
ROOMS = foundation keyring types identity access audit privacy channels hub

HEADERS_ALL = $(sort $(wildcard src/*/*.h))
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard $(ROOMS:%=src/%/*.c))))
ROOM_SQL = $(foreach room,$(ROOMS),$(sort $(wildcard src/$(room)/*.sql)))

INSTALL_SCRIPT = build/$(EXTENSION)--$(EXTVERSION).sql
DATA_built = $(INSTALL_SCRIPT)
PG_CPPFLAGS = -Isrc
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
SHLIB_LINK = -lsodium
EXTRA_CLEAN = build

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(HEADERS_ALL)

$(INSTALL_SCRIPT): src/install.sql $(ROOM_SQL) $(EXTENSION).control Makefile
	@mkdir -p build
	cat src/install.sql $(ROOM_SQL) > $@
