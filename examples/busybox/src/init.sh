#!/bin/sh
# /init of the PreOS, the first process: devices, drivers, DHCP, and a shell on each console.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PS1='preos:\w# '

mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=0620 devpts /dev/pts
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=0755 run /run
hostname "$(cat /etc/hostname)"
ifconfig lo 127.0.0.1

# The kernel tells by which aliases it would find a driver. A bus that gets its driver in the first round shows its devices
# in the second.
load_drivers() {
    find /sys/devices -name modalias -exec cat '{}' + | sort -u | while read -r alias; do
        modprobe -q "$alias"
    done
}
load_drivers
load_drivers
modprobe -q af_packet

# BOOTIF=01-52-54-00-12-34-56, as PXELINUX tells it, is the card that this came by. Without it, or without
# its driver, the server may be behind any.
boot=$(sed -n 's/.*BOOTIF=01-\([^ ]*\).*/\1/p' /proc/cmdline | tr '-' ':')
cat /sys/class/net/*/address | grep -q -x -F -e "$boot" || boot=''
for path in /sys/class/net/*; do
    [ -e "$path/device" ] || continue
    if [ -n "$boot" ] && [ "$boot" != "$(cat "$path/address")" ]; then continue; fi
    echo "network: asking for an address on ${path##*/}"
    # Without an answer it asks again for as long as it takes, and in silence: there is a shell on this console.
    udhcpc -f -t 5 -T 2 -A 10 -i "${path##*/}" -s /etc/udhcpc.script >/dev/null 2>&1 &
done

read -r ttys </sys/class/tty/console/active
for tty in $ttys; do
    # The number 0 is whichever screen is looked at.
    if [ "$tty" = tty0 ]; then tty=tty1; fi
    while :; do
        # With a session and a terminal of its own, so that Ctrl-C reaches what runs in the shell.
        setsid sh -c "exec <>/dev/$tty >&0 2>&1; cat /etc/motd; exec sh"
        sleep 1
    done &
done
# The first process must not end. Waiting, it takes care of the processes whose parents have.
while :; do
    wait
    sleep 1
done
