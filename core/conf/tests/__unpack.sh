#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir -p "$R/u" "$tmp/tree/top/sub"
echo one >"$tmp/tree/top/one"
echo "t'wo" >"$tmp/tree/top/sub/two"
tar -C "$tmp/tree" -czf "$R/u/a.tar.gz" top
tar -C "$tmp/tree" -cf "$R/u/it's a.tar" top
gzip -c "$tmp/tree/top/one" >"$R/u/one.gz"

IS_DEBIAN=$debian
export IS_DEBIAN
converge 'archives' <<'END'
__unpack /u/a.tar.gz --destination /u/a/ --preserve-archive --onchange 'echo x >>/u/changed'
if [ -n "$IS_DEBIAN" ]; then
    __unpack "/u/it's a.tar" --destination "/u/it's b" --tar-strip 1 --sum-file /u/sum \
        --tar-extra-args '--exclude "*on[e]"'
else
    # Its tar has few options.
    __unpack "/u/it's a.tar" --destination "/u/it's b" --sum-file /u/sum --tar-extra-args '"top/sub/two"'
fi
__unpack /u/one.gz --destination /u/one
END
check 'content' diff -r "$tmp/tree" "$R/u/a"
if [ -n "$debian" ]; then stripped=''; else stripped=/top; fi
content 'stripped' "/u/it's b$stripped/sub/two" <<'END'
t'wo
END
check 'left out' test ! -e "$R/u/it's b$stripped/one"
content 'single file' /u/one <<'END'
one
END
check 'preserved' test -e "$R/u/a.tar.gz"
check 'removed' test ! -e "$R/u/one.gz"
[ -z "$debian" ] || same 'sum as the original notes it' "$(cksum <"$R/u/a.tar.gz" | awk '{ print $1 $2 }')" "$(cat "$R/u/a.tar.gz.cdist__unpack_sum")"
check 'named sum file' test -s "$R/u/sum"
same 'onchange was run once' x "$(cat "$R/u/changed")"

echo three >"$tmp/tree/top/three"
rm "$tmp/tree/top/one"
tar -C "$tmp/tree" -czf "$R/u/a.tar.gz" top
converge 'a new archive' <<'END'
__unpack /u/a.tar.gz --destination /u/a --preserve-archive --backup-destination
END
check 'only the new content' diff -r "$tmp/tree" "$R/u/a"
check 'backup' grep -q one "$R"/u/a.cdist__unpack_backup_*/top/one

unchanged 'no archive' <<'END'
__unpack /u/none.tar --destination /u/none
END

echo >"$R/u/what"
refuse 'unknown kind' 'tells no kind of archive' <<'END'
__unpack /u/what --destination /u/x
END
echo broken >"$R/u/broken.tar"
refuse 'broken archive' 'tar' <<'END'
__unpack /u/broken.tar --destination /u/x
END
check 'no sum of it' test ! -e "$R/u/broken.tar.cdist__unpack_sum"
refuse 'bad number' 'is not a number' <<'END'
__unpack /u/broken.tar --destination /u/x --tar-strip '1; true'
END

debian_only 'the other kinds need packages' || return 0
(cd "$tmp/tree" && tar -cJf "$R/u/b.txz" top && tar -cf "$R/u/b.tar" top && bzip2 -c "$R/u/b.tar" >"$R/u/c.tar.bz2" &&
    xz -c top/three >"$R/u/three.xz" && zstd -q -c top/three >"$R/u/three.zst" &&
    python3 -c 'import shutil; shutil.make_archive("'"$R/u/b"'", "zip", ".")')
rm -f "$R/u/b.tar"
converge 'other kinds' <<'END'
__unpack /u/b.txz --destination /u/txz
__unpack /u/c.tar.bz2 --destination /u/bz2
__unpack /u/b.zip --destination /u/zip
__unpack /u/three.xz --destination /u/three.1
__unpack /u/three.zst --destination /u/three.2
END
for kind in txz bz2 zip; do check "content of $kind" diff -r "$tmp/tree" "$R/u/$kind"; done
for kind in 1 2; do check "content of three.$kind" cmp "$tmp/tree/top/three" "$R/u/three.$kind"; done
