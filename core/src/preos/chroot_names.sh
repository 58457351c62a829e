#!/bin/sh
# Runs the program of the same name so that it resolves names like the machine that builds
# the image. Nothing else sees that: /etc/resolv.conf belongs to the image, which may be
# writing it.

name=${0##*/}
here=${0%/*}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

# The build has no mounts that others share, and this root need not be one, so nothing is
# to be changed about that.
alone='unshare -m --propagation unchanged'
if [ -f /etc/resolv.conf ] && [ ! -h /etc/resolv.conf ] && $alone true 2>/dev/null; then
    # shellcheck disable=SC2016
    $alone /bin/sh -c 'mount --bind "$0" /etc/resolv.conf; exec "$@"' \
        /run/systemd/resolve/stub-resolv.conf "$name" "$@"
else
    # A link to what systemd-resolved would write leads to the same.
    "$name" "$@"
fi
status=$?

# What it has installed resolves names, too.
for program in curl git pip pip3 wget; do
    if [ ! -h "$here/$program" ] && command -v "$program" >/dev/null 2>&1; then
        ln -s .run "$here/$program"
    fi
done
exit "$status"
