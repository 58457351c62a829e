#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

# What every explorer found in the target, as the engine keeps it.
: | config || failed 'the run'
found() { # NAME
    cat "$HOME"/.cdist/cache/*/explorer/"$1"
}

for explorer in "$conf"/explorer/*; do
    name=${explorer##*/}
    check "$name has an answer file" test -f "$HOME"/.cdist/cache/*/explorer/"$name"
done

same 'kernel_name' Linux "$(found kernel_name)"
same 'machine' "$(uname -m)" "$(found machine)"
same 'memory' "$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)" "$(found memory)"
check 'cpu_cores is a number' test "$(found cpu_cores)" -ge 1
check 'cpu_sockets is a number' test "$(found cpu_sockets)" -ge 1
same 'machine_type of a chroot' chroot "$(found machine_type | head -n 1)"
same 'runlevel does not apply' '' "$(found runlevel)"

if [ -n "$debian" ]; then
    same 'os' debian "$(found os)"
    same 'os_version' "$(cat "$R/etc/debian_version")" "$(found os_version)"
    same 'lsb_id' Debian "$(found lsb_id)"
    # shellcheck disable=SC1091
    same 'lsb_codename' "$(. "$R/etc/os-release" && echo "$VERSION_CODENAME")" "$(found lsb_codename)"
    same 'os_release' "$(cat "$R/etc/os-release")" "$(found os_release)"
    if [ -e "$R/usr/lib/systemd/systemd" ]; then
        # Not what runs here, but what this root will boot.
        same 'init' systemd "$(found init)"
    fi
else
    same 'os' busybox "$(found os)"
    same 'os_version' 1 "$(found os_version)"
fi
