#!/bin/sh -e
# shellcheck disable=SC2016,SC2154
# What cannot be read is not nothing: an explorer whose program fails must not let the type
# think that there is nothing, for then all would be written anew, or nothing removed.

getent_fails='echo "Input/output error" >&2'
broken getent "$getent_fails" 'exit 1'
for call in '__user nobody-here' '__group nobody-here' '__user_groups nobody-here --group daemon' \
    '__ssh_dot_ssh nobody-here' "__ssh_authorized_keys nobody-here --key 'ssh-ed25519 AAAA'" \
    '__dot_file x --user nobody-here --source /dev/null'; do
    printf '%s\n' "$call" >"$tmp/call"
    refuse "$call, getent fails" "'getent [a-z]* nobody-here' fails" <"$tmp/call"
done
broken getent 'exit 2'
converge 'no such entry' <<'END'
__user nobody-here --state absent
__group nobody-here --state absent
END
mended

mkdir "$R/unreadable"
# A directory can be read by no program that wants a file.
mv "$R/etc/group" "$R/etc/group.whole"
mkdir "$R/etc/group"
refuse 'no file of groups' '/etc/group cannot be read' <<'END'
__group nobody-here --state absent
END
rmdir "$R/etc/group"
mv "$R/etc/group.whole" "$R/etc/group"

broken systemctl
mkdir -p "$R/run/systemd/system"
refuse 'a unit' "systemctl does not say whether 'it.service' is" <<'END'
__systemd_unit it.service --state absent
END
refuse 'a start at boot' "systemctl does not say whether 'it.service' is enabled" <<'END'
__start_on_boot it --state absent
END
refuse 'a service' 'Input/output error' <<'END'
__systemd_service it --state stopped
END
rmdir "$R/run/systemd/system" "$R/run/systemd" 2>/dev/null || :
mended

broken dpkg-query 'echo "dpkg-query: error: parsing file /var/lib/dpkg/status" >&2' 'exit 2'
for call in '__package_apt it --state absent' '__apt_mark it --state unhold' '__package_dpkg it_1_all.deb --source x --state absent'; do
    printf '%s\n' "$call" >"$tmp/call"
    refuse "$call" 'dpkg-query does not say whether .*parsing file' <"$tmp/call"
done
broken dpkg-query 'echo "dpkg-query: no packages found matching it" >&2' 'exit 1'
[ -n "$debian" ] || unchanged 'no such package' <<'END'
__apt_mark it --state unhold
__package_dpkg it_1_all.deb --source x --state absent
END
mended
broken pacman 'echo "error: failed to initialize alpm library" >&2' 'exit 1'
refuse 'pacman' 'pacman does not say whether .*alpm' <<'END'
__package_pacman it --state absent
END
broken pacman 'echo "error: package '"'it'"' was not found" >&2' 'exit 1'
unchanged 'no such package' <<'END'
__package_pacman it --state absent
END
broken opkg
refuse 'opkg' 'Input/output error' <<'END'
__package_opkg it --state absent
END
broken apk 'echo "ERROR: Unable to read database" >&2' 'exit 99'
refuse 'apk' 'apk does not say whether .*Unable to read' <<'END'
__package_apk it --state absent
END
broken pkg '[ "$1" != -N ] || exit 0' 'echo "pkg: sqlite error" >&2' 'exit 1'
refuse 'pkg' 'pkg does not say whether .*sqlite' <<'END'
__package_pkgng_freebsd it --state absent
END
mended
if [ -n "$debian" ]; then
    broken rpm 'echo "error: cannot open Packages database in /var/lib/rpm" >&2' 'echo "package it is not installed"' 'exit 1'
    for manager in dnf yum zypper; do
        printf '%s\n' "__package_$manager it --state absent" >"$tmp/call"
        refuse "$manager" 'rpm does not say whether .*cannot open Packages' <"$tmp/call"
    done
    broken rpm 'echo "package it is not installed"' 'exit 1'
    unchanged 'no such package' <<'END'
__package_dnf it --state absent
__package_yum it --state absent
__package_zypper it --state absent
END
    broken crontab 'case $3 in -l) echo "crontab: root: Input/output error" >&2; exit 1 ;; esac' 'cat >/tmp/crontab'
    refuse 'crontab' "the crontab of user 'root' cannot be read: .*Input/output error" <<'END'
__cron it --user root --command true
END
    check 'nothing is written' test ! -e "$R/tmp/crontab"
fi
broken update-alternatives
refuse 'alternatives' 'update-alternatives does not say' <<'END'
__update_alternatives it --path /bin/sh --install
END
broken ufw 'echo "Traceback" >&2' 'exit 1'
refuse 'a rule of ufw' 'ufw does not say whether it has the rule' <<'END'
__ufw_rule 80 --state absent
END
broken getfacl
: >"$R/unreadable/file"
refuse 'an access control list' 'Input/output error' <<'END'
__acl /unreadable/file --entry user:daemon:r
END
broken locale
broken localedef
refuse 'locales' '__locale/de_CH.UTF-8' <<'END'
__locale de_CH.UTF-8 --state absent
END
broken postconf 'echo "postconf: fatal: open /etc/postfix/main.cf" >&2' 'exit 1'
if [ -n "$debian" ]; then
    refuse 'postfix' "postconf does not say whether 'myhostname' is set" <<'END'
__postfix_postconf myhostname --value x
END
fi
broken apt-key 'case $1 in list) exit 0 ;; esac' 'echo "gpg: keyring error" >&2' 'exit 2'
refuse 'a key of apt' 'apt-key does not say whether it has the key' <<'END'
__apt_key 0123456789ABCDEF --use-deprecated-apt-key --state absent
END
mended
rm -r "$R/unreadable"
