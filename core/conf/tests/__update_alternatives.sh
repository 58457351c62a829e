#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

refuse 'half a path' 'is not a full path' <<'END'
__update_alternatives it --path bin/it
END
refuse 'not a name' 'cannot be the name' <<'END'
__update_alternatives a/b --path /bin/sh
END
refuse 'nothing there' 'does not exist on the target' <<'END'
__update_alternatives it --path /bin/nosuch --install
END
debian_only 'needs update-alternatives' || return 0

refuse 'is no alternative yet' 'add it with --install' <<'END'
__update_alternatives it --path /bin/true
END
converge 'the first one' <<'END'
__update_alternatives it --path /bin/true --install
END
same 'the link' /bin/true "$(in_root readlink /etc/alternatives/it)"
check 'has its place' test -h "$R/usr/bin/it"

cp "$R/bin/true" "$R/srv/it's \$1"
converge 'an odd one' <<'END'
__update_alternatives it --path "/srv/it's \$1" --install
END
same 'the link' "/srv/it's \$1" "$(in_root readlink /etc/alternatives/it)"
converge 'back to the other' <<'END'
__update_alternatives it --path /bin/true
END
same 'the link' /bin/true "$(in_root readlink /etc/alternatives/it)"

check 'a place of its own' in_root update-alternatives --quiet --install /usr/sbin/other other /bin/true 5
converge 'keeps that place' <<'END'
__update_alternatives other --path /bin/false --install
END
same 'the link' /etc/alternatives/other "$(in_root readlink /usr/sbin/other)"
