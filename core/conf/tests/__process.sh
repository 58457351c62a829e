#!/bin/sh -e
# shellcheck disable=SC2016,SC2154,SC3013

# Runs without a terminal and without the files of the test.
printf '%s\n' '#!/bin/sh' '"$@" </dev/null >/dev/null 2>&1 &' >"$R/bin/background"
chmod 755 "$R/bin/background"
runs() { # PATTERN
    for pid in $(pgrep -f -x "$1"); do
        if [ "/proc/$pid/root/." -ef "$R" ]; then return 0; fi
    done
    return 1
}

unchanged 'nothing is started in a chroot' <<'END'
__process sleeper --name 'sleep 8881' --start 'background sleep 8881'
END
running

converge 'start' <<'END'
__process sleeper --name 'sleep 8{3}1' --start 'background sleep 8881'
__process odd --name 'sh .*"it'"'"'s ..HOME"' --start "background sh -c 'sleep 8882; : \"it'\\''s \\\$HOME\"'"
__process never --name '/no/such/program' --state absent
__process /no/such/other --state absent
END
check 'it runs' runs 'sleep 8881'
message 'started message' '__process/sleeper:started'
unchanged 'the whole command line counts' <<'END'
__process part --name 'sleep 888' --state absent
__process part2 --name 'leep 8881' --state absent
END

sleep 8883 &
elsewhere=$!
unchanged 'a process of another root is not ours' <<'END'
__process elsewhere --name 'sleep 8883' --state absent
END
check 'it still runs' kill -0 "$elsewhere"
kill "$elsewhere"

converge 'stop' <<'END'
__process sleeper --name 'sleep 8881' --state absent
__process odd --name 'sh .*"it'"'"'s ..HOME"' --state absent
__process rest --name 'sleep 8882' --state absent --stop 'for p in /proc/[0-9]*; do if [ $p/root/. -ef / ] && grep -q 8882 $p/cmdline; then kill ${p##*/}; fi; done; touch /stopped'
END
if runs 'sleep 888[12]'; then failed 'it still runs'; else passed 'it is gone'; fi
check 'own way to stop' test -e "$R/stopped"
message 'stopped message' '__process/sleeper:stopped'

printf '%s\n' '#!/bin/sh' 'touch /was-started' >"$R/bin/program"
chmod 755 "$R/bin/program"
config <<'END' || failed 'start by name'
__process /bin/program
END
check 'the name is the command' test -e "$R/was-started"

refuse 'not an expression' '__process/x' <<'END'
__process x --name '(' --state absent
END
refuse 'start that fails' 'cannot start' <<'END'
__process x --name nothing --start 'echo cannot start >&2; false'
END
refuse 'unknown state' 'not known' <<'END'
__process x --state maybe
END
rm -f "$R/stopped" "$R/was-started" "$R/bin/program" "$R/bin/background"
not_running
