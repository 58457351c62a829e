#!/bin/sh -e
# shellcheck disable=SC2154

debian_only || return 0
command -v rsync >/dev/null || { failed 'rsync is not installed on this side'; return 0; }

mkdir -p "$R/rs" "$tmp/it's a/sub"
echo one >"$tmp/it's a/one"
echo two >"$tmp/it's a/sub/two"
chmod 600 "$tmp/it's a/one"
SOURCE="$tmp/it's a"
export SOURCE

converge 'a directory' <<'END'
__rsync /rs/a --source "$SOURCE"
__rsync b --destination "/rs/b b" --source "$SOURCE/" --owner daemon --group daemon --mode D750,F640
__rsync /rs/one --source "$SOURCE/one"
END
check 'content' diff -r "$tmp/it's a" "$R/rs/a"
check 'content at an odd name' diff -r "$tmp/it's a" "$R/rs/b b"
same 'mode of the source' '600 0:0' "$(attributes /rs/a/one)"
same 'owner and mode' '640 1:1' "$(attributes '/rs/b b/sub/two')"
check 'a file' cmp "$tmp/it's a/one" "$R/rs/one"

touch "$R/rs/a/more"
rm "$R/rs/a/one"
converge 'options' <<'END'
__rsync /rs/a --source "$SOURCE" --option '\--delete' --option='--exclude one'
END
check 'is deleted' test ! -e "$R/rs/a/more"
check 'is left out' test ! -e "$R/rs/a/one"
converge 'other options' <<'END'
__rsync /rs/c --source "$SOURCE" --options='--dirs --times'
END
check 'not recursive' test ! -e "$R/rs/c/sub/two"

refuse 'no source' 'does not exist' <<'END'
__rsync /rs/a --source /no/thing
END
