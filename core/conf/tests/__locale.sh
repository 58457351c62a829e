#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

refuse 'not a name' 'cannot be the name' <<'END'
__locale "de_DE'; reboot"
END
refuse 'unknown state' 'not known' <<'END'
__locale de_DE.UTF-8 --state maybe
END
if [ -z "$debian" ]; then
    unchanged 'a system without locales' <<'END'
__locale de_CH.UTF-8
__locale de_CH --state absent
END
    debian_only || return 0
fi

converge 'new locales' <<'END'
__locale de_CH.UTF-8
__locale de_DE
__locale ca_ES.utf8@valencia
END
same 'they are there' 'ca_ES.utf8@valencia de_CH.utf8 de_DE de_DE.iso88591' \
    "$(in_root locale -a | grep -e '^..._\|^.._' | tr '\n' ' ' | sed 's/ $//')"
unchanged 'in other words' <<'END'
__locale de_CH.utf8
__locale C.UTF-8
END
refuse 'unknown locale' "no definition of the locale 'xx_YY.UTF-8'" <<'END'
__locale xx_YY.UTF-8
END
converge 'absent' <<'END'
__locale de_CH.UTF-8 --state absent
__locale xx_YY.UTF-8 --state absent
END
check 'is gone' sh -c '! chroot "$1" locale -a | grep de_CH' _ "$R"
