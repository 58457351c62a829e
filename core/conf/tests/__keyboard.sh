#!/bin/sh -e
# shellcheck disable=SC2154

debian_only || return 0

converge 'a new file' <<'END'
__keyboard --type de
END
check 'the layout' grep -q -x 'XKBLAYOUT="de"' "$R/etc/default/keyboard"
printf '%s\n' 'XKBMODEL="pc105"' 'XKBLAYOUT="us"' 'XKBVARIANT=""' >"$R/etc/default/keyboard"
converge 'another layout' <<'END'
__keyboard --type us,ru
END
content 'the rest stays' /etc/default/keyboard <<'END'
XKBMODEL="pc105"
XKBLAYOUT="us,ru"
XKBVARIANT=""
END
refuse 'no layout' 'cannot be a keyboard layout' <<'END'
__keyboard --type 'us"; reboot'
END
