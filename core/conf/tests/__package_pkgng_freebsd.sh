#!/bin/sh -e
# shellcheck disable=SC2154
# There is no FreeBSD here, so a stub takes the place of its pkg.

[ -z "$debian" ] || return 0

cp "$conf/tests/stub/pkg" "$R/usr/bin"
list=$R/var/lib/installed
calls=$R/var/lib/calls
: >"$list"

unchanged 'no pkg, nothing to remove' <<'END'
__package_pkgng_freebsd nothing --state absent
END
check 'nobody asked for it' test ! -e "$R/var/lib/pkg-is-there"
converge 'install, pkg first' <<'END'
__package_pkgng_freebsd zsh
END
message 'says so' '__package_pkgng_freebsd/zsh:installed'
check 'without a question' grep -q -x 'yes bootstrap' "$calls"

converge 'version, flavor, repository' <<'END'
__package_pkgng_freebsd editor --name vim --flavor tiny --version 9.1 --repo own
__package git --type pkgng_freebsd --repo own
END
check 'as it was asked for' grep -q -x -e 'install -y -r own vim-tiny-9.1' "$calls"
check 'by __package, too' grep -q -x -e 'install -y -r own git' "$calls"
unchanged 'installed' <<'END'
__package_pkgng_freebsd zsh --version 1.0
__package_pkgng_freebsd vim --flavor tiny --upgrade
END
refuse 'another version' 'can only upgrade to the latest version' <<'END'
__package_pkgng_freebsd zsh --version 2.0
END
converge 'upgrade' <<'END'
__package_pkgng_freebsd zsh --version 2.0 --upgrade
END
message 'says so' '__package_pkgng_freebsd/zsh:installed'
same 'the version' 'zsh 2.0' "$(grep '^zsh ' "$list")"
converge 'remove' <<'END'
__package_pkgng_freebsd zsh --state absent --version 7
__package_pkgng_freebsd vim --flavor tiny --state absent
END
message 'says so' '__package_pkgng_freebsd/zsh:removed'
same 'the rest' 'git 1.0' "$(cat "$list")"

check 'index and upgrade of everything' config <<'END'
__package_update_index --type pkgng_freebsd
__package_upgrade_all --type pkgng_freebsd
END
check 'the calls' sh -c "grep -q -x 'update -q' '$calls' && grep -q -x 'upgrade -y -q' '$calls'"

refuse 'no such package' 'No packages available' <<'END'
__package_pkgng_freebsd nosuch
END
refuse 'not a name' 'cannot be the name' <<'END'
__package_pkgng_freebsd "it's"
END
refuse 'an option as a repository' 'cannot be the name' <<'END'
__package_pkgng_freebsd x --repo=--debug
END
refuse 'not a state' "state 'gone' is not known" <<'END'
__package_pkgng_freebsd x --state gone
END
rm "$R/usr/bin/pkg" "$R/var/lib/pkg-is-there" "$list" "$calls"
