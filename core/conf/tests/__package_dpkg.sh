#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

: >"$tmp/it_1.0_all.deb"
DEB=$tmp/it_1.0_all.deb
export DEB
would 'where dpkg is yet to come' 'dpkg .*--install' <<'END'
__package_dpkg it_1.0_all.deb --source "$DEB"
END
refuse 'no file' 'does not exist or is not a regular file' <<'END'
__package_dpkg it_1.0_all.deb --source /no/such/file
END
refuse 'not a name' 'is no name of a Debian package' <<'END'
__package_dpkg "_1_all.deb" --source "$DEB"
END
refuse 'not a state' "state 'gone' of package" <<'END'
__package_dpkg it_1.0_all.deb --source "$DEB" --state gone
END
debian_only 'needs dpkg' || return 0

for version in 1.0 1:2.0; do
    mkdir -p "$R/tmp/it/DEBIAN" "$R/tmp/it/etc"
    echo "$version" >"$R/tmp/it/etc/it-is"
    echo /etc/it-is >"$R/tmp/it/DEBIAN/conffiles"
    printf '%s\n' 'Package: it' "Version: $version" 'Architecture: all' 'Maintainer: it <it@example.org>' 'Description: it' \
        >"$R/tmp/it/DEBIAN/control"
    check 'a package' in_root dpkg-deb --build --root-owner-group /tmp/it "/tmp/it_${version#*:}_all.deb"
    mv "$R/tmp/it_${version#*:}_all.deb" "$tmp"
    rm -r "$R/tmp/it"
done
converge 'install' <<'END'
__package_dpkg it_1.0_all.deb --source "$DEB"
END
message 'says so' '__package_dpkg/it_1.0_all.deb:installed'
same 'is there' 1.0 "$(cat "$R/etc/it-is")"
DEB=$tmp/it_2.0_all.deb
converge 'another version' <<'END'
__package_dpkg it_2.0_all.deb --source "$DEB"
END
same 'is there' 1:2.0 "$(in_root dpkg-query -W -f '${Version}' it)"
converge 'remove' <<'END'
__package_dpkg it_2.0_all.deb --source /no/longer/there --state absent
END
message 'says so' '__package_dpkg/it_2.0_all.deb:removed (--remove)'
check 'its configuration stays' test -e "$R/etc/it-is"
converge 'purge' <<'END'
__package_dpkg it_2.0_all.deb --source /no/longer/there --state absent --purge-if-absent
END
message 'says so' '__package_dpkg/it_2.0_all.deb:removed (--purge)'
check 'nothing is left' test ! -e "$R/etc/it-is"
broken dpkg-query
refuse 'what cannot be read is not absent' 'dpkg-query does not say' <<'END'
__package_dpkg it_2.0_all.deb --source /no/longer/there --state absent
END
mended
