# Fills the directory $1 with the smallest system that does something. If $2 is not empty, a machine can boot from it: then
# it has the kernel of this machine, and the boot loader.
root=$1
mkdir -p "$root/bin" "$root/dev" "$root/etc" "$root/proc" "$root/sys"
cp /bin/busybox "$root/bin/busybox" # of the package busybox-static
echo '{{name}}' >"$root/etc/hostname"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec >/dev/console 2>&1 </dev/console
echo 'This is {{name}}.'
exec sh
INIT
chmod 0755 "$root/init"
if [ "$2" ]; then
	kernel=$(uname -r)
	# Of the kernel's package, and of pxelinux and syslinux-common.
	cp --parents "/boot/vmlinuz-$kernel" "/boot/config-$kernel" \
		/usr/lib/PXELINUX/pxelinux.0 /usr/lib/syslinux/modules/bios/ldlinux.c32 "$root"
fi
