#!/bin/sh -e
# shellcheck disable=SC2016,SC2154
# On a host where nothing is yet, -n says what would happen, and succeeds: what another
# object of the same run brings is looked for on the target, when it has its turn.

: >"$tmp/empty"
EMPTY=$tmp/empty
export EMPTY
would 'a user with a group' 'app' <<'END'
__group app
require=__group/app __user app --gid app
require=__user/app __user_groups app --group app --group other
END
would 'the files of a user' '/home/app/.ssh/authorized_keys' <<'END'
__user app
export require=__user/app
__ssh_authorized_keys app --key 'ssh-ed25519 AAAA'
__ssh_dot_ssh app
__dot_file .profile --user app --source "$EMPTY"
END
would 'a job of cron' 'crontab -u' <<'END'
__user app
require=__user/app __cron job --user app --command /bin/true
END
would 'parts of a file' '/fresh/file' <<'END'
__directory /fresh
require=__directory/fresh __file /fresh/file
export require=__file/fresh/file
__line l --file /fresh/file --line x
__sed s --file /fresh/file --script 's/a/b/'
__block b --file /fresh/file --text x
__key_value k --file /fresh/file --key k --value v --delimiter =
__file /fresh/file2 --state pre-exists
__directory /fresh/dir --state pre-exists
__link /fresh/link --type symbolic --source file
END
would 'access rights' 'setfacl' <<'END'
__file /fresh/file
require=__file/fresh/file __acl /fresh/file --entry user:daemon:r
END
would 'services' 'it' <<'END'
__service it --action start
__systemd_service it --state running
__start_on_boot it
END
would 'packages' 'pip' <<'END'
__package_pip it --pip /nonexistent/pip3
__package_dpkg it_1_all.deb --source "$EMPTY"
__update_alternatives it --path /nonexistent/it
__update_alternatives it2 --path /nonexistent/it --install
END
would 'a file system' 'there is no device' <<'END'
__filesystem /dev/nosuch --fstype ext4
END
would 'a mount and a setting' 'fresh.key' <<'END'
__mount /fresh --device LABEL=nosuch --type ext4
__sysctl fresh.key --value 1
END
would 'what is staged first' '/staged' <<'END'
__staged_file /staged --source /no/such/file --cksum '1 2' --fetch-command 'cat %s' --stage-dir "${EMPTY%/*}/stage"
require=__staged_file/staged __package_dpkg it_1_all.deb --source /no/such/file
END
refuse 'a source that nobody makes' 'does not exist' <<'END'
__file /staged --source /no/such/file
END
same 'nothing was made' '' "$(ls -d "$R/fresh" "$R/home/app" 2>/dev/null)"
