
# The kernel starts /init of an initramfs; without it it looks for a root device.
__link /init --source sbin/init --type symbolic --state present

__hostname --name preos

__file /etc/hosts --mode 0644 --source - <<'END'
127.0.0.1 localhost
127.0.1.1 preos
::1 localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
END

# pam_env warns at every login without it.
__file /etc/default/locale --mode 0644 --source - <<'END'
LANG=C.UTF-8
END

# Every wired interface, whatever its name; not the bridges and VLANs that an installation makes later.
# The identifier is the MAC, because the machine-id is new at every boot and would use up a lease each time.
__file /etc/systemd/network/80-preos-wired.network --mode 0644 --source - <<'END'
[Match]
Type=ether
Kind=!*

[Link]
RequiredForOnline=routable

[Network]
DHCP=yes
IPv6AcceptRA=yes

[DHCPv4]
ClientIdentifier=mac
UseDomains=yes

[DHCPv6]
DUIDType=link-layer
UseDomains=yes

[IPv6AcceptRA]
UseDomains=yes
END

# One cable in four ports is enough, and a switch port that comes up after an hour still is.
__directory /etc/systemd/system/systemd-networkd-wait-online.service.d --mode 0755 --parents
require="__directory/etc/systemd/system/systemd-networkd-wait-online.service.d" \
__file /etc/systemd/system/systemd-networkd-wait-online.service.d/preos.conf --mode 0644 --source - <<'END'
[Service]
ExecStart=
ExecStart=/lib/systemd/systemd-networkd-wait-online --any --operational-state=routable --timeout=0
END

__directory /etc/systemd/resolved.conf.d --mode 0755 --parents
require="__directory/etc/systemd/resolved.conf.d" \
__file /etc/systemd/resolved.conf.d/preos.conf --mode 0644 --source - <<'END'
[Resolve]
LLMNR=no
MulticastDNS=no
END

# Host keys are each machine's own: the image has none.
__systemd_unit preos-ssh-host-keys.service --enablement-state enabled --source - <<'END'
[Unit]
Description=Make the ssh host keys of this machine
Before=ssh.service ssh.socket

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=ssh.service ssh.socket
END

for unit in systemd-networkd.service systemd-networkd-wait-online.service systemd-resolved.service
do
    __systemd_unit "$unit" --enablement-state enabled
done

# Nothing that a machine which lives for an installation has a use for.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer xfs_scrub_all.timer mdcheck_start.timer mdcheck_continue.timer \
    mdmonitor-oneshot.timer
do
    __systemd_unit "$unit" --enablement-state masked
done
