#!/bin/sh -e
# shellcheck disable=SC2154

rm -rf "$R/root/.ssh"

converge 'directory of root' <<'END'
__ssh_dot_ssh root
END
same 'attributes' '700 0:0' "$(attributes /root/.ssh)"

converge 'absent' <<'END'
__ssh_dot_ssh root --state absent
END
check 'is gone' test ! -e "$R/root/.ssh"

refuse 'unknown user' 'does not exist on the target' <<'END'
__ssh_dot_ssh nobody-there
END
unchanged 'absent without the user' <<'END'
__ssh_dot_ssh nobody-there --state absent
END
refuse 'unknown state' 'use present or absent' <<'END'
__ssh_dot_ssh root --state maybe
END
