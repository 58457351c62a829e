#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir "$R/g"
converge 'new file' <<'END'
__config_file /g/one --source - --mode 0640 --owner daemon --group 1 --onchange 'echo "it'"'"'s $HOME" >>/g/onchange' <<'TEXT'
it's $HOME
TEXT
__config_file /g/two --onchange 'echo two >>/g/two.onchange'
END
content 'content' /g/one <<'END'
it's $HOME
END
same 'attributes' '640 1:1' "$(attributes /g/one)"
content 'onchange was run once' /g/onchange <<'END'
it's /root
END
message 'the messages are those of the file' '__file/g/one:upload'

# A file whose name begins like that of a changed one is not changed.
touch "$R/g/o"
converge 'attributes' <<'END'
__config_file /g/one --mode 0600 --onchange 'echo mode >>/g/onchange'
__config_file /g/o --state exists --onchange 'echo o >>/g/onchange'
END
same 'onchange of attributes' 'mode' "$(tail -n 1 "$R/g/onchange")"
same 'only of what has changed' 2 "$(wc -l <"$R/g/onchange")"

converge 'absent' <<'END'
__config_file /g/one --state absent --onchange 'echo gone >>/g/onchange'
__config_file /g/never --state absent --onchange 'echo never >>/g/onchange'
END
same 'onchange of a removal' 'gone' "$(tail -n 1 "$R/g/onchange")"

echo 'from a file' >"$tmp/source"
converge 'source file' <<END
__config_file /g/three --source '$tmp/source'
END
content 'its content' /g/three <"$tmp/source"
refuse 'missing source' 'does not exist' <<'END'
__config_file /g/four --source /no/such/file
END
