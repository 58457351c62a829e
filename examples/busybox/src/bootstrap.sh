# busybox PreOS
# Fills a root with busybox, Debian's kernel with drivers of network cards, and the boot loader. This is the script in
#
#   sh -c SCRIPT bootstrap ROOT INIT DHCP
#
# INIT and DHCP are the texts of /init and of what udhcpc calls. Packages come from where apt on this machine gets them,
# which verifies them. Their files are taken out; nothing is installed, and nothing runs but busybox itself.
set -eu
root=$1
umask 022

# Of wired network cards, and what these need is found below. A machine loads what it has the hardware for.
drivers='virtio_pci virtio_net vmxnet3 e1000 e1000e igb igc ixgbe r8169 tg3 bnx2 atlantic hv_netvsc xen-netfront af_packet'

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

case $(dpkg --print-architecture) in
    amd64) newest=linux-image-amd64 ;;
    i386) newest=linux-image-686-pae ;;
    *) fail 'PXELINUX boots PCs only: make this PreOS on an amd64 or i386 machine' ;;
esac
# A package without files, which depends on the one with the newest kernel.
kernel=$(apt-cache show --no-all-versions "$newest" | sed -n 's/^Depends: \(linux-image-[^ ,(]*\).*/\1/p')
[ -n "$kernel" ] || fail "apt does not know the package $newest; name a Debian mirror in its sources and run apt-get update"

mkdir "$root/work"
cd "$root/work"
apt-get -q -o APT::Sandbox::User=root download busybox-static "$kernel" pxelinux syslinux-common
for package in *.deb; do
    dpkg-deb -x "$package" files
    rm "$package"
done

cd "$root"
mkdir -p bin boot dev etc lib/modules proc root run sbin sys tmp usr/bin usr/lib usr/sbin usr/share var
chmod 0700 root
chmod 1777 tmp
mkdir -p usr/lib/PXELINUX usr/lib/syslinux/modules/bios
cp work/files/usr/lib/PXELINUX/pxelinux.0 usr/lib/PXELINUX/
cp work/files/usr/lib/syslinux/modules/bios/ldlinux.c32 usr/lib/syslinux/modules/bios/
# Newer packages have /usr/bin and /usr/lib.
cp "$(find work/files -path '*bin/busybox' -type f)" bin/busybox
chroot . /bin/busybox --install -s

version=${kernel#linux-image-}
cp "work/files/boot/vmlinuz-$version" "work/files/boot/config-$version" boot/
all=$(find work/files -path "*lib/modules/$version/kernel" -type d)
modules=lib/modules/$version
mkdir "$modules"
wanted=$drivers
while [ -n "$wanted" ]; do
    needed=''
    for name in $wanted; do
        # A hyphen in the name of the file may be an underscore in that of the module.
        file=$(find "$all" -name "$(printf '%s' "$name" | sed 's/[-_]/[-_]/g').ko*")
        # What is in the kernel itself has no file.
        [ -n "$file" ] || continue
        plain=$modules/$(basename "${file%.xz}")
        [ ! -e "$plain" ] || continue
        case $file in
            *.xz) xz -d -c "$file" >"$plain" ;;
            *) cp "$file" "$plain" ;;
        esac
        needed="$needed$(tr '\0' '\n' <"$plain" | LC_ALL=C sed -n 's/^depends=/ /p' | tr ',' ' ')"
    done
    wanted=$needed
done
bin/busybox depmod -b "$root" "$version"
rm -r work

printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
printf '%s\n' 'root:x:0:' >etc/group
# The first thing that cdist asks a system for.
printf '%s\n' 'NAME="busybox PreOS"' 'ID=busybox' "VERSION_ID=$version" >etc/os-release
printf '%s\n' "PreOS of busybox, Linux $version. This is memory only: reboot -f ends it." >etc/motd
printf '%s' "$2" >init
printf '%s' "$3" >etc/udhcpc.script
chmod 0755 init etc/udhcpc.script
