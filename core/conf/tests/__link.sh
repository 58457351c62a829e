#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir "$R/k" "$R/k/dir"
echo one >"$R/k/one"
echo two >"$R/k/two"

converge 'new links' <<'END'
__link /k/absolute --source /k/one --type symbolic
__link /k/relative --source 'no $where '"it's" --type symbolic
__link /k/hard --source /k/one --type hard
__link /k/near --source one --type hard
__link /k/todir --source dir --type symbolic
__link /k/dash --source=-x --type symbolic
END
same 'absolute' /k/one "$(readlink "$R/k/absolute")"
same 'odd characters' 'no $where '"it's" "$(readlink "$R/k/relative")"
same 'hard' 4 "$(($(stat -c %h "$R/k/one") + 1))"
message 'created message' "__link/k/absolute:created '/k/absolute'"

touch "$R/k/plain"
mkdir -p "$R/k/full/of"
converge 'in place of something else' <<'END'
__link /k/absolute --source /k/two --type symbolic
__link /k/todir --source two --type symbolic
__link /k/plain --source two --type symbolic
__link /k/full --source two --type symbolic
__link /k/hard --source /k/two --type hard
END
same 'new source' /k/two "$(readlink "$R/k/absolute")"
same 'directory gave way' two "$(readlink "$R/k/full")"
content 'hard link moved' /k/hard <<'END'
two
END
message 'wrong source message' "__link/k/absolute:removed '/k/absolute' (wrongsource)"

converge 'absent' <<'END'
__link /k/absolute --state absent
__link /k/hard --source /k/two --type hard --state absent
__link /k/one --source /k/two --type hard --state absent
__link /k/dir --source x --type symbolic --state absent
END
check 'link is gone' test ! -h "$R/k/absolute"
check 'source stays' test -e "$R/k/two"
check 'directory stays' test -d "$R/k/dir"
refuse 'no source' 'needs --source' <<'END'
__link /k/x
END
refuse 'unknown type' 'use symbolic or hard' <<'END'
__link /k/x --source y --type soft
END
