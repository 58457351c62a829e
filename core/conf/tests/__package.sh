#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

refuse 'type that nobody has' 'no configuration directory has' <<'END'
__package x --type nosuch
END

if [ -z "$debian" ]; then
    refuse 'unknown system' "operating system 'busybox'" <<'END'
__package x
END
    # The package manager itself is missing, which is when the type shows.
    finds() { # TYPE FILE CONTENT: the system that has this file uses this type
        printf '%s\n' "$3" >"$R$2"
        refuse "$2 ($3) leads to $1" "'$1/x'" <<'END'
__package x
END
        rm "$R$2"
    }
    finds __package_pacman /etc/arch-release ''
    finds __package_yum /etc/redhat-release 'CentOS Stream release 9'
    finds __package_yum /etc/redhat-release 'Fedora release 40'
    finds __package_yum /etc/redhat-release 'Rocky Linux release 9.4'
    finds __package_yum /etc/system-release 'Amazon Linux release 2'
    finds __package_opkg /etc/openwrt_version 23.05
    finds __package_zypper /etc/SuSE-release 'SUSE Linux Enterprise'
    finds __package_apt /etc/debian_version 12.0
    finds __package_apt /etc/devuan_version daedalus
    mv "$R/etc/os-release" "$tmp/os-release"
    finds __package_apk /etc/os-release ID=alpine
    finds __package_zypper /etc/os-release "ID='opensuse-leap' ID_LIKE='suse opensuse'"
    mv "$tmp/os-release" "$R/etc/os-release"
    finds __package_emerge /etc/gentoo-release Gentoo
    refuse 'a parameter that the type does not have' 'version' <<'END'
__package x --type yum --version 1
END
    # An installed package needs no apt.
    debian_only || return 0
fi

unchanged 'installed packages' <<'END'
__package base-files
__package_apt dpkg --state present
__package_apt shell --name dash
__package awk --type __package_apt
__package not-installed --state absent
END

refuse 'not a name' 'cannot be the name' <<'END'
__package odd --name "x; reboot"
END

converge 'install' <<'END'
__package ed --state present
END
check 'is installed' in_root dpkg-query -s ed
check 'no policy is left' test ! -e "$R/usr/sbin/policy-rc.d"

version=$(in_root dpkg-query -W -f '${Version}' ed)
unchanged 'installed in this version' <<END
__package ed --version '$version'
END

# What starts services asks this program in a chroot.
converge 'a service' <<'END'
__package_apt cron
END
check 'no cron runs in the root' test -z "$(find /proc -maxdepth 2 -name root -lname "$R" -exec sh -c 'cat "${1%/root}/comm"' _ {} ';' 2>/dev/null)"

converge 'remove' <<'END'
__package ed --state absent
__package_apt cron --state absent
END
same 'configuration stays' config-files "$(in_root dpkg-query -W -f '${db:Status-Status}' cron)"
converge 'purge' <<'END'
__package cron --state absent --purge-if-absent
END
check 'configuration is gone' sh -c '! chroot "$1" dpkg-query -s cron' _ "$R"
