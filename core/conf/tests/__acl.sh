#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

debian_only || return 0

converge 'the programs' <<'END'
__package acl
END
mkdir -p "$R/acl/d ir/sub"
echo x >"$R/acl/file"
if ! in_root setfacl -m user:daemon:r /acl/file; then
    echo "skipped $test: this file system has no access control lists"
    return 0
fi
in_root setfacl -b /acl/file

entries() {
    in_root getfacl -cp "$1" 2>/dev/null | tr '\n' ' ' | sed 's/ *$//'
}

converge 'a file' <<'END'
__acl /acl/file --entry user:daemon:rX --entry group:bin:rw --entry other::---
END
same 'entries of a file' 'user::rw- user:daemon:r-- group::r-- group:bin:rw- mask::rw- other::---' "$(entries /acl/file)"
message 'added message' "__acl/acl/file:added 'group:bin:rw-'"

converge 'a directory, and what is in it' <<'END'
__acl '/acl/d ir' --default --recursive --source - <<LIST
# by the standard input
user:daemon:rwX

LIST
END
same 'entries of a directory' 'user::rwx user:daemon:rwx group::r-x mask::rwx other::r-x default:user::rwx default:user:daemon:rwx default:group::r-x default:mask::rwx default:other::r-x' \
    "$(entries '/acl/d ir')"
check 'what is in it' sh -c 'chroot "$1" getfacl -cp "/acl/d ir/sub" | grep -q -x user:daemon:rwx' - "$R"

converge 'others are removed' <<'END'
__acl /acl/file --remove --entry user:sys:r-- --entry mask::r--
END
same 'entries that are left' 'user::rw- user:sys:r-- group::r-- mask::r-- other::---' "$(entries /acl/file)"
message 'removed message' "__acl/acl/file:removed 'group:bin'"

converge 'it is made first' <<'END'
__acl /acl/made --directory root:daemon:2770 --entry user:bin:rwx
END
same 'attributes' '2770 0:1' "$(attributes /acl/made)"

unchanged 'nothing there' <<'END'
__acl /acl/none --entry user:bin:rwx
END
refuse 'a bad entry' 'cannot be an entry' <<'END'
__acl /acl/file --entry 'user:bin'
END
refuse 'no entry' 'needs --entry or --source' <<'END'
__acl /acl/file
END
