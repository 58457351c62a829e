#!/bin/sh -e
# shellcheck disable=SC2154

echo 'dot:x:7001:1::/srv/dot:/bin/sh' >>"$R/etc/passwd"
mkdir -p "$R/srv/dot"
chmod 711 "$R/srv/dot"

converge 'new files' <<'END'
__dot_file .profile --user dot --source - <<TEXT
it's
TEXT
__dot_file .config/a/b --user dot --mode 0644 --dirmode 0755
__dot_file other --user root --file .other/file --source - <<TEXT
root's
TEXT
END
content 'content' /srv/dot/.profile <<'END'
it's
END
same 'owner, group and mode' '600 7001:1' "$(attributes /srv/dot/.profile)"
same 'directories' '755 7001:1 755 7001:1' "$(attributes /srv/dot/.config) $(attributes /srv/dot/.config/a)"
same 'mode of the file' '644 7001:1' "$(attributes /srv/dot/.config/a/b)"
same 'the home is left alone' '711 0:0' "$(attributes /srv/dot)"
same 'of another user' '600 0:0' "$(attributes /root/.other/file)"
message 'message' '__file/srv/dot/.profile:upload'

echo changed >"$R/srv/dot/.profile"
chmod 700 "$R/srv/dot/.config"
unchanged 'what exists stays' <<'END'
__dot_file .profile --user dot --state exists --source - <<TEXT
it's
TEXT
__dot_file .config/a/b --user dot --mode 0644
END
converge 'absent' <<'END'
__dot_file .profile --user dot --state absent
__dot_file .never/there --user dot --state absent
END
check 'is gone' test ! -e "$R/srv/dot/.profile"
check 'no directory for nothing' test ! -e "$R/srv/dot/.never"

refuse 'unknown user' "user 'nobody-here' does not exist" <<'END'
__dot_file .profile --user nobody-here
END
refuse 'way out' 'cannot be the name' <<'END'
__dot_file x --user dot --file ../../etc/passwd
END
sed -e '/^dot:/d' "$R/etc/passwd" >"$tmp/passwd"
cat "$tmp/passwd" >"$R/etc/passwd"
