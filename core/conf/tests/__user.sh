#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

user() { # NAME: its line without the password
    sed -n -e "s/^\\($1\\):[^:]*/\\1/p" "$R/etc/passwd"
}
password() { # NAME
    if [ -e "$R/etc/shadow" ]; then cut -d : -f 1,2 "$R/etc/shadow"; else cut -d : -f 1,2 "$R/etc/passwd"; fi |
        sed -n -e "s/^$1://p"
}
mkdir -p "$R/etc/skel" "$R/srv" "$R/home"
touch "$R/etc/skel/.skel"

# With and without a file of its own for the passwords.
[ -e "$R/etc/shadow" ] || printf '%s\n' 'root:*:1:0:99999:7:::' >"$R/etc/shadow"
chmod 640 "$R/etc/shadow"

converge 'new users' <<'END'
__user plain
__user full --comment 'it'"'"'s "A" & \n $HOME %s' --home "/srv/f u'll" --shell /bin/sh --uid 2000 --gid daemon \
    --password '$6$it'"'"'s/a&b\c%d' --create-home
__user syst --system
END
same 'every field' 'full:2000:1:it'"'"'s "A" & \n $HOME %s:/srv/f u'"'"'ll:/bin/sh' "$(user full)"
same 'password, byte by byte' '$6$it'"'"'s/a&b\c%d' "$(password full)"
same 'home' '2000:1' "$(stat -c %u:%g "$R/srv/f u'll")"
check 'skeleton' test -e "$R/srv/f u'll/.skel"
check 'no home unless wanted' test ! -e "$R/home/plain"
check 'a group of its own' grep -q -e "^plain:[^:]*:$(user plain | cut -d : -f 3):" "$R/etc/group"
check 'system number' test "$(user syst | cut -d : -f 2)" -lt 1000
check 'usual number' test "$(user plain | cut -d : -f 2)" -ge 1000
same 'default home' /home/plain "$(user plain | cut -d : -f 5)"
same 'the password file stays secret' 640 "$(stat -c %a "$R/etc/shadow")"
message 'add message' '__user/plain:add'

unchanged 'booleans are for new users' <<'END'
__user plain --create-home --system --remove-home
END

converge 'changes' <<'END'
__user full --comment '' --home /srv/other --shell /bin/false --uid 2100 --gid 0 --password '!'
END
same 'every changed field' 'full:2100:0::/srv/other:/bin/false' "$(user full)"
same 'changed password' '!' "$(password full)"
message 'mod message' '__user/full:mod'
converge 'one change' <<'END'
__user full --gid daemon
END
same 'group by name' 1 "$(user full | cut -d : -f 3)"
converge 'another home' <<'END'
__user full --home "/srv/f u'll"
END
chown 2100 "$R/srv/f u'll"

refuse 'group that nobody has' "group 'nosuch' of user 'x'" <<'END'
__user x --gid nosuch
END
refuse 'number that is taken' 2100 <<'END'
__user x --uid 2100
END
refuse 'colon' 'has a colon' <<'END'
__user plain --comment a:b
END
refuse 'newline' 'more than one line' <<'END'
__user plain --comment 'a
root::0:0:::'
END
refuse 'not a name' 'cannot be the name' <<'END'
__user 'a b'
END
refuse 'not a number' 'cannot be a user' <<'END'
__user plain --uid 0x1
END
refuse 'home that is no path' 'not an absolute path' <<'END'
__user plain --home srv
END

converge 'absent' <<'END'
__user full --state absent --remove-home
__user syst --state absent --remove-home
__user plain --state absent
__user never --state absent
END
same 'are gone' '' "$(user full)$(user syst)$(user plain)$(password full)"
check 'home is gone' test ! -e "$R/srv/f u'll"
check 'own group is gone' sh -c '! grep -q ^plain: "$1"' _ "$R/etc/group"
check 'group of others stays' grep -q ^daemon: "$R/etc/group"
message 'removal with home' '__user/full:userdel -r'
message 'removal' '__user/plain:userdel'
same 'nothing is left beside' '' "$(find "$R/etc" -maxdepth 1 -name '*cdist*')"

if [ -z "$debian" ]; then
    rm "$R/etc/shadow"
    converge 'without a file for passwords' <<'END'
__user noshadow --password 'a/&b'
END
    same 'password' 'a/&b' "$(password noshadow)"
    converge 'without one, away again' <<'END'
__user noshadow --state absent
END

    # What FreeBSD would be told.
    printf '%s\n' '#!/bin/sh' 'echo "$@" >>/pw.log' 'case $* in *-H*) cat >>/pw.log ;; esac' >"$R/bin/pw"
    chmod 755 "$R/bin/pw"
    printf '%s\n' 'root:x:0:0:daily:0:0:Charlie:/root:/bin/sh' 'old:x:5:6:daily:0:0:Old:/old:/bin/ksh' >"$R/etc/master.passwd"
    config <<'END' || failed 'the run with pw'
__user fresh --uid 7 --shell /bin/sh --create-home --password '$1$a'
__user old --uid 5 --gid 6 --comment Old --home /old --shell /bin/csh
__user root --state absent
__group wheel --gid 8
__user_groups root --group daemon
END
    sort "$R/pw.log" -o "$R/pw.log"
    content 'commands of pw' /pw.log <<'END'
$1$a
groupadd wheel -g 8
groupmod daemon -m root
useradd fresh -u 7 -s /bin/sh -m
userdel root
usermod fresh -H 0
usermod old -s /bin/csh
END
    rm "$R/bin/pw" "$R/etc/master.passwd"
fi
