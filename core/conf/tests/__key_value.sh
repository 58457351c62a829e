#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir "$R/v"
printf '%s\n' 'A = 1' '#B = 2' '  C = 3' 'AB = 4' 'D=5' 'E' 'F  ==  6' '# why' 'G = 7' 'H = 8' 'H = 9' >"$R/v/file"
chmod 640 "$R/v/file"
chown 1:1 "$R/v/file"

converge 'changes in place' <<'END'
__key_value A --file /v/file --delimiter ' = ' --value 'it'"'"'s "x" `y` $HOME \n \\ %s & *' --comment '# it'"'"'s \1 &'
__key_value B --file /v/file --delimiter ' = ' --value ''
__key_value D --file /v/file --delimiter ' = ' --value 5
__key_value e --key E --file /v/file --delimiter ' = ' --value 6
__key_value H --file /v/file --delimiter ' = ' --value 10
END
content 'result' /v/file <<'END'
# it's \1 &
A = it's "x" `y` $HOME \n \\ %s & *
#B = 2
  C = 3
AB = 4
D = 5
E = 6
F  ==  6
# why
G = 7
H = 10
H = 10
B = 
END
same 'owner and mode stay' '640 1:1' "$(attributes /v/file)"
message 'change message' '__key_value/A:change'
message 'insert message' '__key_value/B:insert'

unchanged 'blanks do not matter' <<'END'
__key_value F --file /v/file --delimiter '==' --value 6
__key_value G --file /v/file --delimiter '=' --value 7
END
converge 'blanks matter' <<'END'
__key_value F --file /v/file --delimiter '==' --value 6 --exact_delimiter --onchange 'echo "a b" >>/v/onchange'
END
check 'the exact line' grep -q -x 'F==6' "$R/v/file"
content 'onchange was run once' /v/onchange <<'END'
a b
END

# Regular expressions and other keys are no match.
printf '%s\n' 'a.b|c x' 'aXb|c y' 'key	tab' 'keys 1' >"$R/v/blank"
converge 'a blank as delimiter' <<'END'
__key_value 'a.b|c' --file /v/blank --delimiter ' ' --value z
__key_value key --file /v/blank --delimiter ' ' --value tab
END
content 'only the key itself' /v/blank <<'END'
a.b|c z
aXb|c y
key	tab
keys 1
END

converge 'absent' <<'END'
__key_value A --file /v/file --delimiter '=' --state absent --comment '# it'"'"'s \1 &'
__key_value G --file /v/file --delimiter '=' --state absent
__key_value H --file /v/file --delimiter '=' --state absent
__key_value never --file /v/file --delimiter '=' --state absent
__key_value never2 --file /v/none --delimiter '=' --state absent
END
content 'lines and comment are gone' /v/file <<'END'
#B = 2
  C = 3
AB = 4
D = 5
E = 6
F==6
# why
B = 
END
check 'no file for nothing' test ! -e "$R/v/none"
message 'remove message' '__key_value/A:remove'

ln -s file "$R/v/link"
printf 'x=1' >"$R/v/odd name's"
converge 'link, odd name, no file' <<'END'
__key_value L --file /v/link --delimiter = --value 1
__key_value odd --key "o'd d\\n" --file "/v/odd name's" --delimiter = --value 1
__key_value new --file /v/new --delimiter = --value 1 --comment '# new'
END
check 'the link stays' test -h "$R/v/link"
check 'linked file was changed' grep -q -x 'L=1' "$R/v/file"
content 'last line without newline' "/v/odd name's" <<'END'
x=1
o'd d\n=1
END
content 'new file' /v/new <<'END'
# new
new=1
END
same 'its mode' '644 0:0' "$(attributes /v/new)"
message 'create message' '__key_value/new:create'

refuse 'no value' "needs --value" <<'END'
__key_value x --file /v/file --delimiter =
END
refuse 'two lines' 'more than one line' <<'END'
__key_value x --file /v/file --delimiter = --value 'a
b'
END
refuse 'unknown state' 'not known' <<'END'
__key_value x --file /v/file --delimiter = --value 1 --state maybe
END
