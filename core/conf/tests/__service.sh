#!/bin/sh -e
# shellcheck disable=SC2154
# Also __systemd_service. Nothing runs in a chroot, so what would take care of
# services is a stub, except for the first part.

unchanged 'nothing is started in the root of another system' <<'END'
__service nosuch --action start
END

if [ -n "$debian" ]; then
    if ! in_root sh -c 'command -v systemctl' >/dev/null; then
        echo "skipped $test: the rest needs a root with systemd"
        return 0
    fi
    unchanged 'nor by a real systemctl' <<'END'
__systemd_service nosuch --action restart
END
    return 0
fi

refuse 'no systemd' 'there is no systemd' <<'END'
__systemd_service cron
END

units=$R/var/lib/units
calls=$R/var/lib/calls
mkdir -p "$units"

is() { # UNIT
    cat "$units/$1"
}
called() { # WHAT COUNT LINE: how often since the last time
    same "$1" "$2" "$(grep -c -x -F -e "$3" "$calls")"
    rm -f "$calls"
}

# ---- systemd

cp "$conf/tests/stub/systemctl" "$R/usr/bin"
unchanged 'systemd is installed, but does not run' <<'END'
__systemd_service cron --action restart
__service cron --action restart
END

mkdir -p "$R/run/systemd/system"
echo inactive >"$units/cron.service"
echo failed >"$units/web@1.service"
echo active >"$units/a.socket"

converge 'start' <<'END'
__systemd_service cron
__systemd_service other --name web@1 --action restart --if-required
__systemd_service a.socket --state running
END
message 'says so' '__systemd_service/cron:start'
message 'starting is enough' '__systemd_service/other:start'
same 'runs' active "$(is cron.service)"
same 'after a failure, too' active "$(is web@1.service)"
converge 'stop' <<'END'
__systemd_service cron --state stopped
__systemd_service a.socket --state stopped --action restart
END
message 'says so' '__systemd_service/cron:stop'
same 'a socket' inactive "$(is a.socket)"

echo active >"$units/cron.service"
: >"$calls"
check 'restart each time' config <<'END'
__systemd_service cron --action restart
END
check 'and once more' rerun
called 'twice' 2 'restart -- cron'

converge 'only if something has changed' <<'END'
__file /root/cron.conf
require=__file/root/cron.conf __systemd_service cron --action reload --if-required
END
message 'it has' '__systemd_service/cron:reload'
called 'once' 1 'reload -- cron'
: >"$calls"
converge 'a change that was not required' <<'END'
__file /root/cron.conf
__file /root/cron.conf2
require='__file/root/cron.conf __directory/root' __systemd_service cron --action reload --if-required
__directory /root
END
called 'never' 0 'reload -- cron'
: >"$calls"
converge 'nothing required' <<'END'
__file /root/cron.conf3
__systemd_service cron --action reload --if-required
END
called 'never' 0 'reload -- cron'
mkdir -p "$R/etc/apt/apt.conf.d"
converge 'a singleton has changed' <<'END'
__apt_norecommends
__hostname --name some.example
require=__hostname __systemd_service cron --action restart --if-required
END
called 'once' 1 'restart -- cron'

refuse 'a service that is not there' "systemd does not know service 'nosuch'" <<'END'
__systemd_service nosuch
END
refuse 'not a state' "state 'up'" <<'END'
__systemd_service cron --state up
END
refuse 'not an action' "action 'kill'" <<'END'
__systemd_service cron --action kill
END
refuse 'not a name' 'cannot be the name' <<'END'
__systemd_service x --name 'cron;reboot'
END

echo inactive >"$units/cron.service"
converge 'the other type: start' <<'END'
__service cron --action start
END
message 'says so' '__service/cron:start'
same 'runs' active "$(is cron.service)"
converge 'the other type: stop' <<'END'
__service cron --action stop
END
same 'does not run' inactive "$(is cron.service)"
: >"$calls"
check 'the other type: restart' config <<'END'
__service cron --action restart
END
check 'and once more' rerun
called 'twice' 2 'restart -- cron'
refuse 'a service that is not there' 'not found' <<'END'
__service nosuch --action start
END
refuse 'not an action' 'cannot be an action' <<'END'
__service cron --action=--force
END
refuse 'not a name' 'cannot be the name' <<'END'
__service 'cron;reboot' --action start
END
rm -r "$R/run/systemd" "$R/usr/bin/systemctl" "$R/etc/apt"

# ---- System V: the root has to be that of process 1

cp "$tmp/exec" "$tmp/exec.chroot"
cat >"$tmp/exec" <<END
#!/bin/sh -e
shift
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root SHELL=/bin/sh \\
    unshare --pid --mount --fork sh -c 'mount -t proc proc $R/proc && exec chroot $R /bin/sh -c "umask 022; \$1"' _ "\$*"
END
cp "$conf/tests/stub/service" "$R/usr/bin"
echo inactive >"$units/cron"

converge 'System V: start' <<'END'
__service cron --action start
END
same 'runs' active "$(is cron)"
message 'says so' '__service/cron:start'
: >"$calls"
check 'System V: a word of its own' config <<'END'
__service cron --action rotate
END
called 'once' 1 'service cron rotate'
converge 'System V: stop' <<'END'
__service cron --action stop
END
same 'does not run' inactive "$(is cron)"
refuse 'a service that is not there' 'unrecognized service' <<'END'
__service nosuch --action start
END
rm "$R/usr/bin/service"

mkdir -p "$R/etc/init.d"
cat >"$R/etc/init.d/own" <<'END'
#!/bin/sh
case $1 in
    status) [ -e /var/lib/units/own ] || exit 3 ;;
    start) echo active >/var/lib/units/own ;;
esac
END
chmod +x "$R/etc/init.d/own"
converge 'a script alone' <<'END'
__service own --action start
END
same 'runs' active "$(is own)"
refuse 'nobody' 'nothing is known on the target' <<'END'
__service nosuch --action start
END

mv "$tmp/exec.chroot" "$tmp/exec"
rm -r "$units" "$calls" "$R/etc/init.d"
