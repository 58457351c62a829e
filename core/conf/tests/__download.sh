#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir "$R/dl" "$tmp/www"
echo "it's here" >"$tmp/www/file name"
sha256=$(sha256sum <"$tmp/www/file name" | cut -d ' ' -f 1)
md5=$(md5sum <"$tmp/www/file name" | cut -d ' ' -f 1)
sha1=$(sha1sum <"$tmp/www/file name" | cut -d ' ' -f 1)
cksum=$(cksum <"$tmp/www/file name" | sed 's/ *$//')
URL="file://$tmp/www/file%20name"
# Some busybox has no such applet.
HAS_CKSUM=$(in_root sh -c 'command -v cksum' || :)
export HAS_CKSUM URL sha256 md5 sha1 cksum

# Without a network: the command reads a file.
converge 'local' <<'END'
__download /dl/plain --url "$URL"
__download sum --destination "/dl/s u'm" --url "$URL" --sum "$(echo "$sha256" | tr a-f A-F)" --onchange 'echo x >>/dl/changed'
__download /dl/md5 --url "$URL" --sum "md5:$md5"
__download /dl/sha1 --url "$URL" --sum "$sha1"
if [ -n "$HAS_CKSUM" ]; then __download /dl/cksum --url "$URL" --sum "$cksum"; fi
END
check 'content' cmp "$tmp/www/file name" "$R/dl/plain"
check 'content at an odd name' cmp "$tmp/www/file name" "$R/dl/s u'm"
same 'mode of a new file' '600 0:0' "$(attributes /dl/plain)"
same 'onchange was run once' x "$(cat "$R/dl/changed")"

echo other >"$R/dl/md5"
echo other >"$R/dl/plain"
chmod 644 "$R/dl/md5"
converge 'another content' <<'END'
__download /dl/md5 --url "$URL" --sum "md5:$md5"
__download /dl/plain --url "$URL"
END
check 'is replaced' cmp "$tmp/www/file name" "$R/dl/md5"
same 'the mode stays' '644 0:0' "$(attributes /dl/md5)"
same 'left alone without a sum' other "$(cat "$R/dl/plain")"
same 'nothing is left beside it' '' "$(find "$R/dl" "$R/tmp" -name '.*' ! -name . ! -name '.*-unix')"

cp "$tmp/www/file name" "$R/dl/there"
converge 'remote, with commands' <<'END'
__download /dl/remote --download remote --url /dl/there --cmd-get "cat '%s'" \
    --sum "$md5" --cmd-sum "md5sum '%s' | awk '{print \$1}'"
__download /dl/local --url "${URL#file://}" --cmd-get 'cat "%%s" 2>/dev/null || cat "$(dirname %s)"/file*'
END
check 'content from the target' cmp "$tmp/www/file name" "$R/dl/remote"
check 'content by a command' cmp "$tmp/www/file name" "$R/dl/local"

refuse 'wrong sum' 'has the wrong sum' <<'END'
__download /dl/wrong --url "$URL" --sum 00000000000000000000000000000000
END
check 'nothing arrives' test ! -e "$R/dl/wrong"
refuse 'wrong sum on the target' 'has the wrong sum' <<'END'
__download /dl/wrong --download remote --url /dl/there --cmd-get 'cat %s' --sum "md5:00000000000000000000000000000001"
END
same 'nothing is left' '' "$(find "$R/dl" -name '.*' ! -name .)"
refuse 'no sum' 'length of no sum' <<'END'
__download /dl/wrong --url "$URL" --sum abc
END
refuse 'no server' 'code-local\|exit status' <<'END'
__download /dl/wrong --url file:///no/such/file
END
refuse 'odd URL for a command' 'cannot be put into' <<'END'
__download /dl/wrong --url 'http://x/$(touch /dl/x)' --cmd-get 'cat "%s"'
END
refuse 'unknown side' 'use local or remote' <<'END'
__download /dl/wrong --url "$URL" --download here
END
