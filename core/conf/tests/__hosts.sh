#!/bin/sh -e
# shellcheck disable=SC2154

rm -f "$R/etc/hosts"
tab=$(printf '\t')
unchanged 'nothing to remove' <<'END'
__hosts never --state absent
END
converge 'no file yet' <<'END'
__hosts build.example --ip 192.0.2.7 --alias build --alias b-2
__hosts six --ip 2001:db8::1
END
sort -o "$R/etc/hosts" "$R/etc/hosts"
content 'entries' /etc/hosts <<END
192.0.2.7${tab}build.example${tab}build${tab}b-2  # __hosts/build.example
2001:db8::1${tab}six  # __hosts/six
END
same 'everybody may read it' '644 0:0' "$(attributes /etc/hosts)"

echo '192.0.2.9 build.example buildXexample # __hosts/buildXexample' >>"$R/etc/hosts"
converge 'another address' <<'END'
__hosts build.example --ip 192.0.2.8
END
content 'in place of the old one' /etc/hosts <<END
192.0.2.8${tab}build.example  # __hosts/build.example
2001:db8::1${tab}six  # __hosts/six
192.0.2.9 build.example buildXexample # __hosts/buildXexample
END
converge 'absent' <<'END'
__hosts build.example --state absent
__hosts six --state absent
END
content 'others stay' /etc/hosts <<'END'
192.0.2.9 build.example buildXexample # __hosts/buildXexample
END
refuse 'no address' 'needs --ip' <<'END'
__hosts x
END
refuse 'not an address' 'cannot be an IP address' <<'END'
__hosts x --ip '1.2.3.4 y'
END
refuse 'not a name' 'cannot be the name' <<'END'
__hosts x --ip 1.2.3.4 --alias 'a b'
END
