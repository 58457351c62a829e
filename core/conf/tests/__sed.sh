#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir "$R/sed"
printf '%s\n' one two >"$R/sed/file"
chmod 640 "$R/sed/file"
chown 1:1 "$R/sed/file"

converge 'scripts' <<'END'
__sed /sed/file --script 's/^one$/it'"'"'s $HOME \\n/' --script 's/tw[o]/&&/;s/twotwo/2/' --onchange 'echo x >>/sed/onchange'
END
content 'result' /sed/file <<'END'
it's $HOME \n
2
END
same 'owner and mode stay' '640 1:1' "$(attributes /sed/file)"
same 'onchange was run once' x "$(cat "$R/sed/onchange")"
message 'message' '__sed/sed/file:change'

ln -s file "$R/sed/link"
converge 'from standard input, through a link' <<'END'
__sed link --file /sed/link --regexp-extended --script - <<TEXT
s/^(2)+\$/3/
TEXT
END
check 'the link stays' test -h "$R/sed/link"
same 'extended expressions' 3 "$(tail -n 1 "$R/sed/file")"
: >"$R/sed/empty"
unchanged 'empty file' <<'END'
__sed /sed/empty --script 's/a/b/'
END
refuse 'no file' 'does not exist' <<'END'
__sed /sed/nosuch --script 's/a/b/'
END
refuse 'bad script' 'sed' <<'END'
__sed /sed/file --script 's/a'
END
