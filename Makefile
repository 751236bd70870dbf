# SPDX-License-Identifier: MIT
#
# Builds, tests and installs tapferry. GNU make, written by hand; `make help' lists the targets.
# configure (made from configure.ac when missing) writes config.mk and config.h. Everything built
# lands in build/; sanitizer and fuzz builds are the same rules with another VARIANT, in
# build/asan, build/tsan and build/fuzz. Out of tree, configure writes a Makefile that includes this one.

srcdir ?= .
S      := $(srcdir)
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

# V=1 shows the commands.
V   ?= 0
Q   := $(if $(filter 0,$V),@)
say  = $(if $(filter 0,$V),@printf '  %-7s %s\n' $1 '$2$(if $(VARIANT), [$(VARIANT)])')

FUZZ_TIME ?= 60

# ---- Targets that work before configure has run ------------------------------------------------
# The driven ones install what is missing first and then start make again, so that configure
# finds what deps has just installed.
DRIVEN  := demo check check-fuzz asan tsan fuzz bench lint
PLAIN   := help deps clean distclean
CHECKED := unit system vm fault

.PHONY: all $(PLAIN) $(DRIVEN) $(CHECKED:%=check-%) format privileged FORCE

$(DRIVEN): deps
	@$(MAKE) --no-print-directory $(if $(filter lint,$@),-k) do-$@

deps:
	@$(S)/deps/install

help:
	@sed -n 's/^#? //p' $(S)/Makefile

clean:
	rm -rf build
distclean: clean
	rm -rf configure configure~ autom4te.cache config.mk config.h config.log config.status \
	  $(if $(filter-out .,$(S)),Makefile)

# Several of them at once would build the same files twice.
ifneq ($(filter $(DRIVEN),$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif

ifneq ($(filter-out $(PLAIN) $(DRIVEN),$(or $(MAKECMDGOALS),all)),)

# ---- Configuration --------------------------------------------------------------------------------
include config.mk

deps_first = $(if $(filter deps $(DRIVEN),$(MAKECMDGOALS)),@$(S)/deps/install)

$(S)/configure: $(S)/configure.ac
	$(deps_first)
	$(call say,CONF,configure)
	$(Q)cd $(S) && autoconf || { echo 'What is missing is installed by: make deps' >&2; exit 1; }

config.mk: $(S)/configure $(S)/config.mk.in $(S)/config.h.in
	$(deps_first)
	$(call say,CONF,config.mk)
	$(Q)if [ -x config.status ]; then ./config.status --recheck; else $(S)/configure; fi >config.out 2>&1 || \
	  { grep -A20 'error:' config.out; rm -f config.out; echo 'What is missing is installed by: make deps'; exit 1; } >&2
	$(Q)./config.status >>config.out && rm -f config.out && touch $@

config.h: ; $(Q)./config.status config.h

# `make install PREFIX=/usr' moves everything that depends on the prefix, in the programs too.
ifdef PREFIX
prefix := $(PREFIX)
endif
# Unless configure was told otherwise: the policy of a program under /usr or /usr/local is in /etc.
ifeq ($(value sysconfdir),$${prefix}/etc)
sysconfdir := $(if $(filter /usr /usr/local,$(prefix)),,$(prefix))/etc
endif
helper_path = $(libexecdir)/tapferry-helper
broker_path = $(libexecdir)/tapferry-broker
broker_socket = /run/tapferry/broker.sock
policy_path = $(sysconfdir)/tapferry/policy.conf

# ---- Variants -------------------------------------------------------------------------------------
B         := build$(if $(VARIANT),/$(VARIANT))
FLAVOUR   := $(HARDEN_CXXFLAGS) -ffunction-sections -fdata-sections
FLAVOUR_L := $(HARDEN_LDFLAGS) -Wl,--gc-sections -static-libstdc++ -static-libgcc
# vptr checks need the run-time types that ours is built without.
SANITIZE  := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-sanitize=vptr
ifeq ($(VARIANT),asan)
  FLAVOUR   := -O1 $(SANITIZE) -fno-omit-frame-pointer
  FLAVOUR_L := -pie $(SANITIZE)
else ifeq ($(VARIANT),tsan)
  FLAVOUR   := -O1 -fsanitize=thread -fno-omit-frame-pointer
  FLAVOUR_L := -pie -fsanitize=thread
else ifeq ($(VARIANT),fuzz)
  CXX       := $(CLANGXX)
  WARN_CXXFLAGS :=
  FLAVOUR   := -O1 $(SANITIZE) -fsanitize=fuzzer-no-link
  FLAVOUR_L := -pie $(SANITIZE) -fsanitize=fuzzer
endif

INCLUDES := -I. -I$(S) -I$(B)
WARN     := -Wall -Wextra $(WARN_CXXFLAGS) $(if $(filter 1 yes,$(WERROR) $(CONFIG_WERROR)),-Werror)
STD      := -std=c++20
# The programs don't say where they were built.
PLACE    := -ffile-prefix-map=$(S)/= -ffile-prefix-map=$(CURDIR)=.
COMPILE   = $(CXX) $(STD) $(WARN) $(INCLUDES) $(CPPFLAGS) $(PLACE) $(CXXFLAGS) -fPIE $(FLAVOUR)
LINK      = $(CXX) $(CXXFLAGS) $(FLAVOUR) $(LDFLAGS) $(FLAVOUR_L)

# Ours has neither exceptions nor run-time types; GoogleTest wants both.
NO_EXCEPTIONS := -fno-exceptions -fno-rtti
PRIVILEGED_CFLAGS := $(CAPNG_CFLAGS) $(MNL_CFLAGS)
PRIVILEGED_LIBS   := $(CAPNG_LIBS) $(MNL_LIBS)
TOOLS_CFLAGS      := $(GLIB_CFLAGS) $(JSON_CFLAGS) $(NLOHMANN_CFLAGS) $(MNL_CFLAGS)
TOOLS_LIBS        := $(GLIB_LIBS) $(JSON_LIBS) $(MNL_LIBS)
VHOST_CFLAGS      := $(TOOLS_CFLAGS) $(URING_CFLAGS) $(SECCOMP_CFLAGS) $(CAPNG_CFLAGS)
VHOST_LIBS        := $(TOOLS_LIBS) $(URING_LIBS) $(SECCOMP_LIBS) $(CAPNG_LIBS)
DOMAIN_CFLAGS     := $(LIBVIRT_CFLAGS) $(JSON_CFLAGS)
DOMAIN_LIBS       := $(LIBVIRT_LIBS) $(JSON_LIBS)
# Asked when it is used: GoogleTest may have come after configure.
GTEST_CFLAGS = $(shell $(PKG_CONFIG) --cflags gtest_main)
GTEST_LIBS   = $(shell $(PKG_CONFIG) --libs gtest_main)

# ---- What is built from what -------------------------------------------------------------------
sources = $(patsubst $(S)/%,%,$(sort $(wildcard $(S)/$1)))
objects = $(patsubst %.cc,$(B)/obj/%.o,$1)

BASE   := $(call sources,base/*.cc)
NET    := $(call sources,net/*.cc)
BUILDTIME := helper/confine_compile.cc
HELPER := $(filter-out $(BUILDTIME),$(call sources,helper/*.cc))
BROKER := $(call sources,broker/*.cc)
TOOLS  := $(call sources,tools/*.cc)
VHOST  := $(call sources,vhost/*.cc)
DOMAIN := $(call sources,domain/*.cc)
# A vhost-user front-end with a guest's memory, which tests, benchmarks and fuzzers drive.
FRONT  := $(call sources,tests/lib/front/*.cc)
UNIT   := $(call sources,tests/unit/*.cc)
FUZZ   := $(call sources,tests/fuzz/*_fuzz.cc)
BENCH  := $(call sources,tests/bench/*.cc)

# What runs with privilege, object by object; nothing else does. An undefined reference in
# tapferry-helper means that a new file is to be argued for here. `make privileged' counts the lines.
PRIVILEGED := $(addsuffix .cc, \
  base/fd base/fd_pass base/log base/parse base/result base/syscall base/text \
  net/abandoned net/address net/bridge_port net/frame_filter net/grant net/ip_address net/link net/mac net/macvtap net/rtnl \
  net/rtnl_events net/child net/ovs net/ovs_vsctl net/spec net/tag net/tc net/tc_hooks net/tun net/wire \
  helper/main helper/sane helper/acquire helper/privilege helper/confine helper/detach helper/syslog \
  helper/audit helper/request helper/accounts helper/service_account helper/quota helper/sweep helper/device \
  helper/policy helper/policy_parse helper/policy_load helper/policy_fit helper/policy_explain \
  helper/privileged helper/granted helper/handover helper/tap helper/port_security helper/macvtap \
  helper/maker helper/maker_process helper/macvtap_maker helper/queue_node helper/user_node \
  helper/privileged_macvtap helper/ovs_keeper helper/ovs_port \
  helper/warden helper/warden_adopt helper/warden_connect helper/wards helper/kept helper/queue_watches)
# tapferryd, which starts the helper for those who are connected, and takes up what a killed warden left; and nothing else of it
# has privilege.
DAEMON := $(addsuffix .cc, \
  base/fd base/fd_pass base/log base/parse base/result base/syscall base/text net/wire \
  helper/tapferryd helper/service helper/launcher helper/peer helper/event_log helper/syslog \
  helper/sane helper/privilege helper/accounts helper/service_account helper/adoption \
  net/abandoned net/address net/bridge_port net/frame_filter net/ip_address net/link net/mac net/macvtap \
  net/macvtap_claim net/ovs net/process_fds net/rtnl net/rtnl_events net/spec net/tag net/tc net/tc_hooks net/tun \
  helper/adopt helper/confine helper/detach helper/device helper/granted helper/kept helper/port_security \
  helper/privileged helper/privileged_macvtap helper/queue_node helper/queue_watches helper/warden helper/warden_adopt \
  helper/user_node helper/warden_connect helper/wards)
UNPRIVILEGED_NET := $(filter-out $(PRIVILEGED) $(DAEMON),$(NET))

PROGRAMS := $(if $(filter helper/main.cc,$(HELPER)),$(B)/tapferry-helper) \
            $(B)/tapferryd $(B)/tapferry-broker \
            $(if $(filter tools/main.cc,$(TOOLS)),$(B)/tapferry) \
            $(if $(filter vhost/main.cc,$(VHOST)),$(B)/tapferry-vhost) \
            $(if $(filter domain/main.cc,$(DOMAIN)),$(B)/tapferry-libvirt)
FRONT_END := $(if $(filter tests/lib/front/main.cc,$(FRONT)),$(B)/tests/front_end)
UNIT_TESTS := $(if $(UNIT),$(B)/tests/unit)
BENCHES := $(BENCH:tests/bench/%.cc=$(B)/bench/%)
FUZZERS := $(FUZZ:tests/fuzz/%_fuzz.cc=build/fuzz/%)
# Of the tools those parts that read what strangers send.
FUZZED  := $(addprefix tools/,echo.cc frames.cc reassembly.cc)
TESTED  := $(filter-out %/main.cc %/tapferryd.cc,$(BASE) $(NET) $(HELPER) $(BROKER) $(VHOST) $(FRONT) \
  $(if $(filter fuzz,$(VARIANT)),$(filter $(FUZZED),$(TOOLS)),$(TOOLS)))
LIBRARY := $(B)/tested.a
LIBRARY_LIBS := $(PRIVILEGED_LIBS) $(VHOST_LIBS)
OBJECTS := $(call objects,$(BASE) $(NET) $(HELPER) $(BROKER) $(TOOLS) $(VHOST) $(DOMAIN) $(FRONT) $(UNIT) $(FUZZ) $(BENCH))

ifeq ($(VARIANT),asan)
$(PROGRAMS): $(B)/obj/tests/lib/asan_options.o
endif

all: $(PROGRAMS)

privileged:
	@cd $(S) && wc -l $(foreach f,$(sort $(PRIVILEGED) $(DAEMON)),$f $(patsubst $(S)/%,%,$(wildcard $(f:%.cc=$(S)/%.h))))

$(B)/tapferry-helper: $(call objects,$(PRIVILEGED))
	$(link) $(PRIVILEGED_LIBS) $(LIBS)

$(B)/tapferryd: $(call objects,$(DAEMON))
	$(link) $(PRIVILEGED_LIBS) $(LIBS)

$(B)/tapferry-broker: $(call objects,$(BASE) $(NET) $(BROKER))
	$(link) $(TOOLS_LIBS) $(LIBS)

$(B)/tapferry: $(call objects,$(BASE) $(NET) $(TOOLS))
	$(link) $(TOOLS_LIBS) $(LIBS)

$(B)/tapferry-vhost: $(call objects,$(BASE) $(NET) $(VHOST))
	$(link) $(VHOST_LIBS) $(LIBS)

$(B)/tapferry-libvirt: $(call objects,$(BASE) $(DOMAIN))
	$(link) $(DOMAIN_LIBS) $(LIBS)

$(B)/tests/front_end: $(call objects,$(filter tests/lib/front/main.cc,$(FRONT))) $(LIBRARY)
	$(link) $(LIBRARY_LIBS) $(LIBS)

$(B)/tests/unit: $(call objects,$(UNIT)) $(LIBRARY)
	$(link) $(LIBRARY_LIBS) $(GTEST_LIBS) $(LIBS)

$(BENCHES): $(B)/bench/%: $(B)/obj/tests/bench/%.o $(LIBRARY)
	$(link) $(LIBRARY_LIBS) $(LIBS)

$(FUZZERS): build/fuzz/%: $(B)/obj/tests/fuzz/%_fuzz.o $(LIBRARY) $(B)/inputs
	$(link) $(LIBRARY_LIBS) $(LIBS)

# The way there from the plain build.
fuzzers: ; @$(if $(FUZZERS),$(MAKE) --no-print-directory VARIANT=fuzz $(FUZZERS))

$(PROGRAMS) $(FRONT_END) $(UNIT_TESTS) $(BENCHES): $(B)/inputs

define link
$(call say,LINK,$@)
@mkdir -p $(@D)
$(Q)$(LINK) -o $@ $(filter %.o %.a,$^)
endef

# What tests link: of it they take what they use, so that no test depends on a program's main().
$(LIBRARY): $(call objects,$(TESTED)) $(B)/inputs
	$(call say,AR,$@)
	$(Q)rm -f $@; $(AR) rcs $@ $(filter %.o,$^)

# Runs while building: no sanitizer, no hardening.
$(B)/confine_compile: $(S)/helper/confine_compile.cc | $(B)/flags
	$(call say,CXX,helper/confine_compile.cc)
	$(Q)$(CXX) $(STD) $(WARN) $(CPPFLAGS) $(SECCOMP_CFLAGS) -o $@ $< $(SECCOMP_LIBS)
$(B)/confine_filters.h: $(B)/confine_compile
	$(call say,GEN,$@)
	$(Q)$< >$@.new && mv $@.new $@
$(B)/obj/helper/confine.o: $(B)/confine_filters.h

# Small rather than fast: a hand-over runs each line once, so what counts is how many pages are touched.
$(B)/obj/base/%.o $(B)/obj/net/%.o $(B)/obj/helper/%.o: private OWN := $(NO_EXCEPTIONS) -Os $(PRIVILEGED_CFLAGS)
$(B)/obj/tools/%.o $(B)/obj/broker/%.o $(call objects,$(UNPRIVILEGED_NET)): private OWN := $(NO_EXCEPTIONS) $(TOOLS_CFLAGS)
$(B)/obj/vhost/%.o: private OWN := $(NO_EXCEPTIONS) $(VHOST_CFLAGS)
$(B)/obj/domain/%.o: private OWN := $(NO_EXCEPTIONS) $(DOMAIN_CFLAGS)
$(B)/obj/tests/%.o: private OWN = $(PRIVILEGED_CFLAGS) $(VHOST_CFLAGS) $(if $(findstring /tests/unit/,$@),$(GTEST_CFLAGS))
$(B)/obj/tests/lib/front/%.o: private OWN := $(NO_EXCEPTIONS) $(VHOST_CFLAGS)

$(B)/obj/%.o: $(S)/%.cc $(B)/flags | $(B)/paths.h config.h
	$(call say,CXX,$*.cc)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(OWN) -MMD -MP -c -o $@ $<

-include $(OBJECTS:.o=.d)

# Files that hold what a rule depends on besides files; rewritten only when that changes. Where the tree lies changes
# nothing: `make deb' takes the objects to another place.
move_if_new = if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
update      = @mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$1)' >$@.new; $(move_if_new)

$(B)/flags: FORCE
	$(call update,$(filter-out $(PLACE),$(COMPILE)) $(LINK) $(PRIVILEGED_CFLAGS) $(VHOST_CFLAGS))
$(B)/inputs: FORCE
	$(call update,$(LINK) $(PRIVILEGED_LIBS) $(VHOST_LIBS) $(OBJECTS))
$(B)/paths.h: FORCE | $(B)/flags
	@printf '#define TAPFERRY_%s "%s"\n' BINDIR '$(bindir)' LIBEXECDIR '$(libexecdir)' \
	  SYSCONFDIR '$(sysconfdir)' HELPER_PATH '$(helper_path)' POLICY_PATH '$(policy_path)' \
	  BROKER_PATH '$(broker_path)' BROKER_SOCKET '$(broker_socket)' >$@.new; $(move_if_new)

# ---- Tests ----------------------------------------------------------------------------------------
# tests/run prints one summary over everything that it is given.
no_pyc    := PYTHONDONTWRITEBYTECODE=1
run_tests  = @$(no_pyc) TAPFERRY_BUILD=$(abspath $(B)) $(S)/tests/run
SANITIZED_TESTS ?= unit system
# What has threads.
TSAN_TESTS = $(wildcard $(S)/tests/system/test_vhost_user_*.py)

.PHONY: do-demo do-check do-check-fuzz do-asan do-tsan do-fuzz do-bench do-lint fuzzers sanitized

do-demo: all
	@$(no_pyc) TAPFERRY_BUILD=$(abspath $(B)) python3 $(S)/tests/lib/demo.py

do-check: all $(FRONT_END) $(UNIT_TESTS) fuzzers
	$(run_tests) $(CHECKED) $(if $(FUZZERS),fuzz-replay)

$(CHECKED:%=check-%): check-%: all $(FRONT_END) $(UNIT_TESTS)
	$(run_tests) $*

do-check-fuzz: fuzzers
	$(run_tests) fuzz-replay

do-asan:
	@$(MAKE) --no-print-directory VARIANT=asan sanitized
do-tsan:
	@$(MAKE) --no-print-directory VARIANT=tsan SANITIZED_TESTS='unit $(TSAN_TESTS)' sanitized
sanitized: all $(FRONT_END) $(UNIT_TESTS)
	$(run_tests) $(SANITIZED_TESTS)

do-bench: all $(FRONT_END) $(BENCHES)
	@$(no_pyc) TAPFERRY_BUILD=$(abspath $(B)) $(S)/tests/bench/run

# New inputs go to build/fuzz/found/NAME, what crashed to build/fuzz/crash-NAME-*; -j2 runs two at once.
do-fuzz: $(FUZZERS:build/fuzz/%=do-fuzz-%)
do-fuzz-%: fuzzers
	$(call say,FUZZ,$* for $(FUZZ_TIME) s)
	@mkdir -p build/fuzz/found/$* && build/fuzz/$* -max_total_time=$(FUZZ_TIME) -timeout=10 -print_final_stats=1 \
	  -artifact_prefix=build/fuzz/crash-$*- \
	  build/fuzz/found/$* $(wildcard $(S)/tests/fuzz/corpus/$*) >build/fuzz/$*.log 2>&1 || \
	  { tail -n 60 build/fuzz/$*.log; exit 1; }
	@sed -n 's/^stat::number_of_executed_units: */          inputs tried: /p' build/fuzz/$*.log

# ---- Lint and format --------------------------------------------------------------------------------
LINTED := $(BASE) $(NET) $(HELPER) $(BUILDTIME) $(BROKER) $(TOOLS) $(VHOST) $(DOMAIN) $(FRONT) $(FUZZ) $(BENCH)
MANUALS := $(wildcard $(S)/docs/*.[1-8])
CODE    = $(wildcard $(foreach d,base net helper broker vhost tools domain tests/* tests/lib/*,$(S)/$d/*.h $(S)/$d/*.cc))
TIDY    = $(CLANGXX) $(STD) -Wall -Wextra $(NO_EXCEPTIONS) $(INCLUDES) $(CPPFLAGS) $(PRIVILEGED_CFLAGS) $(VHOST_CFLAGS) $(DOMAIN_CFLAGS)

.PHONY: lint-tree lint-format lint-shell lint-python lint-manual
do-lint: lint-tree lint-format lint-shell lint-python lint-manual $(LINTED:%.cc=$(B)/lint/%.tidy)
lint-tree:
	$(call say,LINT,include arrows and words)
	@$(S)/tests/lint/tree $(S)
	@$(S)/tests/lint/news $(S)
lint-format:
	$(call say,LINT,format)
	@clang-format --dry-run -Werror $(CODE) 2>$(B)/format.out || \
	  { sed -n 's/:.*error:.*//p' $(B)/format.out | sort | uniq -c; echo 'mended by: make format'; exit 1; }
lint-shell:
	$(call say,LINT,shell)
	@cd $(S) && shellcheck $$(grep -rlIE -m1 '^#!/.*[/ ](ba)?sh$$' .ci deps packaging tests) debian/*.p*rm
# What is imported as setUpModule is unittest's to call.
lint-python:
	$(call say,LINT,python)
	@command -v pyflakes3 >/dev/null || { echo 'pyflakes3 is missing: make deps' >&2; exit 1; }
	@cd $(S) && ! pyflakes3 $$(find lib tests -name '*.py'; grep -rlIE -m1 --exclude='*.py' '^#!.*python3$$' packaging tests) | \
	  grep -v ' as setUpModule. imported but unused'
lint-manual:
	$(call say,LINT,manual)
	@$(if $(MANUALS),mandoc -T lint -W warning $(MANUALS))

# After the object, so that a changed header counts too.
$(B)/lint/%.tidy: $(S)/%.cc $(B)/obj/%.o $(B)/compile_commands.json $(S)/.clang-tidy
	$(call say,TIDY,$*.cc)
	@mkdir -p $(@D); clang-tidy --quiet -p $(B) $< >$@.out 2>&1 || { cat $@.out; exit 1; }; mv $@.out $@

compile_command = {"directory":"$(CURDIR)","file":"$1","command":"$(TIDY) -c $1"},
$(B)/compile_commands.json: FORCE | $(B)/flags
	$(file >$@.new,[$(foreach f,$(LINTED),$(call compile_command,$(abspath $(S))/$f))])
	@sed -i 's/},]/}]/' $@.new; $(move_if_new)

include $(S)/completion/rules.mk

format:
	clang-format -i $(CODE)

include $(S)/install.mk

include $(S)/lib/library.mk

endif

#? make               builds all programs in build/ (V=1 shows the commands, WERROR=1: warnings are errors)
#? make deps          installs the Debian packages that are missing (deps/debian.txt)
#? make demo          an unprivileged guest on the network, in namespaces of its own
#? make check         all tests: check-unit check-system check-vm check-fault check-fuzz (MUST_RUN=1: no skips)
#? make asan, tsan    tests of a build with sanitizers (SANITIZED_TESTS="unit system")
#? make fuzz          every fuzz target for FUZZ_TIME=60 seconds
#? make bench         measures hand-overs and the fast path, side by side with others
#? make lint          clang-tidy, format, include arrows, words, NEWS.md, shell, Python, man pages
#? make privileged    the sources that run with privilege, and their lines
#? make format        formats the C++ sources
#? make install       DESTDIR= PREFIX= and more, see docs/INSTALL.md; also install-strip, uninstall
#? make deb           Debian packages in build/deb, of what is built here
#? make dist          the release's tar.gz, reproducible
#? make sbom          build/tapferry.spdx.json: what each program links, with Debian's versions
#? make clean         removes build/; distclean also what configure wrote
