#!/bin/sh -e
# shellcheck disable=SC2016,SC2034,SC2154

debian_only || return 0

# The rules must not become those of this machine: a network of its own, for
# as long as the process lives.
unshare --net sleep 600 &
keeper=$!
cleanup="kill $keeper"
sed "s|^exec env|exec nsenter --net=/proc/$keeper/ns/net env|" "$tmp/exec" >"$tmp/exec.net"
cp "$tmp/exec" "$tmp/exec.plain"
n=0
while [ "$(readlink "/proc/$keeper/ns/net")" = "$(readlink /proc/self/ns/net)" ] && [ "$n" -lt 100 ]; do
    sleep 0.1
    n=$((n + 1))
done
in_net() {
    nsenter "--net=/proc/$keeper/ns/net" chroot "$R" "$@"
}

# Packages come through the network of this machine.
converge 'the programs' <<'END'
__package iptables
__package nftables
END
cat "$tmp/exec.net" >"$tmp/exec"

if ! in_net iptables -S >/dev/null; then
    failed 'this kernel gives no packet filter to a network name space'
else
    converge 'in a chroot' <<'END'
__iptables_rule 10-ssh --rule '-A INPUT -p tcp --dport 22 -j ACCEPT'
__nftables_rule ssh --rule 'input tcp dport 22 accept'
END
    same 'the packet filter is left alone' '-P INPUT ACCEPT;' "$(in_net iptables -S INPUT | tr '\n' ';')"
    rm -f "$R/etc/iptables.d/10-ssh" "$R/etc/nftables.d/ssh.rule"
    running

    check 'a rule of somebody else' in_net iptables -A INPUT -s 192.0.2.1 -j DROP

    converge 'rules' <<'END'
__iptables_rule 10-ssh --all --rule '-A INPUT -p tcp --dport 22 -m comment --comment "it is * ssh" -j ACCEPT'
__iptables_rule 20-icmp --v6 --rule '-A INPUT -p ipv6-icmp -j ACCEPT'
__iptables_rule 90-policy --rule '-P INPUT DROP'
END
    check 'for IPv4' in_net iptables -C INPUT -p tcp --dport 22 -m comment --comment 'it is * ssh' -j ACCEPT
    check 'for IPv6' in_net ip6tables -C INPUT -p ipv6-icmp -j ACCEPT
    check 'for both' in_net ip6tables -C INPUT -p tcp --dport 22 -m comment --comment 'it is * ssh' -j ACCEPT
    check 'policy' sh -c 'nsenter --net=/proc/$1/ns/net chroot "$2" iptables -S INPUT | grep -qx -e "-P INPUT DROP"' - "$keeper" "$R"
    check 'starts on boot' test -h "$R/etc/systemd/system/multi-user.target.wants/iptables.service" -o -n "$(ls "$R"/etc/rc2.d/S*iptables 2>/dev/null)"

    converge 'changes' <<'END'
__iptables_rule 10-ssh --rule '-A INPUT -p tcp --dport 2222 -j ACCEPT'
__iptables_rule 90-policy --rule '-P INPUT DROP' --state absent
END
    same 'IPv4 rules' '-P INPUT ACCEPT;-A INPUT -s 192.0.2.1/32 -j DROP;-A INPUT -p tcp -m tcp --dport 2222 -j ACCEPT;' \
        "$(in_net iptables -S INPUT | tr '\n' ';')"
    same 'IPv6 rules' '-P INPUT ACCEPT;-A INPUT -p ipv6-icmp -j ACCEPT;' "$(in_net ip6tables -S INPUT | tr '\n' ';')"

    refuse 'a wrong rule' 'was not accepted' <<'END'
__iptables_rule 05-wrong --rule '-A INPUT -p nonsense -j ACCEPT'
END
    same 'the rules stay' '-P INPUT ACCEPT;-A INPUT -s 192.0.2.1/32 -j DROP;-A INPUT -p tcp -m tcp --dport 2222 -j ACCEPT;' \
        "$(in_net iptables -S INPUT | tr '\n' ';')"
    rm -f "$R/etc/iptables.d/05-wrong"

    broken /usr/sbin/iptables-save 'echo "iptables-save: Input/output error" >&2' 'exit 1'
    refuse 'rules that cannot be read' 'cannot be read, so nothing is changed: iptables-save' <<'END'
__iptables_rule 20-more --rule '-A INPUT -p tcp --dport 80 -j ACCEPT'
END
    mended
    same 'they stay, too' '-P INPUT ACCEPT;-A INPUT -s 192.0.2.1/32 -j DROP;-A INPUT -p tcp -m tcp --dport 2222 -j ACCEPT;' \
        "$(in_net iptables -S INPUT | tr '\n' ';')"
    rm -f "$R/etc/iptables.d/20-more"

    check 'stop' in_net /etc/init.d/iptables stop
    same 'what was there before' '-P INPUT ACCEPT;-A INPUT -s 192.0.2.1/32 -j DROP;' "$(in_net iptables -S INPUT | tr '\n' ';')"
    check 'reset' in_net /etc/init.d/iptables reset
    same 'nothing' '-P INPUT ACCEPT;' "$(in_net iptables -S INPUT | tr '\n' ';')"

    refuse 'more than one rule' 'more than one line' <<'END'
__iptables_rule two --rule '-P INPUT DROP
-F'
END
    refuse 'a path' 'cannot be the name' <<'END'
__iptables_rule cron.d/x --rule '-F INPUT'
END

    # The other packet filter, in the same network.
    converge 'nftables' <<'END'
__nftables_rule 10-ssh --rule 'input tcp dport 22 accept comment "it is ssh"'
__nftables_rule 20-icmp --rule 'input meta l4proto { icmp, ipv6-icmp } accept'
__nftables_rule 30-nat --rule 'postrouting oif lo masquerade'
__nftables_rule 90-rest --rule 'input drop'
END
    same 'its rules, in order' 'tcp dport 22 accept comment "it is ssh";meta l4proto { icmp, ipv6-icmp } accept;drop;' \
        "$(in_net nft list chain inet cdist input | sed -n -e 's/^\t\t//' -e '/^type /d' -e '/[a-z]/{/^\t\|^table/d;p}' | tr '\n' ';')"
    converge 'nftables changes' <<'END'
__nftables_rule 10-ssh --rule 'input tcp dport 2222 accept'
__nftables_rule 90-rest --rule 'input drop' --state absent
END
    check 'the new one' sh -c 'nsenter --net=/proc/$1/ns/net chroot "$2" nft list chain inet cdist input | grep -q "dport 2222"' - "$keeper" "$R"
    refuse 'a wrong one' 'syntax error\|Error' <<'END'
__nftables_rule 05-wrong --rule 'input nonsense'
END
    check 'the others stay' sh -c 'nsenter --net=/proc/$1/ns/net chroot "$2" nft list chain inet cdist input | grep -q "dport 2222"' - "$keeper" "$R"
    refuse 'two commands' "has a ';'" <<'END'
__nftables_rule x --rule 'input accept; flush ruleset'
END
    refuse 'no chain' 'begin with its chain' <<'END'
__nftables_rule x --rule 'tcp dport 22 accept'
END
fi

not_running
cat "$tmp/exec.plain" >"$tmp/exec"
kill "$keeper"
cleanup=''
