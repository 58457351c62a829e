#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir -p "$R/ssh"
cat >"$R/ssh/config" <<'END'
# sample
Include /ssh/more.conf
#PermitRootLogin yes
permitrootlogin yes
UsePAM=yes
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/sftp-server

Match User git Address 192.0.2.0/24
	X11Forwarding no
Match all
	UsePAM no
END
chmod 640 "$R/ssh/config"
cp -p "$R/ssh/config" "$R/ssh/config.first"
# The server itself is a Debian matter; the rest of the test is about text.
cp "$R/etc/os-release" "$tmp/os-release"
[ -n "$debian" ] || printf 'ID=openbsd\n' >"$R/etc/os-release"
if [ -n "$debian" ]; then
    converge 'the server' <<'END'
__package openssh-server
END
fi

converge 'options' <<'END'
__sshd_config PermitRootLogin --file /ssh/config --value no
__sshd_config UsePAM --file /ssh/config --value yes
__sshd_config Port:22 --option Port --value 22 --file /ssh/config
__sshd_config Port:2222 --option Port --value 2222 --file /ssh/config
__sshd_config AcceptEnv --file /ssh/config --value 'EDITOR LANG'
__sshd_config sftp --option Subsystem --file /ssh/config --value 'sftp internal-sftp'
__sshd_config git --file /ssh/config --option ForceCommand --match 'address 192.0.2.0/24' --match 'User git' \
    --value 'cd ~git && exec git-shell ${SSH_ORIGINAL_COMMAND:+-c "\n"}'
__sshd_config new --file /ssh/config --option X11Forwarding --match 'User x' --match 'Host y' --value no
END
content 'result' /ssh/config <<'END'
# sample
PermitRootLogin no
UsePAM yes
Subsystem sftp internal-sftp
Include /ssh/more.conf
#PermitRootLogin yes
AcceptEnv LANG LC_*
Port 22
Port 2222
AcceptEnv EDITOR

Match User git Address 192.0.2.0/24
	X11Forwarding no
	ForceCommand cd ~git && exec git-shell ${SSH_ORIGINAL_COMMAND:+-c "\n"}
Match all
	UsePAM no
Match User x Host y
	X11Forwarding no
END
same 'owner and mode stay' '640 0:0' "$(attributes /ssh/config)"
message 'set message' '__sshd_config/PermitRootLogin:set PermitRootLogin no'
message 'message with conditions' '__sshd_config/new:set [User x Host y] X11Forwarding no'

converge 'absent' <<'END'
__sshd_config PermitRootLogin --file /ssh/config --state absent
__sshd_config UsePAM --file /ssh/config --value no --state absent
__sshd_config Port --value 22 --file /ssh/config --state absent
__sshd_config AcceptEnv --file /ssh/config --value 'LC_*' --state absent
__sshd_config new --file /ssh/config --option X11Forwarding --match 'Host y User x' --state absent
END
content 'what is left' /ssh/config <<'END'
# sample
UsePAM yes
Subsystem sftp internal-sftp
Include /ssh/more.conf
#PermitRootLogin yes
AcceptEnv LANG
Port 2222
AcceptEnv EDITOR

Match User git Address 192.0.2.0/24
	X11Forwarding no
	ForceCommand cd ~git && exec git-shell ${SSH_ORIGINAL_COMMAND:+-c "\n"}
Match all
	UsePAM no
END
message 'unset message' '__sshd_config/Port:unset Port 22'

printf '# only a comment\n\nMatch User a\n' >"$R/ssh/other"
converge 'no option yet, no file yet' <<'END'
__sshd_config one --option UseDNS --file /ssh/other --value no
__sshd_config two --option UseDNS --file /ssh/made --value no
END
content 'before the first block' /ssh/other <<'END'
# only a comment

UseDNS no
Match User a
END
content 'a new file' /ssh/made <<'END'
UseDNS no
END
same 'its mode' '644 0:0' "$(attributes /ssh/made)"
unchanged 'absent without the file' <<'END'
__sshd_config UseDNS --file /ssh/none --state absent
END

refuse 'no value' 'needs --value' <<'END'
__sshd_config UseDNS --file /ssh/config
END
refuse 'no option' 'cannot be an option' <<'END'
__sshd_config 'Use DNS' --file /ssh/config --value no
END
refuse 'two lines' 'more than one line' <<'END'
__sshd_config UseDNS --file /ssh/config --value 'no
UsePAM no'
END

[ -n "$debian" ] || cp "$tmp/os-release" "$R/etc/os-release"
debian_only 'sshd itself needs Debian' || return 0
# A PreOS has no host keys until it boots, and without any sshd judges nothing.
in_root ssh-keygen -q -A
before=$(cat "$R/etc/ssh/sshd_config")
refuse 'what sshd does not accept' 'does not accept the change' <<'END'
__sshd_config PermitRootLogin --value perhaps
END
same 'the file stays' "$before" "$(cat "$R/etc/ssh/sshd_config")"
converge 'the real file' <<'END'
__sshd_config PermitRootLogin --value no
END
check 'sshd sees it' sh -c 'chroot "$1" sshd -T | grep -qx "permitrootlogin no"' - "$R"
printf '%s\n' "$before" >"$R/etc/ssh/sshd_config"
