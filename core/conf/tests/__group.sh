#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

group() { # NAME: its line
    grep -e "^$1:" "$R/etc/group" || echo none
}
group_password() { # NAME
    if [ -e "$R/etc/gshadow" ]; then cut -d : -f 1,2 "$R/etc/gshadow"; else cut -d : -f 1,2 "$R/etc/group"; fi |
        sed -n -e "s/^$1://p"
}

converge 'new groups' <<'END'
__group one
__group two --gid 3000 --password '$6$it'"'"'s/a&b\c%d'
__group three --system
END
same 'number' 'two:x:3000:' "$(group two | sed -e 's/:[^:]*:/:x:/')"
same 'password, byte by byte' '$6$it'"'"'s/a&b\c%d' "$(group_password two)"
check 'system number' test "$(group three | cut -d : -f 3)" -lt 1000
check 'usual number' test "$(group one | cut -d : -f 3)" -ge 1000
message 'add message' '__group/one:add'

converge 'changes' <<'END'
__group one --gid 3005
__group two --gid 3001 --password '*'
END
same 'new number' 3005 "$(group one | cut -d : -f 3)"
same 'new password' '*' "$(group_password two)"
message 'change message' '__group/two:change gid 3001 3000'
message 'the password is in no message' '__group/two:change password'
message 'mod message' '__group/two:mod'

converge 'absent' <<'END'
__group one --state absent
__group never --state absent
END
same 'is gone' none "$(group one)"
same 'others stay' two "$(group two | cut -d : -f 1)"
message 'remove message' '__group/one:remove'

refuse 'not a name' 'cannot be the name' <<'END'
__group 'a;b'
END
refuse 'not a number' 'cannot be a group' <<'END'
__group two --gid '1 2'
END
refuse 'unknown state' 'not known' <<'END'
__group two --state gone
END
refuse 'a number that is taken' 3001 <<'END'
__group five --gid 3001
END
