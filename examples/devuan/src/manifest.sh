# The initial manifest of a Devuan PreOS: what systemd does in Debian's, by sysvinit.

# The kernel starts /init of an initramfs; without it it looks for a root device.
__link /init --source sbin/init --type symbolic --state present

__hostname --name preos

__file /etc/hosts --mode 0644 --source - <<'END'
127.0.0.1 localhost
127.0.1.1 preos
::1 localhost ip6-localhost ip6-loopback
END

# The root is the initramfs, and nothing else is mounted.
__file /etc/fstab --mode 0644 --source - <<'END'
rootfs / rootfs defaults 0 0
END

# The loopback is ifupdown's, all other interfaces are dhcpcd's.
__directory /etc/network --mode 0755
require="__directory/etc/network" __file /etc/network/interfaces --mode 0644 --source - <<'END'
auto lo
iface lo inet loopback
END
__start_on_boot dhcpcd

# Host keys are each machine's own: the image has none.
__file /etc/init.d/preos-ssh-host-keys --mode 0755 --source - <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          preos-ssh-host-keys
# Required-Start:    $remote_fs
# Required-Stop:
# X-Start-Before:    ssh
# Default-Start:     2 3 4 5
# Default-Stop:
# Short-Description: Make the ssh host keys of this machine
### END INIT INFO

[ "$1" = start ] || exit 0
exec /usr/bin/ssh-keygen -A
END
require="__file/etc/init.d/preos-ssh-host-keys" __start_on_boot preos-ssh-host-keys
