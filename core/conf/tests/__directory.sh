#!/bin/sh -e
# shellcheck disable=SC2154

mkdir "$R/d"

converge 'new directories' <<'END'
__directory /d/one --mode 0750 --owner daemon --group daemon
__directory /d/deep/er --parents
__directory /d/sticky --mode 1777
END
same 'attributes' '750 1:1' "$(attributes /d/one)"
same 'sticky' '1777 0:0' "$(attributes /d/sticky)"
check 'parents' test -d "$R/d/deep/er"
message 'create message' '__directory/d/one:create'

converge 'attributes of an old one' <<'END'
__directory /d/one --mode g-w,o+x --owner 0
END
same 'changed attributes' '751 0:1' "$(attributes /d/one)"
message 'chown message' "__directory/d/one:chown '0'"

touch "$R/d/one/file"
converge 'recursive' <<'END'
__directory /d/one --recursive --owner daemon --group 1
END
same 'file below' '1:1' "$(stat -c %u:%g "$R/d/one/file")"
chown 0 "$R/d/one/file"
converge 'recursive when only a file differs' <<'END'
__directory /d/one --recursive --owner daemon
END
same 'file below again' '1:1' "$(stat -c %u:%g "$R/d/one/file")"

touch "$R/d/file"
ln -s one "$R/d/link"
converge 'in place of a file' <<'END'
__directory /d/file
END
check 'file gave way' test -d "$R/d/file"
message 'its message' '__directory/d/file:remove non directory'
unchanged 'a link to a directory is one' <<'END'
__directory /d/link
END

unchanged 'exists and pre-exists' <<'END'
__directory /d/one --state exists --mode 0700
__directory /d/deep --state pre-exists
END
refuse 'pre-exists without it' 'has to exist already' <<'END'
__directory /d/never --state pre-exists
END

mkdir "$R/d/it's"
converge 'absent' <<'END'
__directory /d/one --state absent
__directory /d/never --state absent
END
check 'is gone' test ! -e "$R/d/one"
refuse 'a file is not removed' 'is no directory' <<'END'
__directory /etc/passwd --state absent
END
