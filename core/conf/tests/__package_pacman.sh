#!/bin/sh -e
# shellcheck disable=SC2154

debian_only 'needs the pacman of Debian' || return 0

converge 'the tool' <<'END'
__package_apt pacman-package-manager
END
cp "$conf/tests/fixture/pacman-repository" "$R/tmp"
check 'a repository' in_root /tmp/pacman-repository

# On Arch Linux this is how everything begins.
check 'the index' config <<'END'
__package_update_index --type pacman
END
check 'is there' test -s "$R/var/lib/pacman/sync/it.db"
unchanged 'the index is young' <<'END'
__package_update_index --type pacman --maxage 600
END

unchanged 'nothing to remove' <<'END'
__package_pacman it-one --state absent
END
converge 'install' <<'END'
__package_pacman it-one
__package two --type pacman --name it/it-two
END
message 'says so' '__package_pacman/it-one:installed'
check 'is there' test -e "$R/srv/files/it-one" -a -e "$R/srv/files/it-two"
unchanged 'installed under other names' <<'END'
__package_pacman it-virtual
__package_pacman new-enough --name 'it-one>=0.5'
END
refuse 'a version that nobody has' 'target not found' <<'END'
__package_pacman it-one --name 'it-one>=2'
END

check 'upgrade' config <<'END'
__package_upgrade_all --type pacman
END

converge 'remove' <<'END'
__package_pacman it-two --state absent
END
message 'says so' '__package_pacman/it-two:removed'
converge 'remove what provides it' <<'END'
__package_pacman it-virtual --state absent
END
same 'all gone' '' "$(ls "$R/srv/files" 2>/dev/null)"

refuse 'no such package' 'target not found' <<'END'
__package_pacman nosuch
END
refuse 'not a name' 'cannot be the name' <<'END'
__package_pacman "it's"
END
refuse 'an option' 'cannot be the name' <<'END'
__package_pacman x --name=--sysupgrade
END
refuse 'not a state' "state 'gone' is not known" <<'END'
__package_pacman x --state gone
END
