#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir "$R/l"
printf '%s\n' alpha '#Port 22' beta 'Port 2222x' gamma >"$R/l/conf"
chmod 640 "$R/l/conf"
chown 1:1 "$R/l/conf"

converge 'line with every odd character' <<'END'
__line odd --file /l/conf --line 'a "b" '"'c'"' $HOME `x` \n \\ %s & *'
END
content 'it is the last one' /l/conf <<'END'
alpha
#Port 22
beta
Port 2222x
gamma
a "b" 'c' $HOME `x` \n \\ %s & *
END
same 'owner and mode stay' '640 1:1' "$(attributes /l/conf)"
message 'added message' '__line/odd:added'

# A line that merely starts like another one is a line of its own.
converge 'prefix of another line' <<'END'
__line part --file /l/conf --line 'alph'
END
converge 'absent again' <<'END'
__line part --file /l/conf --line 'alph' --state absent --onchange 'echo "$(cat /l/conf | wc -l)" >/l/count'
__line odd --file /l/conf --line 'a "b" '"'c'"' $HOME `x` \n \\ %s & *' --state absent
END
message 'removed message' '__line/part:removed'
check 'onchange was run' test -s "$R/l/count"

converge 'replace in place' <<'END'
__line port --file /l/conf --regex '^#?Port [0-9]+$' --line 'Port 2200' --state replace
END
content 'result of replace' /l/conf <<'END'
alpha
Port 2200
beta
Port 2222x
gamma
END
message 'updated message' '__line/port:updated'

unchanged 'present is satisfied by a match' <<'END'
__line port --file /l/conf --regex '^Port' --line 'Port 1'
END

converge 'regex that the right line does not match' <<'END'
__line beta --file /l/conf --regex '^b' --line 'BETA' --state replace
END

converge 'before and after' <<'END'
__line one --file /l/conf --line one --before '^al'
__line two --file /l/conf --line two --after '^gam'
__line three --file /l/conf --line three --after '^BETA$'
__line lost --file /l/conf --line lost --after '^nowhere$'
END
check 'before' grep -q -x one "$R/l/conf"
same 'order' 'one alpha Port 2200 BETA three Port 2222x gamma two lost' "$(tr '\n' ' ' <"$R/l/conf" | sed 's/ $//')"

converge 'wrong position' <<'END'
__line two --file /l/conf --line two --before '^Port 2200$'
END
same 'moved' 'one alpha two Port 2200 BETA three Port 2222x gamma lost' "$(tr '\n' ' ' <"$R/l/conf" | sed 's/ $//')"
message 'moved message' '__line/two:updated'

converge 'absent by regex' <<'END'
__line ports --file /l/conf --regex '^Port.*' --state absent
END
same 'all matches are gone' 'one alpha two BETA three gamma lost' "$(tr '\n' ' ' <"$R/l/conf" | sed 's/ $//')"

ln -s conf "$R/l/link"
printf 'x' >"$R/l/odd name's"
converge 'through a link, file without final newline' <<'END'
__line /l/link --line linked
__line odd --file "/l/odd name's" --line y
END
check 'the link stays' test -h "$R/l/link"
check 'linked file was changed' grep -q -x linked "$R/l/conf"
content 'final newline' "/l/odd name's" <<'END'
x
y
END

unchanged 'absent without the file' <<'END'
__line /l/none --line x --state absent
END
refuse 'missing file' 'does not exist' <<'END'
__line /l/none --line x
END
refuse 'both positions' 'give one of them' <<'END'
__line /l/conf --line x --before a --after b
END
refuse 'more than one line' 'more than one line' <<'END'
__line /l/conf --line "a
b"
END
