#!/bin/sh
# usage: hand-made-root.sh DIR SUITE MIRROR PUBLIC-KEY TRIGGER-URL
#
# Makes the root of a PreOS by hand, without any code of this project, so that the lab can be tested alone. It is the recipe
# of docs/decisions/0002-preos-recipe.md cut to what the lab looks at.
# Result: DIR/vmlinuz, DIR/initramfs, DIR/root.
# The $1 of the hooks is for mmdebstrap, not for this shell.
# shellcheck disable=SC2016
set -eu
dir=$1 suite=$2 mirror=$3 key=$4 url=$5
root=$dir/root
mkdir -p "$dir"

set --
for cut in sound drivers/gpu drivers/media drivers/net/wireless drivers/scsi drivers/staging; do
    set -- "$@" --dpkgopt="path-exclude=/lib/modules/*/kernel/$cut/*" --dpkgopt="path-exclude=/usr/lib/modules/*/kernel/$cut/*"
done
mmdebstrap --quiet --mode=root --variant=minbase --format=directory \
    --include=linux-image-amd64,init,udev,kmod,iproute2,openssh-server,curl,systemd-resolved,pxelinux,syslinux-common \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' "$@" \
    --hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr \
    --essential-hook='chroot "$1" dpkg-divert --quiet --local --rename --add /usr/sbin/update-initramfs' \
    --essential-hook='ln -s /bin/true "$1/usr/sbin/update-initramfs"' \
    "$suite" "$root" "$mirror"

ln -s sbin/init "$root/init"
echo preos >"$root/etc/hostname"
rm -f "$root"/etc/ssh/ssh_host_*
mkdir -p "$root/root/.ssh"
chmod 0700 "$root/root/.ssh"
cp "$key" "$root/root/.ssh/authorized_keys"
printf '%s\n' '[Match]' 'Type=ether' 'Kind=!*' '[Link]' 'RequiredForOnline=routable' '[Network]' DHCP=yes \
    '[DHCPv4]' ClientIdentifier=mac >"$root/etc/systemd/network/80-wired.network"
wait=$root/etc/systemd/system/systemd-networkd-wait-online.service.d
mkdir -p "$wait"
printf '%s\n' '[Service]' ExecStart= \
    'ExecStart=/usr/lib/systemd/systemd-networkd-wait-online --any --operational-state=routable --timeout=0' >"$wait/any.conf"
printf '%s\n' '[Unit]' Before=ssh.service '[Service]' Type=oneshot 'ExecStart=/usr/bin/ssh-keygen -A' \
    '[Install]' WantedBy=ssh.service >"$root/etc/systemd/system/host-keys.service"
printf '%s\n' '[Unit]' Wants=network-online.target After=network-online.target StartLimitIntervalSec=0 \
    '[Service]' Type=exec "ExecStart=/usr/bin/curl -fsS $url" Restart=on-failure RestartSec=2 \
    '[Install]' WantedBy=multi-user.target >"$root/etc/systemd/system/trigger.service"
systemctl=/usr/bin/systemctl
chroot "$root" $systemctl --quiet enable systemd-networkd systemd-networkd-wait-online systemd-resolved host-keys trigger

cp "$root"/boot/vmlinuz-* "$dir/vmlinuz"
(cd "$root" && find . -path './boot/*' -prune -o -print | LC_ALL=C sort | cpio --quiet -o -H newc) | zstd -q -3 -T0 >"$dir/initramfs"
