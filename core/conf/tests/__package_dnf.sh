#!/bin/sh -e
# shellcheck disable=SC2016,SC2154
# dnf and yum, which is nothing but another name of it on today's systems.

debian_only 'a shell of busybox prefers its own rpm, so there is none to test with' || return 0

converge 'the tools' <<'END'
__package_apt dnf
__package_apt rpm
__package_apt createrepo-c
END
ln -s dnf "$R/usr/bin/yum"
cp "$conf/tests/fixture/rpm-repository" "$R/tmp"
check 'a repository' in_root /tmp/rpm-repository

for manager in yum dnf; do
    converge "$manager: the repository" <<'END'
__directory /etc/yum.repos.d
require=__directory/etc/yum.repos.d __yum_repo it --name 'It & $releasever' --baseurl file:///srv/rpm --enabled --gpgcheck 0
END

    unchanged "$manager: nothing to remove" <<END
__package_$manager it-one --state absent
END
    converge "$manager: install" <<END
__package_$manager it-one
__package_$manager other --name it-two --state present
END
    message "$manager: says so" "__package_$manager/it-one:installed"
    same "$manager: the version" 2.0 "$(cat "$R/srv/files/it-one")"
    check "$manager: and the other" test -e "$R/srv/files/it-two"
    unchanged "$manager: installed under other names" <<END
__package_$manager 'perl(It::One)'
__package_$manager nevra --name it-one-2.0
__package_$manager path --name /srv/files/it-two
END

    converge "$manager: install from an odd address" <<END
__package_$manager it-three --url "/srv/rpm/apart/it's \\\$(three).rpm"
END
    check "$manager: it is there" test -e "$R/srv/files/it-three"
    unchanged "$manager: the address matters for the installation only" <<END
__package_$manager it-three --url http://mirror.example/other.rpm
END

    converge "$manager: remove" <<END
__package_$manager it-two --state absent
__package_$manager it-three --state absent
END
    message "$manager: says so" "__package_$manager/it-two:removed"
    converge "$manager: remove what provides it" <<END
__package_$manager 'perl(It::One)' --state absent
END
    same "$manager: all gone" '' "$(ls "$R/srv/files" 2>/dev/null)"

    refuse "$manager: nothing to install" 'nosuch' <<END
__package_$manager nosuch
END
    refuse "$manager: not a name" 'cannot be the name' <<END
__package_$manager x --name 'x;reboot'
END
    refuse "$manager: an option" 'cannot be the name' <<END
__package_$manager x --name=--installroot=/tmp
END
    refuse "$manager: not an address" 'cannot be the URL' <<END
__package_$manager x --url=--installroot=/tmp
END
    refuse "$manager: not a state" "state 'gone' is not known" <<END
__package_$manager x --state gone
END
done
