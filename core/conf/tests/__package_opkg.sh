#!/bin/sh -e
# shellcheck disable=SC2154
# No Debian package has opkg, so a stub takes its place.

[ -z "$debian" ] || return 0

cp "$conf/tests/stub/opkg" "$R/usr/bin"
calls=$R/var/lib/calls
echo busybox >"$R/var/lib/installed"

unchanged 'installed' <<'END'
__package_opkg busybox
__package_opkg removed --state absent
END
check 'no update for nothing' sh -c "! grep -q update '$calls'"
converge 'install, with an update first' <<'END'
__package_opkg lsof
__package_opkg other --name tcpdump-mini
END
message 'says so' '__package_opkg/lsof:installed'
same 'one update' 1 "$(grep -c update "$calls")"
converge 'remove' <<'END'
__package_opkg lsof --state absent
END
message 'says so' '__package_opkg/lsof:removed'
same 'the list' 'busybox tcpdump-mini' "$(tr '\n' ' ' <"$R/var/lib/installed" | sed 's/ $//')"
check 'update' config <<'END'
__package_update_index --type opkg
END

refuse 'no such package' 'Unknown package' <<'END'
__package_opkg nosuch
END
refuse 'not a name' 'cannot be the name' <<'END'
__package_opkg "it's"
END
refuse 'not a state' "state 'gone' is not known" <<'END'
__package_opkg x --state gone
END
rm -r "$R/usr/bin/opkg" "$R/var/lib/installed" "$calls" "$R/var/opkg-lists"
