# Holds the lock of a work directory until standard input ends, then ends what the run has left and removes the lock.
#
# Read by /bin/sh from standard input, so everything is a function and the last line starts it. What follows that line on
# standard input is for `read`: the word "done" after a run that has come to its end.
#
# Arguments: work directory, the run's token, who holds it (for people), the token of a holder that may be pushed aside.
# Answers with one line: "cdist-lock", and "ok", "held TOKEN WHO" or "cannot REASON". An empty line comes before it, since
# login scripts may have printed something without a line end.
#
# The lock is a directory: mkdir either makes it or fails. In it, `holder` names this process, by its number, its start
# and the boot, so that a lock whose process is gone can be told from one that is held; `running` has the processes that
# the run has started. What takes over a dead lock makes `break` in it first, so that only one does, and removes it as soon as
# it has put its own name into `holder`. Ending what the run before has left can take longer than others wait for `break`.

# When a process began, in ticks since the boot. Nothing if it is gone.
start_of() {
    if [ -r /proc/self/stat ]; then
        { read -r stat < "/proc/$1/stat"; } 2>/dev/null || return 0
        # The name of the program, in parentheses, may hold anything.
        # shellcheck disable=SC2086 # the fields
        set -- ${stat##*) }
        [ "$1" != Z ] || return 0
        shift 19
        printf '%s\n' "$1"
    elif kill -0 "$1" 2>/dev/null; then
        echo 0
    fi
}

is_alive() {
    [ -n "$1" ] && [ "$(start_of "$1")" = "$2" ]
}

answer() {
    printf '\ncdist-lock %s\n' "$1"
}

cannot() {
    # In one line.
    set -f
    # shellcheck disable=SC2086
    set -- $1
    answer "cannot $*"
    exit 1
}

write_holder() {
    text=$({ printf '%s %s %s %s\n%s\n' "$$" "$(start_of $$)" "$boot" "$token" "$who" > "$lock/new" &&
        mv -f "$lock/new" "$lock/holder"; } 2>&1)
}

# Reads the holder. False if there is none, or none any more.
is_held() {
    pid='' start='' at='' other='' name=''
    { { read -r pid start at other && read -r name; } < "$lock/holder"; } 2>/dev/null || return 1
    [ "$at" = "$boot" ] && is_alive "$pid" "$start"
}

# Ends the commands of the run that are still at work, each with its process group. Such a group keeps its number while
# any of it is left, so only its first process has to be told from a later one with the same number.
end_running() {
    [ -f "$lock/running" ] || return 0
    left=
    while read -r process began; do
        ! is_alive "$process" "$began" || left="$left $process"
    done < "$lock/running"
    for signal in TERM KILL; do
        tries=0
        while [ "$left" ] && [ "$tries" -lt 20 ]; do
            still=
            for process in $left; do
                if [ "$tries" = 0 ]; then
                    kill "-$signal" "-$process" 2>/dev/null || kill "-$signal" "$process" 2>/dev/null
                fi
                { ! kill -0 "-$process" && ! kill -0 "$process"; } 2>/dev/null || still="$still $process"
            done
            left=$still
            tries=$((tries + 1))
            [ -z "$left" ] || sleep 0.1 2>/dev/null || sleep 1
        done
    done
}

# Process numbers in a lock that another user has made must not be trusted: they would
# be killed.
is_ours() {
    # shellcheck disable=SC2012,SC2046 # the third field is the owner
    set -- $(ls -ldn "$lock" 2>/dev/null)
    [ "$3" = "$(id -u)" ]
}

push_aside() {
    kill -TERM "$pid" 2>/dev/null
    sleep 0.1 2>/dev/null || sleep 1
    is_alive "$pid" "$start" || return 0
    kill -KILL "$pid" 2>/dev/null
    sleep 1
}

# True if the lock is ours now; false if it is worth another try.
take() {
    if text=$(mkdir "$lock" 2>&1); then
        write_holder && return 0
        rm -rf "$lock"
        cannot "$text"
    fi
    [ -d "$lock" ] || [ -z "$text" ] || { gone=$((gone + 1)); [ "$gone" -lt 5 ] || cannot "$text"; return 1; }
    is_ours || { [ ! -d "$lock" ] && return 1; cannot "$lock belongs to somebody else"; }
    if is_held; then
        if [ "$other" != "$push" ]; then
            answer "held $other $name"
            exit 0
        fi
        push_aside
    elif [ ! -e "$lock/holder" ] && [ "$young" -lt 3 ]; then
        # The process that has made it is about to write its name.
        young=$((young + 1))
        sleep 1
        return 1
    fi
    if mkdir "$lock/break" 2>/dev/null; then
        # Another run may have taken the lock over meanwhile.
        if is_held; then
            rmdir "$lock/break"
            return 1
        fi
        was_at=$at was=$other
        write_holder || { rmdir "$lock/break"; cannot "$text"; }
        rmdir "$lock/break"
        # What this same run has started is still wanted: only the process that held the lock is gone.
        [ "$was" != "$token" ] || return 0
        [ "$was_at" != "$boot" ] || end_running
        rm -f "$lock/running"
        return 0
    fi
    [ -d "$lock/break" ] || return 1
    broken=$((broken + 1))
    [ "$broken" -lt 10 ] || rmdir "$lock/break" 2>/dev/null
    sleep 1
    return 1
}

release() {
    is_held && [ "$pid" = "$$" ] && rm -rf "$lock"
}

# Full or read-only: better known now than after half of the work. Nothing is written into the directory, which is made anew
# later: as it is now, it may be a trap.
try_out() {
    [ -d "$dir" ] || fresh=1
    text=$({ mkdir -p "$dir" && echo test > "$lock/test" && rm -f "$lock/test"; } 2>&1) || return 1
    [ -z "$fresh" ] || rmdir "$dir"
}

main() {
    dir=$1 token=$2 who=$3 push=$4
    lock=$dir.lock
    boot=unknown
    { read -r boot < /proc/sys/kernel/random/boot_id; } 2>/dev/null
    # Its parents that are missing, the deepest first.
    parent=${lock%/*}
    set --
    while [ -n "$parent" ] && [ ! -d "$parent" ]; do
        set -- "$@" "$parent"
        parent=${parent%/*}
    done
    parent=${lock%/*}
    text=$({ guard "$dir" && mkdir -p "${parent:-/}" && guard "$dir"; } 2>&1) || cannot "$text"
    umask 077
    gone=0 young=0 broken=0 fresh=
    until take; do :; done
    word=
    if try_out; then
        trap '' HUP INT
        answer ok
        read -r word
    fi
    [ "$word" = "done" ] || end_running
    release
    # Directories above that are still empty go, too.
    for parent; do
        rmdir "$parent" 2>/dev/null
    done
    [ -z "$text" ] || cannot "$text"
}

main "$@"; exit
