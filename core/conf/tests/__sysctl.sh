#!/bin/sh -e
# shellcheck disable=SC2154

# The kernel here is that of this machine; what stands for it is a directory.
mkdir -p "$R/kernel/net/ipv4/conf/eth0.1" "$R/usr/bin"
mount --bind "$R/kernel" "$R/proc/sys"
kernel=$R/proc/sys
echo 0 >"$kernel/net/ipv4/ip_forward"
printf '4096\t16384\t4194304\n' >"$kernel/net/ipv4/tcp_rmem"
echo 0 >"$kernel/net/ipv4/conf/eth0.1/forwarding"
if [ -n "$debian" ]; then mkdir -p "$R/etc/sysctl.d"; fi
file=/etc/sysctl.conf
if [ -d "$R/etc/sysctl.d" ]; then file=/etc/sysctl.d/99-Z-sysctl-cdist.conf; fi

converge 'in a chroot' <<'END'
__sysctl net.ipv4.ip_forward --value 1
END
same 'the kernel is left alone' 0 "$(cat "$kernel/net/ipv4/ip_forward")"
same 'the setting for the next boot' net.ipv4.ip_forward=1 "$(tail -n 1 "$R$file")"

running
converge 'on a system of its own' <<'END'
__sysctl net.ipv4.ip_forward --value 1
__sysctl net.ipv4.conf.eth0/1.forwarding --value 1
__sysctl 'no.such_key?' --value -1
END
same 'the kernel has it' 1 "$(cat "$kernel/net/ipv4/ip_forward")"
same 'name with a dot' 1 "$(cat "$kernel/net/ipv4/conf/eth0.1/forwarding")"
check 'optional key' grep -q -x -e '-no.such_key=-1' "$R$file"
message 'message of the line' '__key_value/__sysctl/no.such_key?:insert'

converge 'only the kernel differs' <<'END'
__sysctl net.ipv4.tcp_rmem --value '1 2 3'
END
printf '1\t2\t3\n' >"$kernel/net/ipv4/tcp_rmem"
unchanged 'a list with tabs' <<'END'
__sysctl net.ipv4.tcp_rmem --value '1 2 3'
END
converge "quotes" <<'END'
__sysctl net.ipv4.tcp_rmem --value "it's \$HOME \\n"
END
# shellcheck disable=SC2016
same 'byte by byte' 'it'"'"'s $HOME \n' "$(cat "$kernel/net/ipv4/tcp_rmem")"

refuse 'unknown key' "the kernel has no setting 'no.key'" <<'END'
__sysctl no.key --value 1
END
refuse 'two lines' 'more than one line' <<'END'
__sysctl net.ipv4.ip_forward --value '1
2'
END
refuse 'not a key' 'cannot be the name' <<'END'
__sysctl 'a b' --value 1
END

not_running
umount "$R/proc/sys"
