#!/bin/sh -e
# shellcheck disable=SC2154

before=$(hostname)

converge 'name of the target' <<'END'
__hostname
END
content 'first part of the host' /etc/hostname <<'END'
target
END
message 'changed message' '__hostname/:changed'

converge 'name as given' <<'END'
__hostname --name pre-os.example
END
content 'name' /etc/hostname <<'END'
pre-os.example
END
same 'mode' '644 0:0' "$(attributes /etc/hostname)"
same 'the running name stays' "$before" "$(hostname)"

refuse 'not a name' 'cannot be a host name' <<'END'
__hostname --name 'a b; reboot'
END
