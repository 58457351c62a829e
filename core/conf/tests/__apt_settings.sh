#!/bin/sh -e
# shellcheck disable=SC2154
# __apt_default_release, __apt_mark, __apt_norecommends, __apt_pin

mkdir -p "$R/etc/apt/apt.conf.d" "$R/etc/apt/preferences.d"

converge 'settings' <<'END'
__apt_norecommends
__apt_default_release --release 'book*'
END
content 'the release' /etc/apt/apt.conf.d/99-default-release <<'END'
// Written by cdist (__apt_default_release); changes are lost at its next run.
APT::Default-Release "book*";
END
same 'attributes' '644 0:0' "$(attributes /etc/apt/apt.conf.d/00InstallRecommends)"
refuse 'another setting in the release' 'cannot be a release' <<'END'
__apt_default_release --release 'x"; Acquire::http::Proxy "http://mirror.example'
END

converge 'pins' <<'END'
__apt_pin all --package '*' --distribution trixie --priority=-1
__apt_pin foo.bar --package 'foo foo-* /^it.s "x"$/' --distribution testing
__apt_pin bash --distribution '12*' --state exists
END
content 'a codename' /etc/apt/preferences.d/all <<'END'
# Written by cdist (__apt_pin); changes are lost at its next run.
Package: *
Pin: release n=trixie
Pin-Priority: -1
END
content 'a suite, and a name with a dot' /etc/apt/preferences.d/foo.bar.pref <<'END'
# Written by cdist (__apt_pin); changes are lost at its next run.
Package: foo foo-* /^it.s "x"$/
Pin: release a=testing
Pin-Priority: 500
END
content 'a version' /etc/apt/preferences.d/bash <<'END'
# Written by cdist (__apt_pin); changes are lost at its next run.
Package: bash
Pin: release v=12*
Pin-Priority: 500
END
refuse 'a second line' 'cannot be the packages' <<'END'
__apt_pin x --distribution sid --package 'a
Pin: release n=b'
END
refuse 'not a priority' 'is no number' <<'END'
__apt_pin x --distribution sid --priority high
END
refuse 'priority zero' 'or zero' <<'END'
__apt_pin x --distribution sid --priority 0
END
refuse 'not a distribution' 'cannot be the distribution' <<'END'
__apt_pin x --distribution 'a,b'
END
refuse 'a name that apt ignores' 'cannot be the name' <<'END'
__apt_pin a/b --distribution sid
END

refuse 'not a mark' "state 'keep' is not known" <<'END'
__apt_mark x --state keep
END

if [ -z "$debian" ]; then
    rm -r "$R/etc/apt"
    return 0
fi

setting() { # NAME
    in_root apt-config dump --format '%v%n' "$1"
}
same 'apt takes the release' 'book*' "$(setting APT::Default-Release)"
same 'apt takes the other settings' false "$(setting APT::AutoRemove::SuggestsImportant)"
# Without lists apt knows no release.
in_root apt-get -qq update >"$tmp/check" 2>&1 || cat "$tmp/check"
check 'apt takes the pins' sh -c "chroot '$R' apt-cache policy 2>&1 | grep -q -e '^ *-1.*\|Pinned' && ! chroot '$R' apt-cache policy 2>&1 | grep '^[EW]:'"

converge 'hold' <<'END'
__apt_mark bash --state hold
__apt_mark other --name dash --state hold
__apt_mark not-installed --state hold
END
same 'are held' 'bash dash' "$(in_root apt-mark showhold | sort | tr '\n' ' ' | sed 's/ $//')"
converge 'let go' <<'END'
__apt_mark bash --state unhold
__apt_mark dash --state unhold
__apt_mark coreutils --state unhold
END
same 'nothing is held' '' "$(in_root apt-mark showhold)"
converge 'remove' <<'END'
__apt_pin all --distribution sid --state absent
__apt_pin foo.bar --distribution sid --state absent
__apt_pin bash --distribution sid --state absent
__file /etc/apt/apt.conf.d/99-default-release --state absent
END
same 'no pins' '' "$(ls "$R/etc/apt/preferences.d")"
