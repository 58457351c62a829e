#!/bin/sh -e
# shellcheck disable=SC2154
# There is no Gentoo here, so a stub takes the place of its emerge.

[ -z "$debian" ] || return 0

cp "$conf/tests/stub/emerge" "$R/usr/bin"
calls=$R/var/lib/calls
mkdir -p "$R/var/db/pkg/dev-lang/python-3.11.9_p1-r2" "$R/var/db/pkg/dev-lang/python-3.12.3" "$R/var/db/pkg/a/tool-1.0" \
    "$R/var/db/pkg/b/tool-1.0" "$R/var/db/pkg/net-dialup/ppp-scripts-0"

converge 'install' <<'END'
__package_emerge vim
__package_emerge web --name www-servers/nginx --version 1.24.0-r1
__package git --type emerge
END
message 'says so' '__package_emerge/vim:installed'
check 'without a question' grep -q -x -e '--ask=n --quiet vim' "$calls"
check 'in one version' grep -q -x -e '--ask=n --quiet =www-servers/nginx-1.24.0-r1' "$calls"
unchanged 'installed' <<'END'
__package_emerge python
__package_emerge dev-lang/python --version 3.11.9_p1-r2
__package_emerge ppp --state absent
END
converge 'another version' <<'END'
__package_emerge dev-lang/python --version 3.13.0
END
converge 'remove' <<'END'
__package_emerge vim --state absent
__package_emerge dev-lang/python --version 3.12.3 --state absent
END
message 'says so' '__package_emerge/vim:removed'
check 'the others stay' test -d "$R/var/db/pkg/dev-lang/python-3.13.0" -a ! -d "$R/var/db/pkg/dev-lang/python-3.12.3"

refuse 'several of that name' 'give it with its category' <<'END'
__package_emerge tool --state absent
END
refuse 'no such package' 'there are no ebuilds' <<'END'
__package_emerge nosuch
END
refuse 'not a name' 'cannot be the name' <<'END'
__package_emerge "it's"
END
refuse 'not a state' "state 'gone' is not known" <<'END'
__package_emerge x --state gone
END
rm -rf "$R/usr/bin/emerge" "$calls" "$R/var/db"
