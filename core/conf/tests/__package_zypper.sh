#!/bin/sh -e
# shellcheck disable=SC2154

debian_only 'a shell of busybox prefers its own rpm, so there is none to test with' || return 0

converge 'the tools' <<'END'
__package_apt zypper
__package_apt rpm
__package_apt createrepo-c
END
cp "$conf/tests/fixture/rpm-repository" "$R/tmp"
check 'a repository' in_root /tmp/rpm-repository
# Debian's zypper has no directory for it.
mkdir -p "$R/etc/zypp/repos.d"
check 'is known' in_root zypper --non-interactive addrepo --no-gpgcheck file:///srv/rpm it

# zypper fails where no package at all is installed in the end, so one stays.
converge 'install' <<'END'
__package_zypper it-base
__package_zypper it-two
__package_zypper it-one --version 1.0
END
message 'says so' '__package_zypper/it-two:installed'
same 'the version' 1.0 "$(cat "$R/srv/files/it-one")"
unchanged 'installed' <<'END'
__package_zypper it-one
__package_zypper again --name it-one --version 1.0-1
__package_zypper provided --name 'perl(It::One)'
__package_zypper nosuch --ptype pattern --state absent
END
converge 'a newer one' <<'END'
__package_zypper it-one --version 2.0-1
END
same 'the new version' 2.0 "$(cat "$R/srv/files/it-one")"
converge 'an older one' <<'END'
__package_zypper it-one --version 1.0
END
same 'the old version' 1.0 "$(cat "$R/srv/files/it-one")"

converge 'remove' <<'END'
__package_zypper it-two --state absent --version 7
__package_zypper 'perl(It::One)' --state absent
END
message 'says so' '__package_zypper/it-two:removed'
same 'all but one are gone' it-base "$(ls "$R/srv/files" 2>/dev/null)"

refuse 'nothing to install' nosuch <<'END'
__package_zypper nosuch
END
refuse 'no such pattern' nosuch <<'END'
__package_zypper nosuch --ptype pattern
END
refuse 'not a name' 'cannot be the name' <<'END'
__package_zypper x --name 'x;reboot'
END
refuse 'not a version' 'cannot be the version' <<'END'
__package_zypper it-one --version '1 2'
END
refuse 'not a kind' "type 'kernel' of 'x' is not known" <<'END'
__package_zypper x --ptype kernel
END
refuse 'not a state' "state 'gone' is not known" <<'END'
__package_zypper x --state gone
END
