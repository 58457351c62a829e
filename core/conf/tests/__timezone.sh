#!/bin/sh -e
# shellcheck disable=SC2154

zones=$R/usr/share/zoneinfo
if [ -z "$debian" ]; then
    mkdir -p "$zones/Europe" "$zones/Etc"
    touch "$zones/Europe/Andorra" "$zones/Etc/GMT+1"
fi

converge 'zone' <<'END'
__timezone --tz Europe/Andorra
END
same 'link' /usr/share/zoneinfo/Europe/Andorra "$(readlink "$R/etc/localtime")"
message 'changed message' '__timezone/:changed'
if [ -n "$debian" ]; then
    check 'name' grep -q -x Europe/Andorra "$R/etc/timezone"
    check 'the data is there' test -f "$zones/Europe/Andorra"
    check 'it is used' test "$(in_root date -d @0 +%H)" = 01
else
    check 'no name unless there was one' test ! -e "$R/etc/timezone"
    echo Etc/UTC >"$R/etc/timezone"
    converge 'name where there is one' <<'END'
__timezone --tz Europe/Andorra
END
    check 'new name' grep -q -x Europe/Andorra "$R/etc/timezone"
fi

rm "$R/etc/localtime"
ln -s ../usr/share/zoneinfo/Europe/Andorra "$R/etc/localtime"
unchanged 'relative link' <<'END'
__timezone --tz Europe/Andorra
END
rm "$R/etc/localtime"
cp "$zones/Etc/GMT+1" "$R/etc/localtime"
converge 'in place of a copy' <<'END'
__timezone --tz Etc/GMT+1
END
check 'is a link' test -h "$R/etc/localtime"

refuse 'unknown zone' "does not know the time zone 'No/Such'" <<'END'
__timezone --tz No/Such
END
same 'the old one stays' /usr/share/zoneinfo/Etc/GMT+1 "$(readlink "$R/etc/localtime")"
refuse 'not a zone' 'cannot be the name' <<'END'
__timezone --tz ../../../etc/passwd
END
refuse 'quote' 'cannot be the name' <<'END'
__timezone --tz "a'; reboot"
END
