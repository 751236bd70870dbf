# SPDX-License-Identifier: MIT
#
# The completion of bash and zsh, made from what the programs' --help says; part of the Makefile.

# Of fuzz targets there are no programs.
COMPLETIONS := $(if $(filter fuzz,$(VARIANT)),,$(B)/completion/tapferry.bash $(B)/completion/_tapferry)

all: $(COMPLETIONS)

$(B)/completion/%: $(S)/completion/%.in $(S)/completion/generate $(S)/completion/options.awk $(B)/spec_words $(PROGRAMS)
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)$(S)/completion/generate $< $(B) >$@.new && mv $@.new $@

# Runs while building, as the programs do for their --help.
$(B)/spec_words: $(call objects,completion/spec_words.cc $(BASE) $(NET)) $(B)/inputs
	$(link) $(TOOLS_LIBS) $(LIBS)
$(B)/obj/completion/%.o: private OWN := $(NO_EXCEPTIONS)
-include $(B)/obj/completion/spec_words.d

LINTED += completion/spec_words.cc
CODE   += $(wildcard $(S)/completion/*.cc)
.PHONY: lint-completion
do-lint: lint-completion $(B)/lint/completion/spec_words.tidy
lint-completion: $(COMPLETIONS)
	$(call say,LINT,completion)
	@shellcheck $(S)/completion/generate $(filter %.bash,$(COMPLETIONS))
	@zsh -n $(filter %/_tapferry,$(COMPLETIONS))
