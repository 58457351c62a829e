#!/bin/sh -e
# shellcheck disable=SC2012,SC2016,SC2154

mkdir "$R/f"
mkdir "$R/f/up"
ROOT_OF_TARGET=$R
export ROOT_OF_TARGET

converge 'inline text' <<'END'
__file /f/plain --source - --mode 0644 --owner daemon --group 1 <<'TEXT'
it's $HOME `x` \ %s "quoted"
CDIST_END
TEXT
END
content 'inline text arrives' /f/plain <<'END'
it's $HOME `x` \ %s "quoted"
CDIST_END
END
same 'attributes of a new file' '644 1:1' "$(attributes /f/plain)"
message 'upload message' '__file/f/plain:upload'

echo other >"$R/f/plain"
converge 'changed content keeps attributes' <<'END'
echo new | __file /f/plain --source -
END
same 'attributes are kept' '644 1:1' "$(attributes /f/plain)"

converge 'attributes alone' <<'END'
__file /f/plain --mode 4755 --owner 0 --group root --onchange 'touch /f/onchange'
END
same 'set-id mode' '4755 0:0' "$(attributes /f/plain)"
content 'no source leaves the content' /f/plain <<'END'
new
END
check 'onchange was run' test -e "$R/f/onchange"
message 'chmod message' "__file/f/plain:chmod '4755'"

converge 'symbolic mode' <<'END'
__file /f/plain --mode u=rw,go=r
END
same 'symbolic mode is set' '644 0:0' "$(attributes /f/plain)"

unchanged 'nothing to do' <<'END'
__file /f/plain --mode 0644 --owner root --group 0
END

# Each byte but NUL, in every neighbourhood that quoting may care about, and
# no newline at the end: exactly so it has to arrive.
LC_ALL=C awk 'BEGIN {
    for (i = 1; i < 256; i++) printf "%c", i
    for (i = 255; i > 0; i--) printf "%c\047%%s\\\042\n\n$x`", i
    printf "\n\n"
}' >"$tmp/bytes"
{ cat "$tmp/bytes"; printf "'"; } >"$tmp/quotes"
{ seq 1 11000; printf "it's"; } >"$tmp/long"
converge 'every byte' <<END
__file /f/bytes --source '$tmp/bytes' --mode 0600
__file /f/quotes --source '$tmp/quotes' --mode 0600
__file /f/long --source '$tmp/long' --mode 0600
END
same 'all of them travel inside the code' '' "$(printf '%s\n' "$first" | grep code-local || :)"
for name in bytes quotes long; do
    check "content of $name" cmp "$tmp/$name" "$R/f/$name"
    rm -f "$R/f/$name"
done

# A long name leaves no room for more letters beside it.
name=$(awk 'BEGIN { for (i = 0; i < 250; i++) printf "n" }')
converge 'long name' <<END
echo x | __file /f/$name --source - --mode 0600
END
rm "$R/f/$name"

head -c 40000 /dev/urandom >"$tmp/binary"
converge 'binary upload' <<END
__file /f/binary --source '$tmp/binary' --mode 600
END
check 'binary content' cmp "$tmp/binary" "$R/f/binary"
same 'nothing is left beside it' 'binary onchange plain up' "$(ls -A "$R/f" | tr '\n' ' ' | sed 's/ $//')"

printf 'no newline' >"$tmp/short"
converge 'text without final newline' <<END
__file /f/short --source '$tmp/short'
END
check 'its content' cmp "$tmp/short" "$R/f/short"
printf '#!/bin/sh\n' >"$tmp/tool"
chmod 4751 "$tmp/tool"
chmod 640 "$tmp/short" "$tmp/binary"
rm "$R/f/short"
converge 'without a mode' <<END
__file /f/short --source '$tmp/short'
__file /f/tool --source '$tmp/tool'
__file /f/link --source '$tmp/binary'
echo text | __file /f/text --source -
END
same 'a new file has the permission bits of its source' '640 751 640' \
    "$(cd "$R/f" && stat -c %a short tool link | tr '\n' ' ' | sed 's/ $//')"
same 'of standard input, it is private' '600 0:0' "$(attributes /f/text)"
chmod 600 "$tmp/short"
echo more >>"$tmp/short"
converge 'another content' <<END
__file /f/short --source '$tmp/short'
END
same 'an old one keeps its own' '640 0:0' "$(attributes /f/short)"
rm "$R/f/tool" "$R/f/link" "$R/f/text"

: >"$tmp/empty"
converge 'empty source' <<END
__file /f/short --source '$tmp/empty'
END
check 'is empty' test ! -s "$R/f/short"

converge 'created without source' <<'END'
__file /f/created
END
message 'create message' '__file/f/created:create'

# Link and directory give way; what the link points to stays.
ln -s plain "$R/f/link"
mkdir -p "$R/f/dir/sub"
ln -s dir "$R/f/dirlink"
converge 'in place of links and directories' <<'END'
echo 1 | __file /f/link --source -
echo 2 | __file /f/dir --source -
echo 3 | __file /f/dirlink --source -
END
check 'link gave way' test -f "$R/f/link" -a ! -h "$R/f/link"
check 'directory gave way' test -f "$R/f/dir"
check 'link to a directory gave way' test -f "$R/f/dirlink" -a ! -h "$R/f/dirlink"
content 'target of the link stays' /f/plain <<'END'
new
END

converge 'state exists' <<'END'
echo ignored | __file /f/plain --source - --state exists
echo made | __file /f/exists --source - --state exists
END
content 'existing content stays' /f/plain <<'END'
new
END
content 'missing content is made' /f/exists <<'END'
made
END

unchanged 'state pre-exists' <<'END'
__file /f/plain --state pre-exists
END
refuse 'pre-exists without the file' 'has to exist already' <<'END'
__file /f/nothing --state pre-exists
END
would 'pre-exists in a dry run' 'has to exist already' <<'END'
__file /f/nothing --state pre-exists
END
refuse 'missing source' 'does not exist' <<'END'
__file /f/nothing --source /no/such/file
END
refuse 'no directory' "the directory of '/f/no/file' does not exist" <<'END'
__file /f/no/file
END
refuse 'no directory to upload to' "the directory of '/f/no/file' does not exist" <<END
__file /f/no/file --source '$tmp/binary'
END
converge 'several uploads to a directory' <<END
for i in 1 2 3 4 5 6; do __file /f/up/\$i --source '$tmp/binary' --mode 0640; done
END
check 'the last of them' cmp "$tmp/binary" "$R/f/up/6"
same 'nothing but them' '1 2 3 4 5 6' "$(ls -A "$R/f/up" | tr '\n' ' ' | sed 's/ $//')"
refuse 'another object fails' 'has to exist already' <<END
__file /f/up/7 --source '$tmp/binary' --mode 0640
__file /f/nothing --state pre-exists
__line y --file /f/missing --line y
END
same 'no copy is left' '' "$(find "$R/f" "$R/tmp" "$R/var/lib/cdist" -name '.7*' -o -name 'upload-*' 2>/dev/null)"
rm -f "$R/f/up/7"

# The kernel replaces no mount point.
echo one >"$R/f/real"
: >"$R/f/point"
mount --bind "$R/f/real" "$R/f/point"
converge 'a mount point, by text' <<'END'
echo two | __file /f/point --source - --mode 0640 --owner daemon
END
same 'is written in place' two "$(cat "$R/f/real")"
same 'with its attributes' '640 1:0' "$(attributes /f/point)"
converge 'a mount point, by copy' <<END
__file /f/point --source '$tmp/binary'
END
check 'is written in place' cmp "$tmp/binary" "$R/f/real"
same 'and keeps its attributes' '640 1:0' "$(attributes /f/point)"
umount "$R/f/point"
rm "$R/f/point" "$R/f/real"

# As "ssh HOST sudo sh -c" does it: the words stand between double quotes.
cp "$tmp/exec" "$tmp/exec.plain"
sed -i 's/"umask 022; \$\*"/"umask 022; sh -c \\"$*\\""/' "$tmp/exec"
check 'it is so' grep -q 'sh -c \\"' "$tmp/exec"
converge 'an upload through a command that quotes' <<END
__file /f/quoted --source '$tmp/binary' --mode 600
END
check 'its content' cmp "$tmp/binary" "$R/f/quoted"
cp "$tmp/exec.plain" "$tmp/exec"
rm "$R/f/quoted"
converge 'upload to odd names' <<END
__file '/f/odd+,=@%:name' --source '$tmp/binary'
END
refuse 'empty attribute' 'is empty' <<'END'
__file /f/short --mode ''
END
refuse 'something in the way' 'is in the way' <<'END'
ln -s /dev/null "$ROOT_OF_TARGET/f/.short.${__cdist_object_marker#.}"
echo new | __file /f/short --source -
END
check 'the file is still there' test -f "$R/f/short"
rm -f "$R"/f/.short.*
refuse 'unknown state' 'not known' <<'END'
__file /f/nothing --state sometimes
END

ln -s plain "$R/f/alink"
unchanged 'a link is no file to remove' <<'END'
__file /f/alink --state absent
END
check 'the link stays' test -h "$R/f/alink"
rm "$R/f/alink"
converge 'state absent' <<'END'
__file /f/plain --state absent --onchange 'rm /f/onchange'
__file /f/never --state absent
END
check 'is gone' test ! -e "$R/f/plain"
check 'onchange of a removal' test ! -e "$R/f/onchange"
message 'remove message' '__file/f/plain:remove'

# The reference engine does not take such object ids to the target.
BINARY=$tmp/binary
export BINARY
if config <<'END'
__directory "/f/o \$d it's %s \\"
END
then
    converge 'odd names' <<'END'
id="/f/o \$d it's %s \\/it's"
echo x | __file "$id" --source - --mode 640
__file "$id 2" --source "$BINARY" --mode 600
__line odd --file "$id 3" --line y --state absent
__link "$id 4" --source "$id" --type symbolic
__directory "$id 5" --mode 0711
END
    odd='/f/o $d it'"'"'s %s \/it'"'"'s'
    content 'content' "$odd" <<'END'
x
END
    check 'upload' cmp "$BINARY" "$R$odd 2"
    same 'link' "$odd" "$(readlink "$R$odd 4")"
    same 'directory' '711 0:0' "$(attributes "$odd 5")"
else
    echo "skipped $test: this engine does not take odd object ids"
fi
