#!/bin/sh -e
# shellcheck disable=SC2016,SC2154
# By systemd: see __systemd_unit. Others by stubs, which make the same links or
# settings as the real programs.

refuse 'not a name' 'cannot be the name' <<'END'
__start_on_boot 'a;reboot'
END
refuse 'not a state' "state 'on' is not known" <<'END'
__start_on_boot a --state on
END

if [ -n "$debian" ]; then
    # A Debian without systemd has the real update-rc.d.
    if in_root sh -c 'command -v systemctl' >/dev/null; then return 0; fi
    mkdir -p "$R/etc/init.d"
    cat >"$R/etc/init.d/it" <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides: it
# Required-Start:
# Required-Stop:
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
### END INIT INFO
END
    chmod +x "$R/etc/init.d/it"
    converge 'update-rc.d: on' <<'END'
__start_on_boot it
END
    check 'has links' sh -c "ls '$R'/etc/rc2.d/S[0-9][0-9]it"
    converge 'update-rc.d: off' <<'END'
__start_on_boot it --state absent
END
    check 'has no links' sh -c "! ls '$R'/etc/rc2.d/S[0-9][0-9]it"
    return 0
fi

refuse 'nobody' 'no init system is known' <<'END'
__start_on_boot it
END

program() { # NAME: its script is standard input
    cat >"$R/usr/bin/$1"
    chmod +x "$R/usr/bin/$1"
}

program rc-update <<'END'
#!/bin/sh -e
[ $# -eq 3 ]
mkdir -p "/etc/runlevels/$3"
case $1 in
    add) ln -s "/etc/init.d/$2" "/etc/runlevels/$3/$2" ;;
    del) rm "/etc/runlevels/$3/$2" ;;
    *) exit 1 ;;
esac
END
converge 'OpenRC: on' <<'END'
__start_on_boot it
__start_on_boot early --target_runlevel boot
END
check 'have links' test -h "$R/etc/runlevels/default/it" -a -h "$R/etc/runlevels/boot/early"
converge 'OpenRC: off' <<'END'
__start_on_boot it --state absent
__start_on_boot early --target_runlevel boot --state absent
END
check 'have no links' test ! -h "$R/etc/runlevels/default/it" -a ! -h "$R/etc/runlevels/boot/early"
rm -r "$R/usr/bin/rc-update" "$R/etc/runlevels"

program chkconfig <<'END'
#!/bin/sh -e
[ $# -eq 2 ]
mkdir -p /etc/rc3.d
rm -f /etc/rc3.d/[SK]??"$1"
case $2 in
    on) ln -s "../init.d/$1" "/etc/rc3.d/S50$1" ;;
    off) ln -s "../init.d/$1" "/etc/rc3.d/K50$1" ;;
    *) exit 1 ;;
esac
END
converge 'chkconfig: on' <<'END'
__start_on_boot it
END
converge 'chkconfig: off' <<'END'
__start_on_boot it --state absent
END
rm -r "$R/usr/bin/chkconfig" "$R/etc/rc3.d"

: >"$R/etc/openwrt_version"
mkdir -p "$R/etc/init.d" "$R/etc/rc.d"
cat >"$R/etc/init.d/it" <<'END'
#!/bin/sh -e
case $1 in
    enable) ln -s ../init.d/it /etc/rc.d/S50it ;;
    disable) rm /etc/rc.d/S50it ;;
    *) exit 1 ;;
esac
END
chmod +x "$R/etc/init.d/it"
converge 'procd: on' <<'END'
__start_on_boot it
END
converge 'procd: off' <<'END'
__start_on_boot it --state absent
END
rm -r "$R/etc/openwrt_version" "$R/etc/init.d" "$R/etc/rc.d"

program rcctl <<'END'
#!/bin/sh -e
case $1 in
    get) [ "$3" = status ] && grep -q -x -e "$2" /var/lib/rc ;;
    enable) echo "$2" >>/var/lib/rc ;;
    disable) sed -i "/^$2\$/d" /var/lib/rc ;;
    *) exit 1 ;;
esac
END
: >"$R/var/lib/rc"
converge 'OpenBSD: on' <<'END'
__start_on_boot it
END
same 'is on' it "$(cat "$R/var/lib/rc")"
converge 'OpenBSD: off' <<'END'
__start_on_boot it --state absent
END
rm "$R/usr/bin/rcctl" "$R/var/lib/rc"

program sysrc <<'END'
#!/bin/sh -e
case $1 in
    -n) sed -n "s/^$2=\"\\(.*\\)\"/\\1/p" /etc/rc.conf ;;
    *=*)
        sed -i "/^${1%%=*}=/d" /etc/rc.conf
        echo "${1%%=*}=\"${1#*=}\"" >>/etc/rc.conf
        ;;
    *) exit 64 ;;
esac
END
echo 'sshd_enable="yes"' >"$R/etc/rc.conf"
unchanged 'FreeBSD: is on already' <<'END'
__start_on_boot sshd
END
converge 'FreeBSD: on' <<'END'
__start_on_boot node-exporter
END
check 'is set' grep -q -x 'node_exporter_enable="YES"' "$R/etc/rc.conf"
converge 'FreeBSD: off' <<'END'
__start_on_boot node-exporter --state absent
__start_on_boot sshd --state absent
END
check 'is set' grep -q -x 'sshd_enable="NO"' "$R/etc/rc.conf"
rm "$R/usr/bin/sysrc" "$R/etc/rc.conf"
