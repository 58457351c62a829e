#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir -p "$R/etc/yum.repos.d"

converge 'every kind of setting' <<'END'
__yum_repo epel --name 'Extra "& $releasever" it'"'"'s' --enabled --disablegroups --keepalive \
    --baseurl 'http://mirror.example/a?b&c=%20' --baseurl=-odd --gpgcheck 1 --gpgkey file:///key --cost 50
END
content 'the file' /etc/yum.repos.d/epel.repo <<'END'
# Written by cdist (__yum_repo); changes are lost at its next run.
[epel]
baseurl=http://mirror.example/a?b&c=%20
    -odd
cost=50
enablegroups=0
enabled=1
gpgcheck=1
gpgkey=file:///key
keepalive=1
name=Extra "& $releasever" it's
END
same 'attributes' '644 0:0' "$(attributes /etc/yum.repos.d/epel.repo)"

converge 'a password, and a name of its own' <<'END'
__yum_repo secret --repositoryid other --password 'pa$$ word' --username me
END
same 'is for root only' '600 0:0' "$(attributes /etc/yum.repos.d/secret.repo)"
check 'the id' grep -q -x -F '[other]' "$R/etc/yum.repos.d/secret.repo"
check 'the password' grep -q -x -F 'password=pa$$ word' "$R/etc/yum.repos.d/secret.repo"

converge 'remove' <<'END'
__yum_repo epel --state absent
END
check 'is gone' test ! -e "$R/etc/yum.repos.d/epel.repo"

refuse 'a setting within a setting' 'more than one line' <<'END'
__yum_repo x --name 'a
gpgcheck=0'
END
refuse 'an id with a slash' 'cannot be the id' <<'END'
__yum_repo a/b
END
refuse 'an id of a section' 'cannot be the id' <<'END'
__yum_repo a --repositoryid 'b]'
END
refuse 'not a state' "state 'gone'" <<'END'
__yum_repo a --state gone
END
rm -r "$R/etc/yum.repos.d"
