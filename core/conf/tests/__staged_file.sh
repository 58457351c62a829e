#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir "$R/s"
echo 'it'"'"'s $HOME' >"$tmp/source file"
sum=$(cksum <"$tmp/source file")

converge 'fetched' <<END
__staged_file /s/one --source '$tmp/source file' --cksum '$sum name' --mode 0755 --owner daemon \\
    --fetch-command 'echo >>$tmp/fetches; cat "%s"' --stage-dir '$tmp/stage'
END
check 'content' cmp "$tmp/source file" "$R/s/one"
same 'attributes' '755 1:0' "$(attributes /s/one)"
same 'fetched once' 1 "$(wc -l <"$tmp/fetches")"

converge 'prepared' <<END
__staged_file /s/two --source '$tmp/source file' --cksum '$sum' \\
    --fetch-command 'cat "%s"' --prepare-command 'tr a-z A-Z <"%s"' --stage-dir '$tmp/stage'
END
content 'prepared content' /s/two <<'END'
IT'S $HOME
END
converge 'prepared in another way' <<END
__staged_file /s/two --source '$tmp/source file' --cksum '$sum' \\
    --fetch-command 'false "%s"' --prepare-command 'tr s S <"%s"' --stage-dir '$tmp/stage'
END
content 'other content' /s/two <<'END'
it'S $HOME
END

refuse 'another checksum' 'has another checksum' <<END
__staged_file /s/three --source '$tmp/source file' --cksum '1 2' --fetch-command 'cat "%s"' --stage-dir '$tmp/stage'
END
check 'nothing was put in place' test ! -e "$R/s/three"
refuse 'no checksum' 'no output of cksum' <<END
__staged_file /s/three --source x/y --cksum abc
END
mkdir -p "$tmp/stage/s/four/${sum% *}-${sum#* }/fetched"
chown 1 "$tmp/stage/s/four/${sum% *}-${sum#* }/fetched"
refuse 'directory of another user' 'belongs to another user' <<END
__staged_file /s/four --source '$tmp/source file' --cksum '$sum' --fetch-command 'cat "%s"' --stage-dir '$tmp/stage'
END
mkdir "$tmp/theirs"
ln -s "$tmp/stage" "$tmp/theirs/stage"
chown 1 "$tmp/theirs"
refuse 'below a directory of another user' 'belongs to another user' <<END
__staged_file /s/one --source '$tmp/source file' --cksum '$sum' --fetch-command 'cat "%s"' --stage-dir '$tmp/theirs/stage'
END
converge 'absent' <<END
__staged_file /s/one --source '/no/such/file' --cksum '$sum' --state absent
END
check 'is gone' test ! -e "$R/s/one"
