#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

ed='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA+a/b'
rsa='ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ//c+d=='

converge 'keys of root' <<END
__ssh_authorized_keys root --key '$ed it'\\''s 100% \$HOME "me"' --key '$rsa' --key '$rsa again'
END
# Independent objects run in any order.
sort "$R/root/.ssh/authorized_keys" -o "$R/root/.ssh/authorized_keys"
content 'entries' /root/.ssh/authorized_keys <<END
$ed it's 100% \$HOME "me"
$rsa
END
same 'mode of the file' '600 0:0' "$(attributes /root/.ssh/authorized_keys)"
same 'mode of the directory' '700 0:0' "$(attributes /root/.ssh)"

{ echo "# $ed"; echo "from=\"10.0.0.1 \" $rsa old"; cat "$R/root/.ssh/authorized_keys"; } >"$tmp/keys"
cp "$tmp/keys" "$R/root/.ssh/authorized_keys"
converge 'options and comment' <<END
__ssh_authorized_keys some --owner root --key '$rsa' --comment 'one two' \\
    --option 'command="/bin/a b"' --option no-pty
END
content 'changed in place, doubles gone' /root/.ssh/authorized_keys <<END
# $ed
command="/bin/a b",no-pty $rsa one two
$ed it's 100% \$HOME "me"
END

converge 'unknown keys are removed' <<END
__ssh_authorized_keys root --key '$ed x' --remove-unknown
END
content 'one key is left' /root/.ssh/authorized_keys <<END
# $ed
$ed x
END

converge 'absent' <<END
__ssh_authorized_keys root --key '$ed' --state absent
END
content 'none is left' /root/.ssh/authorized_keys <<END
# $ed
END

mkdir -p "$R/etc/keys"
converge 'file elsewhere' <<END
__ssh_authorized_keys odd --owner daemon --file /etc/keys/daemon --key 'sk-ssh-ed25519@openssh.com AAAA k'
__ssh_authorized_keys new --owner root --file /etc/keys/new/root --key '$ed'
END
same 'its owner' '600 1:1' "$(attributes /etc/keys/daemon)"
same 'its directory is left alone' '755 0:0' "$(attributes /etc/keys)"

refuse 'unknown user' "'nobody-here'" <<END
__ssh_authorized_keys nobody-here --key '$ed'
END
refuse 'no key' 'no key type' <<END
__ssh_authorized_keys root --key 'AAAA'
END

converge 'options in front of a key' <<END
__ssh_authorized_key o --file /etc/keys/options --key 'from="10.0.0.0/8",command="/bin/a \\"b c\\" $rsa",restrict	$ed me@x' --option no-pty
END
content 'stay' /etc/keys/options <<END
from="10.0.0.0/8",command="/bin/a \\"b c\\" $rsa",restrict,no-pty $ed me@x
END
converge 'also for a user' <<END
__ssh_authorized_keys options --owner daemon --file /etc/keys/options --key 'command="$rsa" $ed'
END
content 'stay' /etc/keys/options <<END
command="$rsa" $ed
END
unchanged 'the key in an option is none' <<END
__ssh_authorized_key r --file /etc/keys/options --key '$rsa' --state absent
END
converge 'removed by its key' <<END
__ssh_authorized_key o --file /etc/keys/options --key '$ed' --state absent
END
same 'is gone' '' "$(cat "$R/etc/keys/options")"
refuse 'options that never end' 'no key type' <<END
__ssh_authorized_key o --file /etc/keys/options --key 'command="x $ed'
END
refuse 'two words before the key' 'no key type' <<END
__ssh_authorized_key o --file /etc/keys/options --key 'restrict no-pty $ed'
END
refuse 'an option with a blank' 'is not one option' <<END
__ssh_authorized_key o --file /etc/keys/options --key '$ed' --option 'command=/bin/a b'
END
refuse 'one key, two ways' 'with different options' <<END
__ssh_authorized_keys options --owner daemon --file /etc/keys/options --key '$ed' --key 'restrict $ed'
END
