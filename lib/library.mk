# SPDX-License-Identifier: MIT
#
# libtapferry: built, tested, looked over and installed beside the programs. The Makefile includes this at its end.

# What others load into their programs, object by object: it brings nothing but the C library there.
LIB := $(addsuffix .cc, \
  base/fd base/fd_pass base/parse base/result base/syscall base/text \
  net/ask net/ask_broker net/child net/grant net/grant_reader net/hidden_child net/json_object net/mac net/ovs net/spec \
  lib/tapferry)
LIB_OWN     := $(filter lib/%,$(LIB))
LIB_OBJECTS := $(LIB:%.cc=$(B)/pic/%.o)
# With a sanitizer it would want that one's runtime in every program that loads it; the unit tests have it linked in.
SHARED      := $(if $(VARIANT),,$(B)/libtapferry.so.0)

all: $(SHARED)

# Linked as the programs are, but for what makes them programs; a name that nobody defines is an error here already.
$(B)/libtapferry.so.0: $(LIB_OBJECTS) $(S)/lib/libtapferry.map $(B)/inputs
	$(call say,LINK,$@)
	$(Q)$(filter-out -pie,$(LINK)) -shared -Wl,-soname,$(@F) -Wl,-z,defs -Wl,--version-script,$(S)/lib/libtapferry.map \
	  -o $@ $(filter %.o,$^) $(LIBS)

$(B)/pic/%.o: $(S)/%.cc $(B)/flags | $(B)/paths.h config.h
	$(call say,PIC,$*.cc)
	@mkdir -p $(@D)
	$(Q)$(filter-out -fPIE,$(COMPILE)) $(NO_EXCEPTIONS) $(NLOHMANN_CFLAGS) -Os -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

# For the unit tests.
$(B)/obj/lib/%.o: private OWN := $(NO_EXCEPTIONS)
$(LIBRARY): $(call objects,$(LIB_OWN))
OBJECTS += $(call objects,$(LIB_OWN))

-include $(LIB_OBJECTS:.o=.d) $(patsubst %.o,%.d,$(call objects,$(LIB_OWN)))

LINTED += $(LIB_OWN)
CODE   += $(wildcard $(foreach d,lib lib/examples,$(S)/$d/*.h $(S)/$d/*.cc))
do-lint: $(LIB_OWN:%.cc=$(B)/lint/%.tidy)

# The loader's cache is the running system's: a package's scripts see to it themselves.
pkgconfigdir = $(libdir)/pkgconfig
library_files = $(libdir)/libtapferry.so.0 $(libdir)/libtapferry.so $(includedir)/tapferry.h $(pkgconfigdir)/tapferry.pc
.PHONY: install-lib uninstall-lib
install: install-lib
install-lib: all
ifeq ($(VARIANT),)
	install -d $(DESTDIR)$(libdir) $(DESTDIR)$(includedir) $(DESTDIR)$(pkgconfigdir)
	install $(STRIP) -m 644 $(B)/libtapferry.so.0 $(DESTDIR)$(libdir)
	ln -sf libtapferry.so.0 $(DESTDIR)$(libdir)/libtapferry.so
	install -m 644 $(S)/lib/tapferry.h $(DESTDIR)$(includedir)
	$(fill_in) -e 's|@prefix@|$(prefix)|g' -e 's|@libdir@|$(libdir)|g' -e 's|@includedir@|$(includedir)|g' \
	  $(S)/lib/tapferry.pc.in >$(DESTDIR)$(pkgconfigdir)/tapferry.pc && chmod 644 $(DESTDIR)$(pkgconfigdir)/tapferry.pc
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then (set -x; ldconfig); fi
endif
uninstall: uninstall-lib
uninstall-lib:
	rm -f $(addprefix $(DESTDIR),$(library_files))
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then (set -x; ldconfig); fi
