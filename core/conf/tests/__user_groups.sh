#!/bin/sh -e
# shellcheck disable=SC2154

members() { # GROUP
    sed -n -e "s/^$1:.*://p" "$R/etc/group"
}
printf '%s\n' 'ga:x:4001:' 'gb:x:4002:root' 'gc:x:4003:ann,daemon,joan' 'g:x:4004:daemon2' >>"$R/etc/group"
if [ -e "$R/etc/gshadow" ]; then
    printf '%s\n' 'ga:!::' 'gb:!::root' 'gc:!::ann,daemon,joan' 'g:!::daemon2' >>"$R/etc/gshadow"
fi

converge 'member' <<'END'
__user_groups daemon --group ga --group gb --group gc
END
same 'of an empty group' daemon "$(members ga)"
same 'of one that has members' root,daemon "$(members gb)"
same 'once' ann,daemon,joan "$(members gc)"
if [ -e "$R/etc/gshadow" ]; then check 'in both files' grep -q -x 'gb:!::root,daemon' "$R/etc/gshadow"; fi

converge 'no member' <<'END'
__user_groups odd --user daemon --group gc --group g --group nosuch --state absent
__user_groups nobody-here --group ga --state absent
END
same 'taken out of the middle' ann,joan "$(members gc)"
same 'names that only begin so' daemon2 "$(members g)"

refuse 'unknown group' "group 'nosuch' for user 'daemon'" <<'END'
__user_groups daemon --group nosuch
END
refuse 'unknown user' "user 'nobody-here'" <<'END'
__user_groups nobody-here --group ga
END
refuse 'not a name' 'cannot be the name' <<'END'
__user_groups daemon --group 'a b'
END
refuse 'unknown state' 'not known' <<'END'
__user_groups daemon --group ga --state gone
END
