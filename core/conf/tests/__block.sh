#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir "$R/b"
printf '%s\n' one two >"$R/b/file"
chmod 640 "$R/b/file"
chown 1:1 "$R/b/file"

converge 'new blocks' <<'END'
__block /b/file --text 'it'"'"'s "A" `x` $HOME \n \\ %s & *
CDIST_END

'
__block second --file /b/file --prefix '# [a.\n*' --suffix "# it's" --text - <<TEXT
x

y

TEXT
END
content 'with every odd character' /b/file <<'END'
one
two
#cdist:__block/b/file
it's "A" `x` $HOME \n \\ %s & *
CDIST_END
#/cdist:__block/b/file
# [a.\n*
x

y

# it's
END
same 'owner and mode stay' '640 1:1' "$(attributes /b/file)"
message 'add message' '__block/b/file:add'

converge 'changed where it stands' <<'END'
__block /b/file --text new
END
content 'result of the change' /b/file <<'END'
one
two
#cdist:__block/b/file
new
#/cdist:__block/b/file
# [a.\n*
x

y

# it's
END
message 'update message' '__block/b/file:update'

cat "$R/b/file" "$R/b/file" >"$tmp/twice"
cat "$tmp/twice" >"$R/b/file"
converge 'the same block twice' <<'END'
__block /b/file --text new
END
same 'is there once' 1 "$(grep -c -x new "$R/b/file")"

converge 'absent' <<'END'
__block /b/file --text '' --state absent
__block second --file /b/file --prefix '# [a.\n*' --suffix "# it's" --text - --state absent
__block never --file /b/file --text x --state absent
__block nofile --file /b/none --text x --state absent
END
same 'the rest stays' 'one two one two' "$(tr '\n' ' ' <"$R/b/file" | sed 's/ $//')"
message 'remove message' '__block/second:remove'
check 'no file for nothing' test ! -e "$R/b/none"

ln -s file "$R/b/link"
printf 'x' >"$R/b/odd name's"
converge 'link, odd name, no file, empty text' <<'END'
__block /b/link --text linked
__block odd --file "/b/odd name's" --text y
__block new --file /b/new --text y
__block empty --file /b/new --text ''
printf '%s' 'no newline' | __block last --file /b/last --text -
END
content 'text without newline' /b/last <<'END'
#cdist:__block/last
no newline
#/cdist:__block/last
END
check 'the link stays' test -h "$R/b/link"
check 'linked file was changed' grep -q -x linked "$R/b/file"
content 'last line without newline' "/b/odd name's" <<'END'
x
#cdist:__block/odd
y
#/cdist:__block/odd
END
same 'new file' '644 0:0' "$(attributes /b/new)"

printf '%s\n' a '#cdist:__block/open' b >"$R/b/open"
refuse 'block without an end' "no '#/cdist:__block/open' after it" <<'END'
__block open --file /b/open --text x
END
content 'the file is as it was' /b/open <<'END'
a
#cdist:__block/open
b
END
refuse 'begins as it ends' 'the same line' <<'END'
__block /b/file --text x --prefix '# x' --suffix '# x'
END
refuse 'text with the end in it' 'which ends it' <<'END'
__block /b/file --suffix '# end' --text 'x
# end
y'
END
refuse 'prefix of two lines' 'more than one line' <<'END'
__block /b/file --text x --prefix '# x
y'
END
refuse 'unknown state' 'not known' <<'END'
__block /b/file --text x --state maybe
END
