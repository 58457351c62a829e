#!/bin/sh -e
# shellcheck disable=SC2012,SC2154

mkdir -p "$R/c/it's/dir/deep"
touch "$R/c/it's/a.conf" "$R/c/it's/b.conf" "$R/c/it's/c" "$R/c/it's/-rf" "$R/c/it's/o'd  d \$x" "$R/c/it's/dir/x"

converge 'clean' <<'END'
__clean_path one --path "/c/it's" --pattern '.*' --exclude ".*/it's/\(b\|dir\).*" --onchange 'echo "x" >>/c/onchange'
END
same 'what is left' "b.conf dir" "$(ls "$R/c/it's" | tr '\n' ' ' | sed 's/ $//')"
same 'onchange was run once' x "$(cat "$R/c/onchange")"
message 'message' "__clean_path/one:removed '/c/it's/a.conf'"
converge 'directories with all in them' <<'END'
__clean_path /c --pattern ".*/it's"
END
check 'is gone' test ! -e "$R/c/it's"
unchanged 'no directory' <<'END'
__clean_path /c/nosuch --pattern '.*'
END
refuse 'not a path' 'not the absolute path' <<'END'
__clean_path x --path c --pattern '.*'
END
