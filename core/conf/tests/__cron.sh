#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

if [ -n "$debian" ]; then
    if [ ! -e "$R/usr/bin/crontab" ]; then
        refuse 'no crontab program' 'no crontab program' <<'END'
__cron one --user root --command true
END
        unchanged 'nothing to remove without one' <<'END'
__cron one --user root --command true --state absent
END
        echo '__package_apt cron' | config || failed 'installing cron'
    fi
    tabs=/var/spool/cron/crontabs
else
    tabs=/var/spool/cron/crontabs
    mkdir -p "$R$tabs"
fi
# No comment in the first line: Debian's crontab takes it for its own.
printf '%s\n' '1 2 3 4 5 mine # __cron/x' '# mine' >"$tmp/crontab"
in_root crontab -u root - <"$tmp/crontab"

converge 'new entries' <<'END'
__cron one --user root --hour 23 --minute 15 --day_of_week 1-6 --command 'echo it'"'"'s "A" `x` $HOME 100\% \n \\ & *'
require=__cron/one __cron two --user root --raw @reboot --command '/path/to  script'
require=__cron/two __cron a.b/c --user daemon --command x
require=__cron/a.b/c __cron four --user root --raw_command --command 'MAILTO=a@example.org'
END
in_root crontab -u root -l >"$R/crontab"
content 'entries with every odd character' /crontab <<'END'
1 2 3 4 5 mine # __cron/x
# mine
15 23 * * 1-6 echo it's "A" `x` $HOME 100\% \n \\ & * # __cron/one
@reboot /path/to  script # __cron/two
MAILTO=a@example.org
END
same 'of another user' '* * * * * x # __cron/a.b/c' "$(in_root crontab -u daemon -l)"

converge 'changed where it stands' <<'END'
__cron one --user root --command new --month jan
END
same 'changed entry' '* * * jan * new # __cron/one' "$(in_root crontab -u root -l | sed -n 3p)"

# Entries of other ids, and the forms of old.
{
    in_root crontab -u root -l
    printf '%s\n' '* * * * * again # __cron/one' '#cdist:__cron/two' '1 1 1 1 1 old' '#/cdist:__cron/two'
} >"$tmp/crontab"
in_root crontab -u root - <"$tmp/crontab"
converge 'doubles and the old form go' <<'END'
__cron one --user root --command new --month jan
__cron two --user root --raw @reboot --command '/path/to  script'
END
in_root crontab -u root -l >"$R/crontab"
content 'what is left' /crontab <<'END'
1 2 3 4 5 mine # __cron/x
# mine
* * * jan * new # __cron/one
@reboot /path/to  script # __cron/two
MAILTO=a@example.org
END

cp -p "$R$tabs/root" "$tmp/behind"
mount --bind "$tmp/behind" "$R$tabs/root"
converge 'a crontab that is a mount point' <<'END'
__cron one --user root --command newer --month jan
END
check 'is written in place' grep -q 'newer # __cron/one' "$tmp/behind"
same 'nothing is left beside it' '' "$(find "$R$tabs" -name 'root.*' -o -name 'tmp.*')"
umount "$R$tabs/root"
cp -p "$tmp/behind" "$R$tabs/root"

converge 'absent' <<'END'
__cron one --user root --command whatever --state absent
__cron four --user root --raw_command --command 'MAILTO=a@example.org' --state absent
__cron a.b/c --user daemon --command x --state absent
__cron never --user root --command x --state absent
END
in_root crontab -u root -l >"$R/crontab"
content 'others stay' /crontab <<'END'
1 2 3 4 5 mine # __cron/x
# mine
@reboot /path/to  script # __cron/two
END
same 'nothing is left' '' "$(in_root crontab -u daemon -l 2>/dev/null)"

refuse 'two lines' 'more than one line' <<'END'
__cron one --user root --command 'a
* * * * * b'
END
refuse 'blank in a time' 'cannot be a time field' <<'END'
__cron one --user root --command x --minute '1 2'
END
refuse 'both kinds of raw' 'give one of them' <<'END'
__cron one --user root --command x --raw @daily --raw_command
END
refuse 'not a user name' 'cannot be the name' <<'END'
__cron one --user 'a b' --command x
END
refuse 'unknown state' 'not known' <<'END'
__cron one --user root --command x --state maybe
END
rm -f "$R/crontab"
