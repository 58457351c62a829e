#!/bin/sh -e
# shellcheck disable=SC2154
# There is no OpenBSD here, so a stub takes the place of its programs.

[ -z "$debian" ] || return 0

for program in pkg_add pkg_delete pkg_info; do cp "$conf/tests/stub/pkg_add" "$R/usr/bin/$program"; done
calls=$R/var/lib/calls
list=$R/var/lib/installed
printf '%s\n' 'gettext-runtime-0.22' 'vim-9.1-no_x11' >"$list"

converge 'install' <<'END'
__package_pkg_openbsd zsh
__package_pkg_openbsd editor --name vim --flavor gtk3
__package_pkg_openbsd python --version 3.10.13 --pkg_path http://mirror.example/packages
__package git --type pkg_openbsd
END
message 'says so' '__package_pkg_openbsd/zsh:installed'
check 'any version of a flavor' grep -q -x 'pkg_add: -I -x vim--gtk3' "$calls"
check 'from elsewhere' grep -q -x 'pkg_add from http://mirror.example/packages: -I -x python-3.10.13' "$calls"
unchanged 'installed' <<'END'
__package_pkg_openbsd vim --flavor no_x11 --version 9.1
__package_pkg_openbsd gettext --state absent
END
converge 'remove' <<'END'
__package_pkg_openbsd zsh --state absent
__package_pkg_openbsd vim --state absent
END
message 'says so' '__package_pkg_openbsd/zsh:removed'
same 'the rest' 'gettext-runtime-0.22 git-2.0 python-3.10.13' "$(sort "$list" | tr '\n' ' ' | sed 's/ $//')"

refuse 'no such package' "pkg_add has not installed package 'nosuch'" <<'END'
__package_pkg_openbsd nosuch
END
broken pkg_info
refuse 'what cannot be read is not absent' 'Input/output error' <<'END'
__package_pkg_openbsd gettext-runtime --state absent
END
mended
refuse 'not a name' 'cannot be the name' <<'END'
__package_pkg_openbsd "it's"
END
refuse 'not a state' "state 'gone' is not known" <<'END'
__package_pkg_openbsd x --state gone
END
rm "$R/usr/bin/pkg_add" "$R/usr/bin/pkg_delete" "$R/usr/bin/pkg_info" "$list" "$calls"
