#!/bin/sh -e
# shellcheck disable=SC2154
# Also __apt_update_index, with which it works hand in hand.

sources=$R/etc/apt/sources.list.d
stamp=$R/var/lib/apt/cdist-update-stamp

if [ -z "$debian" ]; then
    # apt-get that keeps a list of its calls, and fails if there is a file "broken".
    mkdir -p "$sources" "$R/var/lib/apt/lists"
    cat >"$R/usr/bin/apt-get" <<'END'
#!/bin/sh -e
echo "$*" >>/var/lib/apt/calls
sleep 1
[ ! -e /var/lib/apt/broken ]
END
    chmod +x "$R/usr/bin/apt-get"
else
    # Without the mirror it is quicker, and the other tests find all as it was.
    mv "$R/etc/apt" "$R/etc/apt.kept"
    mv "$R/var/lib/apt/lists" "$R/var/lib/apt/lists.kept"
    for dir in apt.conf.d preferences.d sources.list.d trusted.gpg.d; do mkdir -p "$R/etc/apt/$dir"; done
    mkdir "$R/var/lib/apt/lists"

    refuse 'a source that is not there' 'apt-get\|Release' <<END
__apt_source nowhere --uri file:///nonexistent --distribution none --component main
END
    check 'its file is written' test -e "$sources/nowhere.list"
    refuse 'is not forgotten' 'apt-get\|Release' <<END
__apt_source nowhere --uri file:///nonexistent --distribution none --component main
END
    mkdir -p "$R/srv/debs/dists/it/main/binary-amd64" "$R/srv/debs/dists/it/main/source"
    : >"$R/srv/debs/dists/it/main/binary-amd64/Packages"
    : >"$R/srv/debs/dists/it/main/source/Sources"
    printf 'Package: from-it\nVersion: 1\nArchitecture: all\nFilename: x\nSize: 1\nSHA256: %064d\n' 0 \
        >>"$R/srv/debs/dists/it/main/binary-amd64/Packages"
    (cd "$R/srv/debs/dists/it" && {
        printf '%s\n' 'Codename: it' 'Suite: it' 'Components: main' 'Architectures: amd64' 'SHA256:'
        for index in main/binary-amd64/Packages main/source/Sources; do
            echo " $(sha256sum <$index | cut -d ' ' -f 1) $(wc -c <$index) $index"
        done
    } >Release)
    converge 'a real source' <<END
__apt_source nowhere --uri file:///nonexistent --state absent
__file /etc/apt/apt.conf.d/90unsigned --source - --mode 0644 <<CONF
Acquire::AllowInsecureRepositories "true";
CONF
require='__apt_source/nowhere __file/etc/apt/apt.conf.d/90unsigned' \
    __apt_source it --uri file:///srv/debs --distribution it --component main --arch amd64
END
    check 'is known to apt' in_root apt-cache show from-it
    unchanged 'nothing has changed' <<'END'
__apt_source it --uri file:///srv/debs --distribution it --component main --arch amd64
require=__apt_source/it __apt_update_index
END
    converge 'a change by somebody else' <<'END'
__file /etc/apt/sources.list.d/other.list --source - --mode 0644 <<LIST
deb [arch=amd64] file:///srv/debs it main
LIST
require=__file/etc/apt/sources.list.d/other.list __apt_update_index
END
    converge 'remove' <<'END'
__apt_source it --uri file:///srv/debs --state absent
__apt_source other --uri file:///srv/debs --state absent
END
    check 'apt has forgotten' sh -c "! chroot '$R' apt-cache show from-it"
    rm -r "$R/etc/apt" "$R/var/lib/apt/lists" "$stamp" "$R/srv/debs"
    mv "$R/etc/apt.kept" "$R/etc/apt"
    mv "$R/var/lib/apt/lists.kept" "$R/var/lib/apt/lists"
    return 0
fi

calls() {
    if [ -e "$R/var/lib/apt/calls" ]; then wc -l <"$R/var/lib/apt/calls"; else echo 0; fi
}

converge 'two sources' <<'END'
__apt_source it --uri https://mirror.example/debian --distribution bookworm --component 'main contrib'
__apt_source full.one --uri http://mirror.example/debian --distribution it/ --arch amd64,arm64 \
    --signed-by /etc/apt/keyrings/it.gpg --include-src
END
content 'the short one' /etc/apt/sources.list.d/it.list <<'END'
# Written by cdist (__apt_source); changes are lost at its next run.
deb https://mirror.example/debian bookworm main contrib
END
content 'the long one' /etc/apt/sources.list.d/full.one.list <<'END'
# Written by cdist (__apt_source); changes are lost at its next run.
deb [arch=amd64,arm64 signed-by=/etc/apt/keyrings/it.gpg] http://mirror.example/debian it/
deb-src [arch=amd64,arm64 signed-by=/etc/apt/keyrings/it.gpg] http://mirror.example/debian it/
END
same 'attributes' '644 0:0' "$(attributes /etc/apt/sources.list.d/it.list)"
check 'at most one update for each' test "$(calls)" -le 2
check 'is marked' test -e "$stamp"

rm "$R/var/lib/apt/calls"
unchanged 'nothing has changed' <<'END'
__apt_source it --uri https://mirror.example/debian --distribution bookworm --component 'main contrib'
__apt_update_index
END
same 'no update' 0 "$(calls)"

: >"$R/var/lib/apt/broken"
refuse 'an update that fails' 'status 1' <<'END'
__apt_source it --uri https://mirror.example/debian --distribution trixie --component main
END
rm "$R/var/lib/apt/broken" "$R/var/lib/apt/calls"
converge 'is tried again' <<'END'
__apt_source it --uri https://mirror.example/debian --distribution trixie --component main
END
same 'once' 1 "$(calls)"

# The same without a stamp, for the first source ever.
rm "$stamp" "$R/var/lib/apt/calls"
: >"$R/var/lib/apt/broken"
refuse 'the first update fails' 'status 1' <<'END'
__apt_source it --uri https://mirror.example/debian --distribution sid --component main
END
rm "$R/var/lib/apt/broken" "$R/var/lib/apt/calls"
converge 'and is tried again' <<'END'
__apt_source it --uri https://mirror.example/debian --distribution sid --component main
END
same 'once' 1 "$(calls)"

rm "$R/var/lib/apt/calls"
converge 'a file of somebody else, and the index' <<'END'
__file /etc/apt/sources.list --source /etc/passwd
require=__file/etc/apt/sources.list __apt_update_index
END
same 'one update' 1 "$(calls)"
rm "$R/var/lib/apt/calls"
converge 'a change that nobody required' <<'END'
__file /etc/apt/sources.list.d/new.list
__apt_update_index
END
same 'one update' 1 "$(calls)"
rm "$R/var/lib/apt/calls"

converge 'remove' <<'END'
__apt_source it --uri x --state absent
__apt_source full.one --uri x --state absent
END
check 'are gone' test ! -e "$sources/it.list" -a ! -e "$sources/full.one.list"
check 'updated at most twice' test "$(calls)" -le 2

refuse 'no distribution' 'give apt source .x. a --distribution' <<'END'
__apt_source x --uri http://mirror.example/
END
refuse 'a second line' 'cannot read there' <<'END'
__apt_source x --distribution y --uri 'http://mirror.example/
deb http://other.example/'
END
refuse 'a comment' 'cannot read there' <<'END'
__apt_source x --uri 'http://mirror.example/#' --distribution y
END
refuse 'more options' 'cannot read there' <<'END'
__apt_source x --uri http://mirror.example/ --distribution y --signed-by '/x trusted=yes'
END
refuse 'half a path' 'neither a fingerprint nor a full path' <<'END'
__apt_source x --uri http://mirror.example/ --distribution y --signed-by key.gpg
END
refuse 'components of a path' 'has no components' <<'END'
__apt_source x --uri http://mirror.example/ --distribution ./ --component main
END
refuse 'a name that apt ignores' 'cannot be the name' <<'END'
__apt_source a/b --uri http://mirror.example/ --distribution y
END
refuse 'not a state' "state 'gone'" <<'END'
__apt_source x --uri http://mirror.example/ --state gone
END
rm -r "$R/etc/apt" "$R/var/lib/apt" "$R/usr/bin/apt-get"
