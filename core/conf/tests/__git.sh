#!/bin/sh -e
# shellcheck disable=SC2154

debian_only || return 0

mkdir "$R/gits"
cat >"$R/gits/make" <<'END'
set -e
cd /gits
git init -q --initial-branch master "it's"
cd "it's"
git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m first
echo text >file
git add file
git -c user.name=a -c user.email=a@example.org commit -q -m second
git checkout -q -b "o'dd"
echo odd >file
git -c user.name=a -c user.email=a@example.org commit -q -a -m third
git checkout -q master
END

converge 'git is there' <<'END'
__package git
END
check 'a repository to clone' in_root sh /gits/make

converge 'clone' <<'END'
__git /gits/clone --source "/gits/it's"
END
content 'branch master' /gits/clone/file <<'END'
text
END

converge 'branch, depth, owner and mode' <<'END'
__git "/gits/the c'lone" --source "file:///gits/it's" --branch "o'dd" --shallow --recursive \
    --owner daemon --group 1 --mode u=rwX,go=
END
content 'the other branch' "/gits/the c'lone/file" <<'END'
odd
END
same 'owner and mode of a file' '600 1:1' "$(attributes "/gits/the c'lone/file")"
same 'owner and mode of a directory' '700 1:1' "$(attributes "/gits/the c'lone/.git")"
check 'no history' test -e "$R/gits/the c'lone/.git/shallow"

converge 'another mode' <<'END'
__git "/gits/the c'lone" --source "file:///gits/it's" --branch "o'dd" --owner 1 --mode u=rwX,go=rX
END
same 'mode of a file' '644 1:1' "$(attributes "/gits/the c'lone/file")"

converge 'absent' <<'END'
__git /gits/clone --source "/gits/it's" --state absent
END
check 'is gone' test ! -e "$R/gits/clone"

refuse 'unknown state' 'use present or absent' <<'END'
__git /gits/clone --source "/gits/it's" --state newest
END
refuse 'no branch' 'cannot be the branch' <<'END'
__git /gits/clone --source "/gits/it's" --branch=--upload-pack=x
END
refuse 'missing source' 'does not exist\|not appear to be a git' <<'END'
__git /gits/clone --source /gits/nothing
END
