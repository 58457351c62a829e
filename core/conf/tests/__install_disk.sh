#!/bin/sh -e
# shellcheck disable=SC2016,SC2034,SC2154
# A whole installation: a disk is taken, partitioned, formatted, filled,
# configured and left. The disk is a file. Nothing of this machine may be
# touched, hence a /dev of its own where needed, and no real swap.

debian_only || return 0

install() {
    cat >"$tmp/manifest"
    # shellcheck disable=SC2086
    $CDIST install -b $CDIST_OPTIONS -v -c "$conf" -i "$tmp/manifest" \
        --remote-exec "$tmp/exec" --remote-copy "$tmp/copy" target.example \
        >"$tmp/output" 2>&1 </dev/null
}

converge 'the programs' <<'END'
__package fdisk
__package e2fsprogs
__package curl
END

for name in swapon swapoff; do
    rm -f "$R/sbin/$name"
    printf '%s\n' '#!/bin/sh' "echo $name \"\$*\" >>/root/swap" >"$R/sbin/$name"
    chmod 755 "$R/sbin/$name"
done

truncate -s 100M "$tmp/disk"
loop=$(losetup --find --show --partscan "$tmp/disk")
cleanup="losetup --detach $loop"
# Partitions get their nodes from the kernel.
mount -t devtmpfs devtmpfs "$R/dev"
mount -t sysfs sysfs "$R/sys"
mkdir -p "$R/target"

inner=$tmp/inner
mkdir -p "$inner/bin" "$inner/dev" "$inner/etc" "$inner/tmp" "$inner/usr/sbin" "$inner/var/lib" "$inner/root"
# That of the root may need libraries.
cp "$(command -v busybox)" "$inner/bin/"
for applet in $("$inner/bin/busybox" --list); do
    [ -e "$inner/bin/$applet" ] || ln -s busybox "$inner/bin/$applet"
done
cp "$R/etc/os-release" "$R/etc/passwd" "$R/etc/group" "$inner/etc/"
echo old >"$inner/etc/resolv.conf"
chown 12345:54321 "$inner/root"
printf '%s\n' '#!/bin/sh' 'echo "$0 $*" >>/root/grub' >"$inner/usr/sbin/grub-install"
cp "$inner/usr/sbin/grub-install" "$inner/usr/sbin/grub-mkconfig"
chmod 755 "$inner/usr/sbin/"*
tar -C "$inner" -czf "$R/root/st'age.tar.gz" .
# What busybox needs itself is not part of the archive.
check 'the archive' test -s "$R/root/st'age.tar.gz"

LOOP=$loop
export LOOP
if install <<'END'
__install_reset_disk "$LOOP"
require="__install_reset_disk$LOOP"
export require
__install_partition_msdos "${LOOP}p1" --type 83 --size 20M --bootable true
__install_partition_msdos swap --partition "${LOOP}p2" --type 82 --size 8192K
__install_partition_msdos extended --device "$LOOP" --minor 3 --type extended --size 30M
__install_partition_msdos "${LOOP}p4" --type fd
__install_partition_msdos "${LOOP}p5" --type 83 --size 50%
__install_partition_msdos "${LOOP}p6" --type 83 --size +
require=__install_partition_msdos_apply
__install_mkfs "${LOOP}p1" --type ext4 --options "-L 'the root'"
__install_mkfs data --device "${LOOP}p6" --type ext2 --blocks 8000
__install_mkfs "${LOOP}p2" --type swap
require="__install_mkfs${LOOP}p1 __install_mkfs/data __install_mkfs${LOOP}p2"
__install_mount slash --dir / --device "${LOOP}p1" --options noatime
require=__install_mount/slash
__install_mount "/srv/da ta" --device "${LOOP}p6"
__install_mount swap --device "${LOOP}p2" --type swap
__install_mount /tmp --device tmpfs --type tmpfs --options size=1m
require="__install_mount/tmp __install_mount/slash"
__install_stage --uri "file:///root/st'age.tar.gz"
require="__install_stage __install_mount/swap"
__install_fstab
require=__install_fstab
__install_chroot_mount /target --manage-resolv-conf installed
require=__install_chroot_mount/target
__install_config
__install_bootloader_grub "$LOOP"
__install_file /target/etc/hostname --mode 0644 --source - <<NAME
it's new
NAME
__install_directory /target/srv/made --mode 0711
require=
__file /etc/configured --source - --mode 0600 <<TEXT
${__cdist_install_config:-no}
TEXT
END
then
    passed 'installs'
else
    failed 'the installation failed'
    cat "$tmp/output"
fi

chroot "$R" sfdisk --dump "$loop" >"$tmp/table" || :
same 'partitions' '1:2048:40960:83*;2:43008:16384:82;3:59392:61440:5;4:120832:83968:fd;5:61440:28672:83;6:92160:28672:83;' \
    "$(sed -n "s|^${loop}p\([0-9]\) : start= *\([0-9]*\), size= *\([0-9]*\), type=\([0-9a-f]*\)\(, bootable\)*.*|\1:\2:\3:\4\5|p" "$tmp/table" | sed 's/, bootable/*/' | tr '\n' ';')"
uuid() {
    chroot "$R" blkid -p -s UUID -o value "$1" || :
}
root_uuid=$(uuid "${loop}p1")
swap_uuid=$(uuid "${loop}p2")
data_uuid=$(uuid "${loop}p6")
same 'label' 'the root' "$(chroot "$R" blkid -p -s LABEL -o value "${loop}p1" || :)"
content 'fstab' /target/etc/fstab <<END
# Written during the installation, by cdist.
# / was on ${loop}p1 during installation
UUID=$root_uuid / ext4 noatime 0 1
# /srv/da\\040ta was on ${loop}p6 during installation
UUID=$data_uuid /srv/da\\040ta ext2 defaults 0 2
tmpfs /tmp tmpfs size=1m 0 0
# none was on ${loop}p2 during installation
UUID=$swap_uuid none swap sw 0 0
END
same 'owner by number' 12345:54321 "$(stat -c '%u:%g' "$R/target/root" || :)"
check 'mounted' mountpoint -q "$R/target/srv/da ta"
check 'proc' mountpoint -q "$R/target/proc"
check 'tmp' grep -q "target/tmp tmpfs .*size=1024k" /proc/mounts
check 'swap' grep -q -x "swapon ${loop}p2" "$R/root/swap"
check 'resolv.conf' cmp "$R/etc/resolv.conf" "$R/target/etc/resolv.conf"
content 'configured' /target/etc/configured <<'END'
yes
END
content 'file' /target/etc/hostname <<'END'
it's new
END
same 'directory' '711 0:0' "$(attributes /target/srv/made)"
if [ -d /sys/firmware/efi ]; then
    check 'boot loader' grep -q -x '/usr/sbin/grub-install ' "$R/target/root/grub"
else
    check 'boot loader' grep -q -x "/usr/sbin/grub-install $loop" "$R/target/root/grub"
fi
check 'its menu' grep -q -x '/usr/sbin/grub-mkconfig -o /boot/grub/grub.cfg' "$R/target/root/grub"

if install <<'END'
__install_chroot_umount /target --manage-resolv-conf installed
require=__install_chroot_umount/target __install_umount /target
END
then
    passed 'leaves'
else
    failed 'leaving failed'
    cat "$tmp/output"
fi
same 'nothing is mounted' '' "$(grep "$R/target" /proc/mounts || :)"
check 'swap is off' grep -q -x 'swapoff -a' "$R/root/swap"
check 'the disk is whole' mount "${loop}p1" "$R/target"
content 'resolv.conf is back' /target/etc/resolv.conf <<'END'
old
END
umount "$R/target" || :

check 'reset' install <<'END'
__install_reset_disk "$LOOP"
END
same 'no partition' '' "$(find "/sys/class/block/${loop##*/}/" -name "${loop##*/}p*")"
same 'no label' '' "$(chroot "$R" blkid -p "$loop" || :)"

# Nothing of this may reach the disk.
refused() { # WHAT PATTERN
    if install; then
        failed "$1: it was accepted"
    elif grep -q -e "$2" "$tmp/output"; then
        passed "$1"
    else
        failed "$1: the output does not have: $2"
        cat "$tmp/output"
    fi
}
refused 'too large' 'does not fit' <<'END'
__install_partition_msdos "${LOOP}p1" --type 83 --size 2G
END
refused 'no extended one' 'has to lie in an extended partition' <<'END'
__install_partition_msdos "${LOOP}p5" --type 83 --size 1M
END
refused 'no size' 'is not known; use a whole number' <<'END'
__install_partition_msdos "${LOOP}p1" --type 83 --size '1.5G'
END
refused 'no disk' 'there is no disk' <<'END'
__install_partition_msdos /dev/nodisk1 --type 83
END
refused 'no type' 'use hexadecimal digits' <<'END'
__install_partition_msdos "${LOOP}p1" --type linux
END
refused 'a mount without type' 'give --type' <<'END'
__install_mount /srv --device "${LOOP}p1"
END
refused 'unmounting the installer' "is the installer itself" <<'END'
__install_umount all --target /
END
mkdir -p "$R/empty"
refused 'no stage' 'could not be downloaded' <<'END'
__install_stage --target /empty --uri file:///root/no-such-stage.tar.gz
END
check 'nothing is left of it' rmdir "$R/empty"
refused 'no disk to reset' 'is not a block device' <<'END'
__install_reset_disk /etc/passwd
END
same 'still no label' '' "$(chroot "$R" blkid -p "$loop" || :)"

# Where no kernel can be asked to reset the machine, and with a program of that
# name that only tells.
umount "$R/dev" "$R/proc" "$R/sys"
if [ ! -e "$R/proc/sys" ]; then
    rm -f "$R/sbin/reboot"
    printf '%s\n' '#!/bin/sh' 'echo "$$" >/root/rebooted' >"$R/sbin/reboot"
    chmod 755 "$R/sbin/reboot"
    check 'reboot' install <<'END'
__install_reboot
END
    check 'not before the run has ended' test ! -e "$R/root/rebooted"
    sleep 4
    check 'but then' test -e "$R/root/rebooted"
    # What waits there for a system that hangs.
    for process in /proc/[0-9]*; do
        if [ "$(readlink "$process/root")" = "$R" ]; then kill "${process#/proc/}" || :; fi
    done 2>/dev/null
fi
mount -t proc proc "$R/proc"
losetup --detach "$loop"
cleanup=''
