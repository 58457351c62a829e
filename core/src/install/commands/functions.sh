refuse() { # SENTENCE
    printf '%s\n' "$1" >&2
    exit 1
}

# Whether one of the words after the first one is the first one, but for blanks around it.
is_one_of() { # WORD WORDS...
    wanted=$1
    shift
    for own; do
        own=$(printf '%s' "$own" | sed 's/^ *//; s/ *$//')
        if [ "$own" = "$wanted" ]; then return 0; fi
    done
    return 1
}

has_serial() { # DEVICE NAME SERIAL
    is_one_of "$3" "$(cat "/sys/class/block/$2/serial" 2>/dev/null)" \
        "$(cat "/sys/class/block/$2/device/serial" 2>/dev/null)" \
        "$(tail -c +5 "/sys/class/block/$2/device/vpd_pg80" 2>/dev/null | tr -d '\000')" \
        "$(lsblk -dno SERIAL "$1" 2>/dev/null)"
}

# The kernel and lsblk write another prefix.
has_wwn() { # DEVICE NAME WWN
    for own in "$(cat "/sys/class/block/$2/wwid" 2>/dev/null)" "$(cat "/sys/class/block/$2/device/wwid" 2>/dev/null)" \
        "$(lsblk -dno WWN "$1" 2>/dev/null)"
    do
        own=${own#0x} wanted=${3#0x}
        own=${own#naa.} wanted=${wanted#naa.}
        own=${own#eui.} wanted=${wanted#eui.}
        if is_one_of "$wanted" "$own"; then return 0; fi
    done
    return 1
}

# What uses a disk or one of its partitions, in words.
in_use() { # NAME
    for part in "/sys/class/block/$1" "/sys/class/block/$1/$1"*; do
        [ -e "$part/dev" ] || continue
        for holder in "$part"/holders/*; do
            [ -e "$holder" ] || continue
            holder=${holder##*/}
            case $(cat "/sys/class/block/$holder/dm/uuid" 2>/dev/null) in
                # A partition of a multipath device.
                part*) (in_use "$holder") ;;
                *) echo "${part##*/} is held by $holder" ;;
            esac
        done
        number=$(cat "$part/dev")
        while read -r _ _ device _ point rest; do
            case "$device $rest " in
                "$number "* | *" /dev/${part##*/} "*) echo "${part##*/} is mounted on $point" ;;
            esac
        done </proc/self/mountinfo
        while read -r path _; do
            if [ "$path" = "/dev/${part##*/}" ]; then echo "${part##*/} is swap space in use"; fi
        done </proc/swaps
    done
}

# Ends the script if a disk is not what it was when the plan was made. Nothing is written before.
guard() { # DEVICE SIZE-IN-512-BYTES SERIAL WWN
    [ -b "$1" ] || refuse "there is no disk $1; nothing was written"
    name=$(readlink -f "$1")
    name=${name##*/}
    size=$(cat "/sys/class/block/$name/size")
    [ "$size" = "$2" ] ||
        refuse "$1 is another disk than planned: it has $size sectors of 512 bytes, and not $2; nothing was written"
    if [ -n "$3" ]; then
        has_serial "$1" "$name" "$3" ||
            refuse "$1 is another disk than planned: its serial number is not $3; nothing was written"
    elif [ -n "$4" ]; then
        has_wwn "$1" "$name" "$4" ||
            refuse "$1 is another disk than planned: its WWN is not $4; nothing was written"
    fi
    [ "$(cat "/sys/class/block/$name/ro")" = 0 ] || refuse "$1 cannot be written to; nothing was written"
    used=$(in_use "$name")
    [ -z "$used" ] || refuse "$1 is in use: $(printf '%s' "$used" | head -n 1); nothing was written"
}

# Waits for device nodes, which come a moment after the table is written.
await() { # DEVICES...
    if command -v udevadm >/dev/null 2>&1; then udevadm settle || :; fi
    for device; do
        tries=0
        until [ -b "$device" ]; do
            tries=$((tries + 1))
            [ "$tries" -le 10 ] || refuse "$device has not appeared ten seconds after it was made"
            sleep 1
        done
    done
}
