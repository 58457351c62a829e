#!/bin/sh -e
# shellcheck disable=SC2154

rm -f "$R/etc/adjtime"
unchanged 'UTC is the default' <<'END'
__hwclock --mode UTC
END
converge 'local time' <<'END'
__hwclock --mode localtime
END
content 'adjtime' /etc/adjtime <<'END'
0.0 0 0.0
0
LOCAL
END
printf '%s\n' '0.001 1 0.0' 1 LOCAL >"$R/etc/adjtime"
converge 'UTC again' <<'END'
__hwclock --mode utc
END
content 'the drift stays' /etc/adjtime <<'END'
0.001 1 0.0
1
UTC
END
refuse 'unknown mode' 'use UTC or localtime' <<'END'
__hwclock --mode GMT
END
rm -f "$R/etc/adjtime"

# The files of others, by name of the system alone.
[ -z "$debian" ] || return 0
mkdir -p "$R/etc/conf.d"
echo '#clock="x"' >"$R/etc/conf.d/hwclock"
cp "$R/etc/os-release" "$R/etc/os-release.here"
echo 3.18.0 >"$R/etc/alpine-release"
printf 'ID=alpine\n' >"$R/etc/os-release"
converge 'Alpine' <<'END'
__hwclock --mode localtime
END
content 'its file' /etc/conf.d/hwclock <<'END'
clock="local"
END
mv "$R/etc/os-release.here" "$R/etc/os-release"
rm -f "$R/etc/alpine-release"
