#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir -p "$R/m/one" "$R/m/it's a \\dir" "$R/m/three"
[ -e "$R/etc/fstab" ] || echo '# mine' >"$R/etc/fstab"
cp "$R/etc/fstab" "$tmp/fstab"

converge 'in a chroot' <<'END'
__mount /m/one --device LABEL=nosuch --type tmpfs --options size=1m,ro --dump 1 --pass 2
__mount /m/three --type tmpfs --nofstab
END
check 'nothing is mounted' sh -c '! grep -q -F " $1/m/" /proc/mounts' _ "$R"
check 'the entry is for the next boot' grep -q -x 'LABEL=nosuch /m/one tmpfs size=1m,ro 1 2' "$R/etc/fstab"
cp "$tmp/fstab" "$R/etc/fstab"
umount "$R/proc"
converge 'in a root without /proc' <<'END'
__mount /m/one --device LABEL=nosuch --type tmpfs
END
mount -t proc proc "$R/proc"
cp "$tmp/fstab" "$R/etc/fstab"
running

converge 'mount' <<'END'
__mount /m/one --device tmpfs --type tmpfs --options size=1m,ro --dump 1 --pass 2
__mount odd --path "/m/it's a \\dir/" --device "it's" --type tmpfs --options size=1m
__mount three --path /m/three --type tmpfs --nofstab --options mode=0700
__mount swap --path none --type swap --device '/dev/nosuch'
END
check 'is mounted' mountpoint "$R/m/one"
check 'with its options' grep -q -e " $R/m/one tmpfs ro,.*size=1024k" /proc/mounts
check 'odd name' mountpoint "$R/m/it's a \\dir"
same 'without an entry' '700 0:0' "$(attributes /m/three)"
{
    cat "$tmp/fstab"
    cat <<'END'
#cdist:__mount/m/one
tmpfs /m/one tmpfs size=1m,ro 1 2
#/cdist:__mount/m/one
#cdist:__mount/odd
it's /m/it's\040a\040\134dir tmpfs size=1m 0 0
#/cdist:__mount/odd
#cdist:__mount/swap
/dev/nosuch none swap defaults 0 0
#/cdist:__mount/swap
END
} | sort >"$tmp/wanted"
# Independent objects run in any order.
sort "$R/etc/fstab" >"$R/m/sorted"
content 'entries' /m/sorted <"$tmp/wanted"
message 'message of the entry' '__block/__mount/m/one:add'

converge 'another entry' <<'END'
__mount /m/one --device tmpfs --type tmpfs --options size=2m
END
check 'is in the file' grep -q -x 'tmpfs /m/one tmpfs size=2m 0 0' "$R/etc/fstab"

converge 'absent' <<'END'
__mount /m/one --device tmpfs --type tmpfs --state absent
__mount odd --path "/m/it's a \\dir/" --state absent
__mount three --path /m/three --nofstab --state absent
__mount swap --path none --type swap --state absent
__mount /m/never --state absent
END
check 'is not mounted' sh -c '! grep -q -F " $1/m/" /proc/mounts' _ "$R"
content 'no entry is left' /etc/fstab <"$tmp/fstab"

refuse 'no mount point' "mount point '/m/nosuch' does not exist" <<'END'
__mount /m/nosuch --type tmpfs --nofstab
END
refuse 'not a path' 'not an absolute path' <<'END'
__mount x --path m
END
refuse 'not a number' 'have to be numbers' <<'END'
__mount /m/one --pass x
END
refuse 'two lines' 'more than one line' <<'END'
__mount /m/one --options 'a
b'
END
refuse 'unknown state' 'not known' <<'END'
__mount /m/one --state maybe
END
not_running
