#!/bin/sh -e
# shellcheck disable=SC2016,SC2154
# Another program may have the lock of a package manager; it is waited for.

# Has the lock once, in the words of each, and works then.
locked() { # PROGRAM WORDS STATUS
    rm -f "$R/var/lib/was-locked" "$R/var/lib/done"
    broken "$1" 'if [ ! -e /var/lib/was-locked ]; then' '    : >/var/lib/was-locked' "    echo \"$2\" >&2" "    exit $3" 'fi' \
        'echo "$*" >>/var/lib/done'
}
once() { # PROGRAM MANIFEST
    printf '%s\n' "$2" >"$tmp/call"
    if config <"$tmp/call"; then passed "$1"; else failed "$1: the run failed"; cat "$tmp/output"; fi
    check "$1 has worked" test -s "$R/var/lib/done"
    mended
}

locked apt-get 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (unattended-upgr)' 100
once apt-get '__package_apt it'
locked zypper 'System management is locked by the application with pid 1 (zypper).' 7
once zypper '__package_zypper it'
locked dnf 'Failed to obtain the transaction lock (logged in as: root).' 1
once dnf '__package_dnf it'
locked pacman 'error: failed to init transaction (unable to lock database)' 1
printf '%s\n' '#!/bin/sh' 'case $1 in --query) echo "error: package it was not found" >&2; exit 1 ;; esac' >"$tmp/pacman"
sed 1d "$R/bin/pacman" >>"$tmp/pacman"
cat "$tmp/pacman" >"$R/bin/pacman"
once pacman '__package_pacman it'
if [ -n "$debian" ]; then
    locked dpkg 'dpkg: error: dpkg frontend lock was locked by another process with pid 1' 2
    : >"$tmp/it_1_all.deb"
    once dpkg "__package_dpkg it_1_all.deb --source '$tmp/it_1_all.deb'"
    locked debconf-set-selections 'debconf: DbDriver "config": /var/cache/debconf/config.dat is locked by another process' 1
    once debconf-set-selections "__debconf_set_selections it --line 'it it/question string x'"
fi

broken apt-get 'echo "E: Unable to locate package it" >&2' 'echo call >>/var/lib/done2' 'exit 100'
refuse 'another failure is told at once' 'Unable to locate package' <<'END'
__package_apt it
END
mended
rm -f "$R/var/lib/was-locked" "$R/var/lib/done" "$R/var/lib/done2"
