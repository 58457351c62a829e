#!/bin/sh -e
# shellcheck disable=SC2154

if [ -n "$debian" ]; then
    file=/etc/default/locale
else
    refuse 'unknown system' "operating system 'busybox'" <<'END'
__locale_system LANG
END
    # Enough to be taken for a system with systemd.
    printf '%s\n' 'ID=fedora' 'VERSION_ID=40' >"$R/etc/os-release"
    file=/etc/locale.conf
fi
rm -f "$R$file"

converge 'settings' <<'END'
__locale_system LANG
__locale_system LC_TIME --value de_CH.UTF-8
__locale_system LANGUAGE --value de:en
END
sort -o "$R$file" "$R$file"
content 'lines' "$file" <<'END'
LANG=en_US.UTF-8
LANGUAGE=de:en
LC_TIME=de_CH.UTF-8
END
same 'everybody may read it' '644 0:0' "$(attributes "$file")"
message 'message of the line' "__key_value$file:LANG:create"

converge 'change' <<'END'
__locale_system LANG --value C.UTF-8
__locale_system LC_TIME --state absent
__locale_system LC_ALL --state absent
END
content 'new lines' "$file" <<'END'
LANG=C.UTF-8
LANGUAGE=de:en
END

# shellcheck disable=SC2016
refuse 'code' 'cannot be the value' <<'END'
__locale_system LANG --value '$(reboot)'
END
refuse 'no setting' 'no locale setting' <<'END'
__locale_system PATH --value C
END
if [ -z "$debian" ]; then printf '%s\n' 'ID=busybox' 'NAME=Busybox' 'VERSION_ID=1' >"$R/etc/os-release"; fi
