#!/bin/sh
# What udhcpc calls: $1 is what has happened, the variables are the lease.
# shellcheck disable=SC2154

case $1 in
    deconfig)
        ifconfig "$interface" 0.0.0.0 up
        ;;
    bound | renew)
        ifconfig "$interface" "$ip" netmask "${subnet:-255.255.255.0}"
        # The first interface with an answer has the way out.
        for gateway in $router; do
            route add default gw "$gateway" dev "$interface" 2>/dev/null && break
        done
        for server in $dns; do
            echo "nameserver $server"
        done >/etc/resolv.conf
        if [ "$1" = bound ]; then
            echo "network: $interface has the address $ip" >/dev/console
        fi
        # Once, however many interfaces get a lease.
        if mkdir /run/triggered 2>/dev/null; then
            for script in /usr/local/lib/cdist/preos-trigger-*.command; do
                [ -f "$script" ] || continue
                PREOS_RETRY_AFTER=/run/triggered/${script##*/} setsid \
                    /usr/local/lib/cdist/preos-retry "$script" >/dev/console 2>&1 &
            done
        fi
        ;;
esac
