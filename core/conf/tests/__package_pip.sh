#!/bin/sh -e
# shellcheck disable=SC2154

unchanged 'no pip, nothing to remove' <<'END'
__package_pip it-one --state absent --pip /nonexistent/pip
END
refuse 'no pip' 'there is no pip' <<'END'
__package_pip it-one --pip /nonexistent/pip
END
refuse 'an option' 'cannot be the name' <<'END'
__package_pip x --name=--user
END
refuse 'not an extra' 'cannot be extras' <<'END'
__package_pip x --extra 'a]'
END
refuse 'not a state' "state 'gone' is not known" <<'END'
__package_pip x --state gone
END
debian_only 'needs Python' || return 0

converge 'the tool' <<'END'
__package_apt python3-venv
END
cp "$conf/tests/fixture/python-packages.py" "$R/tmp"
check 'packages' in_root python3 /tmp/python-packages.py
check 'an environment' in_root python3 -m venv "/srv/the venv"

pip='/srv/the venv/bin/pip'
has() { # MODULE
    in_root '/srv/the venv/bin/python' -c "import $1; print($1.version)"
}

converge 'install' <<END
__package_pip it-one --pip '$pip'
END
message 'says so' '__package_pip/it-one:installed'
same 'the latest' 2.0 "$(has it_one)"
converge 'this version' <<END
__package_pip other --name it_one==1.0 --pip '$pip'
END
same 'an older one' 1.0 "$(has it_one)"
unchanged 'good enough' <<END
__package_pip 'it_one<2' --pip '$pip'
__package_pip IT.One --pip '$pip'
__package_pip nothing --state absent --pip '$pip'
END

converge 'without an extra' <<END
__package_pip it-two --pip '$pip'
END
converge 'an extra of what is installed' <<END
__package_pip it-two --extra fast --pip '$pip'
END
same 'is there' 1.0 "$(has it_dep)"
converge 'an extra within an extra' <<END
__package_pip it-two --extra fast,deep --extra fast --pip '$pip'
END
same 'is there' 1.0 "$(has it_deeper)"

converge 'remove' <<END
__package_pip it-one --state absent --pip '$pip'
__package_pip it_two --name 'it_two>=1' --state absent --pip '$pip'
END
message 'says so' '__package_pip/it-one:removed'
check 'is gone' sh -c "! chroot '$R' '/srv/the venv/bin/python' -c 'import it_one'"
converge 'all at once, with a version' <<END
__package_pip it-two --name it-two==1.0 --extra deep --pip '$pip'
END

check 'an environment of a user' in_root sh -c 'python3 -m venv /srv/mine && chown -R daemon /srv/mine'
converge 'as that user' <<'END'
__package_pip it-one --pip /srv/mine/bin/pip --runas daemon
END
same 'belongs to him' daemon "$(in_root sh -c 'stat -c %U /srv/mine/lib/python*/site-packages/it_one.py')"
converge 'remove as that user' <<'END'
__package_pip it-one --pip /srv/mine/bin/pip --runas daemon --state absent
END
refuse 'no such package' 'nosuch' <<END
__package_pip nosuch --pip '$pip'
END
refuse 'not a user' 'cannot be the name of a user' <<END
__package_pip x --pip '$pip' --runas 'a b'
END
