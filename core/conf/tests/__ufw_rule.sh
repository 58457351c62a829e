#!/bin/sh -e
# shellcheck disable=SC2016,SC2034,SC2154

debian_only || return 0

# As for __iptables_rule: a network of its own.
converge 'the package' <<'END'
__package ufw
END
unshare --net sleep 600 &
keeper=$!
cleanup="kill $keeper"
cp "$tmp/exec" "$tmp/exec.plain"
n=0
while [ "$(readlink "/proc/$keeper/ns/net")" = "$(readlink /proc/self/ns/net)" ] && [ "$n" -lt 100 ]; do
    sleep 0.1
    n=$((n + 1))
done
sed -i "s|^exec env|exec nsenter --net=/proc/$keeper/ns/net env|" "$tmp/exec"
in_net() {
    nsenter "--net=/proc/$keeper/ns/net" chroot "$R" "$@"
}

converge 'in a chroot' <<'END'
__ufw --default_incoming reject
__ufw_rule 8080
END
check 'the setting is for the next boot' grep -q -x 'ENABLED=yes' "$R/etc/ufw/ufw.conf"
check 'so is the rule' grep -q 8080 "$R/etc/ufw/user.rules"
check 'the packet filter is left alone' sh -c '! nsenter --net=/proc/$1/ns/net chroot "$2" iptables -S | grep -q ufw' - "$keeper" "$R"
converge 'not there either' <<'END'
__ufw --state present --default_incoming deny
__ufw_rule 8080 --state absent
END
running

converge 'rules' <<'END'
__ufw_rule 80
__ufw_rule ssh --rule 'allow from 192.0.2.0/24 to any port 22 proto tcp comment "it is ssh"'
END
check 'short' sh -c 'nsenter --net=/proc/$1/ns/net chroot "$2" ufw show added | grep -qx "ufw allow 80"' - "$keeper" "$R"
check 'long' sh -c 'nsenter --net=/proc/$1/ns/net chroot "$2" ufw show added | grep -q "192.0.2.0/24 to any port 22 proto tcp comment"' - "$keeper" "$R"
converge 'absent' <<'END'
__ufw_rule 80 --state absent
END
check 'is gone' sh -c '! nsenter --net=/proc/$1/ns/net chroot "$2" ufw show added | grep -qx "ufw allow 80"' - "$keeper" "$R"
refuse 'a wrong rule' 'ERROR' <<'END'
__ufw_rule x --rule 'permit everything'
END
refuse 'delete' 'use --state absent' <<'END'
__ufw_rule x --rule 'delete allow 80'
END

converge 'the firewall' <<'END'
__ufw --state running --default_incoming reject --default_routed allow --logging high
END
check 'active' sh -c 'nsenter --net=/proc/$1/ns/net chroot "$2" ufw status verbose | grep -q "reject (incoming), allow (outgoing)"' - "$keeper" "$R"
check 'routed packets' grep -q -x 'DEFAULT_FORWARD_POLICY="ACCEPT"' "$R/etc/default/ufw"
converge 'not in force' <<'END'
__ufw --state present
END
check 'inactive' sh -c 'nsenter --net=/proc/$1/ns/net chroot "$2" ufw status | grep -q inactive' - "$keeper" "$R"
refuse 'unknown policy' 'use allow, deny or reject' <<'END'
__ufw --default_routed drop
END

not_running
cat "$tmp/exec.plain" >"$tmp/exec"
kill "$keeper"
cleanup=''
