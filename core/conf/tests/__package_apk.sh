#!/bin/sh -e
# shellcheck disable=SC2154
# No Debian package has apk, so a stub takes its place. It knows the options of
# apk-tools 2.14.

[ -z "$debian" ] || return 0

cp "$conf/tests/stub/apk" "$R/usr/bin"
printf '%s\n' musl busybox >"$R/var/lib/installed"
: >"$R/var/lib/calls"

unchanged 'installed' <<'END'
__package_apk musl
__package_apk version --name 'busybox>1.30'
__package_apk tag --name busybox@edge
__package_apk nothing --state absent
END
converge 'install' <<'END'
__package_apk zsh
__package_apk nginx --name 'nginx~1.26@edge' --state present
END
message 'says so' '__package_apk/zsh:installed'
check 'as it was asked for' grep -q -x -e 'add -q nginx~1.26@edge' "$R/var/lib/calls"
converge 'remove' <<'END'
__package_apk zsh --state absent
__package_apk nginx --name 'nginx~1.26' --state absent
END
message 'says so' '__package_apk/zsh:removed'
check 'without its version' grep -q -x -e 'del -q nginx' "$R/var/lib/calls"
refuse 'no such package' 'unable to select' <<'END'
__package_apk nosuch
END
refuse 'not a name' 'cannot be the name' <<'END'
__package_apk "it's"
END
refuse 'an option' 'cannot be the name' <<'END'
__package_apk x --name=--root=/tmp
END
refuse 'not a state' "state 'gone' is not known" <<'END'
__package_apk musl --state gone
END
rm "$R/usr/bin/apk" "$R/var/lib/installed" "$R/var/lib/calls"
