# SPDX-License-Identifier: MIT
#
# Install, uninstall, and what a release is made of: tarball, Debian packages, list of what is linked.
# The Makefile includes this. docs/INSTALL.md is for those who choose.

.PHONY: install install-strip uninstall dist deb sbom check-privilege

# Where others look for what we have: QEMU and libvirt for vhost-user back-ends, shells for completions.
backends  = $(datadir)/qemu/vhost-user
bash_completions = $(datadir)/bash-completion/completions
zsh_completions  = $(datadir)/zsh/site-functions

, := ,

# ---- What goes where -----------------------------------------------------------------------------
# One list each, SOURCE:TARGET: what is installed is what is uninstalled. An empty directory means: not wanted.
place = $(if $(strip $2),$1:$(strip $2)/$(or $3,$(notdir $1)))

INSTALLED_PROGRAMS = \
  $(call place,$(B)/tapferry,$(bindir)) \
  $(call place,$(B)/tapferry-vhost,$(bindir)) \
  $(call place,$(B)/tapferryd,$(sbindir)) \
  $(call place,$(B)/tapferry-libvirt,$(libexecdir)) \
  $(B)/tapferry-broker:$(broker_path)
# Text in which @bindir@ and the like are filled in.
INSTALLED_TEXTS = \
  $(foreach page,$(MANUALS),$(call place,$(page),$(mandir)/man$(subst .,,$(suffix $(page))))) \
  $(call place,$(S)/docs/50-tapferry-vhost.json,$(backends)) \
  $(foreach user,tapferry tapferry-broker,$(call place,$(S)/docs/sysusers/$(user).conf,$(sysusersdir))) \
  $(foreach unit,tapferryd.service tapferryd.socket,$(call place,$(S)/docs/systemd/$(unit),$(systemdsystemunitdir))) \
  $(foreach profile,tapferryd tapferry-vhost,$(call place,$(S)/docs/apparmor/$(profile),$(apparmordir))) \
  $(foreach file,$(filter %.bash,$(COMPLETIONS)),$(call place,$(file),$(bash_completions),tapferry)) \
  $(foreach file,$(filter-out %.bash,$(COMPLETIONS)),$(call place,$(file),$(zsh_completions)))
# What a link says, and where it lies: bash-completion looks for a file with the command's name.
INSTALLED_LINKS = \
  $(if $(COMPLETIONS),$(foreach name,tapferry-helper tapferry-vhost tapferryd,tapferry:$(bash_completions)/$(name)))
INSTALLED = $(INSTALLED_PROGRAMS) $(INSTALLED_TEXTS) $(INSTALLED_LINKS)

targets = $(foreach pair,$1,$(DESTDIR)$(word 2,$(subst :, ,$(pair))))

fill_in  = sed -e 's|@sysconfdir@|$(sysconfdir)|g' -e 's|@libexecdir@|$(libexecdir)|g' \
  -e 's|@bindir@|$(bindir)|g' -e 's|@sbindir@|$(sbindir)|g' -e 's|@datadir@|$(datadir)|g' -e 's|@VERSION@|$(VERSION)|g'
put      = text=$$($(fill_in) $1) && printf '%s\n' "$$text" | (set -x; install -D -m 644 /dev/stdin $2)

# ---- Install -------------------------------------------------------------------------------------
# setuid bit and capabilities are root's to give: for anybody else the helper comes without, and what it lacks is said.
helper_mode  = $(if $(filter setuid,$(privilege)),4)$(if $(helper_group),750,755)
helper_caps := cap_net_admin,cap_setpcap,cap_dac_override+ep
give_caps    = $(if $(filter filecaps,$(privilege)),setcap $(helper_caps) $(DESTDIR)$(helper_path))
# Into the running system, not into a folder for somebody else's.
is_live      = [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]
reload_units = if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
# Where the kernel has AppArmor and the profiles are installed.
each_profile = if [ -e /sys/kernel/security/apparmor/profiles ] && command -v apparmor_parser >/dev/null; then \
  for profile in $(if $(apparmordir),$(apparmordir)/tapferryd $(apparmordir)/tapferry-vhost); do \
    [ ! -e $$profile ] || $1 $$profile || true; done; fi
add_user     = useradd --system --user-group --no-create-home --shell /usr/sbin/nologin
system_users = tapferry tapferry-broker

install-strip: ; @$(MAKE) --no-print-directory install STRIP=-s

check-privilege:
	@case '$(privilege)' in setuid | filecaps | broker) ;; \
	  *) echo 'privilege=$(privilege): it is setuid, filecaps or broker' >&2; exit 2 ;; esac
	@$(if $(helper_group),getent group '$(helper_group)' >/dev/null || \
	  { echo 'helper_group=$(helper_group): there is no such group' >&2; exit 2; })

install: check-privilege all
	@set -e; for pair in $(INSTALLED_PROGRAMS); do \
	  (set -x; install -D $(STRIP) -m 755 "$${pair%%:*}" "$(DESTDIR)$${pair#*:}"); done
	@if [ "$$(id -u)" = 0 ]; then set -x; \
	  install -D $(STRIP) -o root -g $(or $(helper_group),root) -m $(helper_mode) $(B)/tapferry-helper $(DESTDIR)$(helper_path) \
	  $(if $(give_caps),&& $(give_caps)); \
	else set -x; install -D $(STRIP) -m 755 $(B)/tapferry-helper $(DESTDIR)$(helper_path); set +x; \
	  echo 'not root: $(DESTDIR)$(helper_path) still needs: chown root:$(or $(helper_group),root), then chmod $(helper_mode)$(if \
	    $(give_caps),$(,) then $(give_caps))'; fi
	@set -e; for pair in $(INSTALLED_TEXTS); do $(call put,"$${pair%%:*}","$(DESTDIR)$${pair#*:}"); done
	@set -e; for pair in $(INSTALLED_LINKS); do (set -x; ln -sf "$${pair%%:*}" "$(DESTDIR)$${pair#*:}"); done
	@if [ -e $(DESTDIR)$(policy_path) ]; then echo "$(DESTDIR)$(policy_path) is there already and stays as it is"; \
	else $(call put,$(S)/docs/policy.conf,$(DESTDIR)$(policy_path)); fi
	@if $(is_live); then for user in $(system_users); do \
	  getent passwd $$user >/dev/null || (set -x; $(add_user) $$user) || exit 1; done; fi
	@if $(is_live); then $(reload_units); $(call each_profile,apparmor_parser -r -W); fi

# ---- Uninstall -----------------------------------------------------------------------------------
# Folders that come with us where nobody else has any; they go when nothing is in them any more.
OWN_FOLDERS = $(sysconfdir)/tapferry/policy.d $(sysconfdir)/tapferry $(libexecdir) $(backends) $(datadir)/qemu \
  $(bash_completions) $(datadir)/bash-completion $(zsh_completions) $(datadir)/zsh \
  $(systemdsystemunitdir) $(patsubst %/system,%,$(systemdsystemunitdir)) $(sysusersdir) \
  $(if $(apparmordir),$(apparmordir)/local) $(apparmordir) $(libdir)/pkgconfig \
  $(sort $(foreach page,$(MANUALS),$(mandir)/man$(subst .,,$(suffix $(page)))))

# What runs is ended first, by the scripts that the Debian packages have for it; interfaces of running VMs stay theirs.
# A policy that somebody changed stays: it is the administrator's.
uninstall:
	@if $(is_live); then \
	  if [ -d /run/systemd/system ]; then systemctl disable --now tapferryd.socket; systemctl stop tapferryd.service; fi; \
	  PATH="$(bindir):$$PATH" sh $(S)/debian/tapferry-helper.prerm remove; $(call each_profile,apparmor_parser -R); fi
	rm -f $(call targets,$(INSTALLED)) $(DESTDIR)$(helper_path)
	@if [ -e $(DESTDIR)$(policy_path) ]; then \
	  if $(fill_in) $(S)/docs/policy.conf | cmp -s - $(DESTDIR)$(policy_path); then (set -x; rm $(DESTDIR)$(policy_path)); \
	  else echo '$(DESTDIR)$(policy_path) was changed, and stays'; fi; fi
	@for folder in $(addprefix $(DESTDIR),$(OWN_FOLDERS)); do \
	  if [ -d $$folder ]; then rmdir --ignore-fail-on-non-empty $$folder; fi; done
	@if $(is_live); then $(reload_units); \
	  sh $(S)/debian/tapferryd.postrm purge; sh $(S)/debian/tapferry-helper.postrm purge; fi

# ---- Release -------------------------------------------------------------------------------------
RELEASE := tapferry-$(VERSION)

# The same commit gives the same bytes: sorted, one time stamp, no names of users.
dist: $(S)/configure
	@$(S)/packaging/tarball $(S) $(RELEASE) >$(RELEASE).tar.gz.new && mv $(RELEASE).tar.gz.new $(RELEASE).tar.gz
	$(call say,DIST,$(RELEASE).tar.gz)

# From what is built here: a packager who starts from the tarball runs dpkg-buildpackage there.
deb: all dist
	@$(S)/packaging/deb $(RELEASE).tar.gz $(B) '$(CXXFLAGS)' '$(CPPFLAGS)' '$(LDFLAGS)'

sbom: all
	@$(S)/packaging/sbom --version=$(VERSION) --cxx='$(CXX)' $(PROGRAMS) $(SHARED) >$(B)/tapferry.spdx.json.new
	@mv $(B)/tapferry.spdx.json.new $(B)/tapferry.spdx.json
	$(call say,SBOM,$(B)/tapferry.spdx.json)
