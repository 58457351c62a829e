#!/bin/sh -e
# shellcheck disable=SC2154
# Also __package_upgrade_all. pacman is tested with __package_pacman, pkg and
# opkg with their types.

refuse 'unknown manager' "package manager 'nosuch' is not known" <<'END'
__package_update_index --type nosuch
END
refuse 'unknown manager' "package manager 'nosuch'" <<'END'
__package_upgrade_all --type nosuch
END
refuse 'not an age' 'is no number of seconds' <<'END'
__package_update_index --type apt --maxage 1h
END
unchanged 'yum does it itself' <<'END'
__package_update_index --type yum
END

if [ -z "$debian" ]; then
    refuse 'unknown system' "operating system 'busybox'" <<'END'
__package_update_index
END
    cp "$conf/tests/stub/apk" "$R/usr/bin"
    cp "$R/etc/os-release" "$tmp/os-release"
    echo ID=alpine >"$R/etc/os-release"
    echo 3.20.0 >"$R/etc/alpine-release"
    check 'Alpine' config <<'END'
__package_update_index
__package_upgrade_all
END
    check 'the calls' sh -c "grep -q '^update ' '$R/var/lib/calls' && grep -q '^upgrade ' '$R/var/lib/calls'"
    converge '__package finds its way' <<'END'
__package zsh
END
    check 'by apk' grep -q -x zsh "$R/var/lib/installed"
    mv "$tmp/os-release" "$R/etc/os-release"
    rm "$R/usr/bin/apk" "$R/var/lib/calls" "$R/var/lib/installed" "$R/etc/alpine-release"
    return 0
fi

check 'update' config <<'END'
__package_update_index
END
check 'says so' grep -q -e '__package_update_index/:apt-cache updated (age was: -*[0-9]*)' "$HOME"/.cdist/cache/*/messages
unchanged 'young enough' <<'END'
__package_update_index --maxage 3600
END
check 'too old' config <<'END'
__package_update_index --maxage 0
END
unchanged 'the other type has nothing to do' <<'END'
__apt_update_index
END

: >"$R/var/cache/apt/archives/a_1_all.deb"
check 'upgrade' config <<'END'
__package_upgrade_all --apt-with-new-pkgs --apt-clean
END
check 'no policy is left' test ! -e "$R/usr/sbin/policy-rc.d"
check 'all is clean' test ! -e "$R/var/cache/apt/archives/a_1_all.deb"
same 'nothing is left to upgrade' '' "$(in_root apt-get -s dist-upgrade | grep '^Inst')"
check 'upgrade with everything that it takes' config <<'END'
__package_upgrade_all --type apt --apt-dist-upgrade
END
