#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

converge 'defaults' <<'END'
__motd
__issue
END
check 'motd' grep -q 'managed by cdist' "$R/etc/motd"
check 'issue' grep -q -F '\n' "$R/etc/issue"
same 'everybody may read them' '644 0:0 644 0:0' "$(attributes /etc/motd) $(attributes /etc/issue)"
message 'message' '__file/etc/motd:upload'

echo 'from a file' >"$tmp/motd"
converge 'own texts' <<END
__issue --source '$tmp/motd'
printf '%s\n' "it's \\\$HOME \\\\n" | __motd --source -
END
content 'from standard input' /etc/motd <<'END'
it's $HOME \n
END
content 'from a file' /etc/issue <"$tmp/motd"
