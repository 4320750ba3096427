# Build, test and install. Everything is built out of the tree, under build/FLAVOUR.
#
#   make                      optimised build          make test     unit tests
#   make FLAVOUR=asan test    ... with sanitizers      make check    everything CI runs
#   make help                 all targets

NAME    := sluice
VERSION := $(shell cat VERSION)

PREFIX     ?= /usr/local
SYSCONFDIR ?= $(PREFIX)/etc
DESTDIR    ?=
CC         ?= cc
PKG_CONFIG ?= pkg-config
FLAVOUR    ?= release
B          := build/$(FLAVOUR)

# --- dependencies -----------------------------------------------------------
PACKAGES := openssl hiredis libxxhash jansson inih
# libcurl is loaded when it is needed: lib/store/curl_library.h.
DEP_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) libcurl)
DEP_LIBS   := $(shell $(PKG_CONFIG) --libs $(PACKAGES)) -lm
ifneq ($(.SHELLSTATUS),0)
  $(error missing libraries: run scripts/install-deps)
endif

# --- flags ------------------------------------------------------------------
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla \
            -Wimplicit-fallthrough -Wconversion -Wno-sign-conversion
HARDEN   := -fstack-protector-strong -fPIE
LDHARDEN := -pie -Wl,-z,relro,-z,now

# Every flavour but release has the fail points compiled in (lib/base/fail_point.h).
FLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2
FLAGS_debug   := -O1 -g3 -DSLUICE_FAIL_POINTS
FLAGS_asan    := -O1 -g3 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -DSLUICE_FAIL_POINTS
FLAGS_tsan    := -O1 -g3 -fno-omit-frame-pointer -fsanitize=thread -DSLUICE_FAIL_POINTS
FLAGS_cover   := -O0 -g3 --coverage -DSLUICE_FAIL_POINTS
FLAGS_fuzz    := -O1 -g3 -fsanitize=fuzzer-no-link,address,undefined -DSLUICE_FAIL_POINTS
ifeq ($(origin FLAGS_$(FLAVOUR)),undefined)
  $(error unknown FLAVOUR '$(FLAVOUR)')
endif
ifeq ($(FLAVOUR),fuzz)
  CC := clang
endif

CPPFLAGS += -I. -D_GNU_SOURCE -DVERSION='"$(VERSION)"'
ALL_CFLAGS  := -std=c17 -pthread $(WARNINGS) $(HARDEN) $(FLAGS_$(FLAVOUR)) $(DEP_CFLAGS) $(CFLAGS)
ALL_LDFLAGS := -pthread $(LDHARDEN) $(FLAGS_$(FLAVOUR)) $(LDFLAGS)

# The programs of the release are optimised as a whole; its many test programs take the same objects
# and link in no time.
LTO_release   := -flto=auto -ffat-lto-objects
IS_GCC        := $(findstring Free Software,$(shell $(CC) --version))
LTO           := $(if $(IS_GCC),$(LTO_$(FLAVOUR)))
ALL_CFLAGS    += $(LTO)
PROGRAM_LDFLAGS := $(ALL_LDFLAGS) $(LTO)
ALL_LDFLAGS   += $(if $(LTO),-fno-lto)

# --- sources: a folder is a component; there is no list of files to keep ------
sources  = $(shell find $(1) -name '*.c' 2>/dev/null | sort)
objects  = $(patsubst %.c,$(B)/%.o,$(1))
programs = $(patsubst tests/%.c,$(B)/tests/%,$(call sources,$(1)))
LIB      := $(B)/lib.a
PROGRAMS := $(B)/$(NAME)-proxy $(B)/$(NAME)-migrator $(B)/$(NAME)ctl
# Files that are built in: scripts for the shards, the dashboard.
SCRIPTS   := $(patsubst %,$(B)/%.o,$(wildcard lib/shard/lua/*.lua))
DASHBOARD := $(patsubst %,$(B)/%.o,$(wildcard proxy/control/dashboard/*))

# The programs of $(1) whose path has the word ONLY; all without it.
chosen = $(if $(ONLY),$(foreach t,$(1),$(if $(findstring $(ONLY),$(t)),$(t))),$(1))

# A test links the library and the programs' modules; main.c stays out.
MODULES     := $(B)/proxy.a $(B)/migrator.a $(B)/ctl.a
SUPPORT     := $(B)/tests/support.a
UNIT        := $(call programs,tests/unit)
INTEGRATION := $(call programs,tests/integration) $(call programs,tests/migration) \
               $(filter %_test,$(call programs,tests/chaos))
TOOLS       := $(call programs,tests/tools) $(patsubst %.c,$(B)/%.so,$(call sources,tests/shim))
CHAOS       := $(filter-out %_test,$(call programs,tests/chaos))
BENCH       := $(call programs,tests/bench)
FUZZ        := $(call programs,tests/fuzz)

.PHONY: all test integration check lint format fuzz bench bench-instructions bench-migration bench-threads install clean help tools model model-full
.SECONDARY:
all: $(PROGRAMS)

$(B)/$(NAME)-proxy:    $(B)/proxy/main.o $(B)/proxy.a
$(B)/$(NAME)-migrator: $(B)/migrator/main.o $(B)/migrator.a
$(B)/$(NAME)ctl:       $(B)/ctl/main.o $(B)/ctl.a
$(PROGRAMS): $(LIB)
	$(CC) $(PROGRAM_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$(filter-out $(LIB),$^)) $(LIB) $(DEP_LIBS)

define archive
@mkdir -p $(@D); rm -f $@
$(AR) rcs $@ $^
endef
$(LIB): $(call objects,$(call sources,lib)) $(SCRIPTS)
	$(archive)
$(B)/proxy.a:    $(call objects,$(filter-out proxy/main.c,$(call sources,proxy))) $(DASHBOARD)
	$(archive)
$(B)/migrator.a: $(call objects,$(filter-out migrator/main.c,$(call sources,migrator)))
	$(archive)
$(B)/ctl.a:      $(call objects,$(filter-out ctl/main.c,$(call sources,ctl)))
	$(archive)
$(SUPPORT):      $(call objects,$(call sources,tests/support))
	$(archive)

# Preloaded into other programs, so without the sanitizers.
$(B)/%.so: %.c
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE $(WARNINGS) -O1 -g -shared -fPIC -o $@ $<

$(UNIT) $(INTEGRATION) $(filter-out %.so,$(TOOLS)) $(CHAOS) $(BENCH): $(B)/tests/%: $(B)/tests/%.o $(SUPPORT) $(MODULES) $(LIB)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(DEP_LIBS) -lcmocka

$(FUZZ): $(B)/tests/%: $(B)/tests/%.o $(MODULES) $(LIB)
	$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(DEP_LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(SCRIPTS) $(DASHBOARD): $(B)/%.o: % scripts/embed
	@mkdir -p $(@D)
	scripts/embed $< > $(@:.o=.c)
	$(CC) $(ALL_CFLAGS) -c -o $@ $(@:.o=.c)

.PHONY: unit-programs integration-programs chaos-programs chaos soak
chaos-programs: $(CHAOS)
unit-programs: $(UNIT)
integration-programs: all $(INTEGRATION) $(TOOLS)

tools: $(TOOLS) ## build the helper programs of tests and scripts

# All of them, whatever fails; then says which did.
run_all = failed=; for t in $(1); do SLUICE_BIN=$(abspath $(B)) $$t || failed="$$failed $$t"; done; \
          [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

test: $(UNIT) ## run the unit tests (ONLY=word: those whose path has it)
	@$(call run_all,$(call chosen,$(UNIT)))

integration: all $(INTEGRATION) $(TOOLS) ## run the tests against real redis-servers
	@$(call run_all,$(call chosen,$(INTEGRATION)))

chaos: ## every step under every fault, and a storm; CHAOS_OPTIONS="--seconds 300 --seed 1" (90 minutes)
	scripts/chaos $(CHAOS_OPTIONS)

soak: ## migrations back and forth under load: memory and descriptors stay flat; SOAK_SECONDS=3600
	scripts/soak $(or $(SOAK_SECONDS),3600)

fuzz: ## run every fuzzer for FUZZ_SECONDS (default 20)
	@$(MAKE) --no-print-directory FLAVOUR=fuzz fuzz-run

.PHONY: fuzz-run
fuzz-run: $(FUZZ)
	@for f in $(FUZZ); do name=$$(basename $$f); mkdir -p $(B)/corpus/$$name; \
	  echo "fuzz $$name"; \
	  $$f -max_total_time=$(or $(FUZZ_SECONDS),20) -print_final_stats=0 -verbosity=0 \
	    -artifact_prefix=$(B)/ $(B)/corpus/$$name $(wildcard tests/fuzz/corpus) || exit 1; done

model: ## search the protocol's model, the quick cases (scripts/install-deps --model)
	@tests/model/check quick '$(ONLY)'

model-full: ## all cases of the model: an hour
	@tests/model/check full '$(ONLY)'

bench: all $(BENCH) ## compare with nutcracker in the same run
	scripts/bench --syscalls $(BENCH_OPTIONS)

bench-instructions: all $(BENCH) ## user instructions per request, by callgrind; micro-benchmarks
	scripts/bench-instructions $(BENCH_OPTIONS)
	$(B)/tests/bench/micro

bench-migration: all $(BENCH) $(TOOLS) ## how fast half a shard moves, and what its clients feel
	scripts/bench-migration $(BENCH_OPTIONS)

bench-threads: all ## whether two threads of the proxy do more than one
	scripts/bench-threads $(BENCH_OPTIONS)

format: ## reformat every source file in place
	clang-format -i $$(git ls-files '*.c' '*.h')

lint: ## formatting, layering, sizes, clang-tidy, cppcheck, shellcheck
	scripts/lint

check: ## everything: both compilers, sanitizers, lint, fuzz smoke, all tests
	scripts/check

install: all ## install under $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(SYSCONFDIR)/$(NAME)
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(wildcard docs/man/*.1) $(DESTDIR)$(PREFIX)/share/man/man1
	for sample in $(notdir $(wildcard config/*.conf config/*.acl)); do \
	  install -m 644 config/$$sample $(DESTDIR)$(SYSCONFDIR)/$(NAME)/$$sample.sample || exit 1; done
	for file in $(notdir $(wildcard config/*.conf)); do scripts/install-once config/$$file \
	  $(DESTDIR)$(SYSCONFDIR)/$(NAME)/$$file $(NAME) || exit 1; done
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d
	install -m 644 config/systemd/sluice.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/sluice.conf
	for unit in $(notdir $(wildcard config/systemd/*.service)); do \
	  sed -e 's|/usr/local/etc|$(SYSCONFDIR)|' -e 's|/usr/local/bin|$(PREFIX)/bin|' config/systemd/$$unit \
	    > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; \
	  chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit; done

clean: ## remove everything that was built
	rm -rf build

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
