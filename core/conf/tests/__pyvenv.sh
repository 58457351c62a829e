#!/bin/sh -e
# shellcheck disable=SC2154

debian_only || return 0

converge 'the program' <<'END'
__package python3-venv
END
converge 'an environment' <<'END'
__pyvenv "/it's env" --venvparams '--without-pip --prompt "a b"' --owner daemon --group daemon --mode u=rwX,go=
END
check 'it works' in_root "/it's env/bin/python" -c 'pass'
same 'owner and mode' '700 1:1' "$(attributes "/it's env/bin")"
same 'of the program itself' '755 0:0' "$(in_root stat -L -c '%a %u:%g' /usr/bin/python3)"
converge 'another command' <<'END'
__pyvenv /env --pyvenv 'mkdir'
END
check 'was run' test -d "$R/env"
converge 'absent' <<'END'
__pyvenv "/it's env" --state absent
END
check 'is gone' test ! -e "$R/it's env"
refuse 'unknown state' 'use present or absent' <<'END'
__pyvenv /env --state latest
END
