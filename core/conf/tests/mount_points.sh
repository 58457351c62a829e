#!/bin/sh -e
# shellcheck disable=SC2016,SC2154
# A file that is a mount point, as /etc/hosts is in a container, cannot be replaced by
# another one; it is written in place, by all types that write files.

files='line key_value block keys hosts hostname sed sshd unpack'
mkdir -p "$R/mp" "$tmp/mp-behind"
for name in $files; do
    echo 'old 1' >"$tmp/mp-behind/$name"
    : >"$R/mp/$name"
done
for name in hosts hostname; do
    [ -e "$R/etc/$name" ] || : >"$R/etc/$name"
done
place() { # NAME
    case $1 in
        hosts | hostname) echo "$R/etc/$1" ;;
        *) echo "$R/mp/$1" ;;
    esac
}
for name in $files; do mount --bind "$tmp/mp-behind/$name" "$(place "$name")"; done
echo unpacked | gzip >"$R/mp/archive.gz"

converge 'all of them' <<'END'
__line l --file /mp/line --line 'new 2'
__key_value k --file /mp/key_value --key old --value 2 --delimiter ' '
echo text | __block b --file /mp/block --text -
__ssh_authorized_key a --file /mp/keys --key 'ssh-ed25519 AAAA'
__hosts it --ip 192.0.2.1
__hostname --name it
__sed s --file /mp/sed --script 's/1/2/'
END
same 'a line' 'old 1,new 2' "$(paste -s -d , "$tmp/mp-behind/line")"
same 'a key' 'old 2' "$(cat "$tmp/mp-behind/key_value")"
check 'a block' grep -q -x text "$tmp/mp-behind/block"
check 'a key of ssh' grep -q -x 'ssh-ed25519 AAAA' "$tmp/mp-behind/keys"
check 'a host' grep -q '^192.0.2.1' "$tmp/mp-behind/hosts"
same 'the name of the host' it "$(cat "$tmp/mp-behind/hostname")"
same 'a script of sed' 'old 2' "$(cat "$tmp/mp-behind/sed")"
if in_root sh -c 'command -v gunzip' >/dev/null; then
    config <<'END' || failed 'an archive'
__unpack /mp/archive.gz --destination /mp/unpack
END
    same 'an archive' unpacked "$(cat "$tmp/mp-behind/unpack")"
fi
same 'nothing is left beside them' '' "$(find "$R/mp" "$R/etc" -name '*.cdist.*')"
for name in $files; do umount "$(place "$name")"; done
rm -r "$R/mp"

# In a directory that can only be read, nothing can be put beside it either.
mkdir "$R/mp"
mount --bind "$R/mp" "$R/mp"
for name in 'file' line; do
    echo old >"$tmp/mp-behind/$name"
    : >"$R/mp/$name"
    mount --bind "$tmp/mp-behind/$name" "$R/mp/$name"
done
mount -o remount,bind,ro "$R/mp"
converge 'in a directory that is read-only' <<'END'
echo new | __file /mp/file --source -
__line l --file /mp/line --line new
END
same 'a file' new "$(cat "$tmp/mp-behind/file")"
same 'a line' old,new "$(paste -s -d , "$tmp/mp-behind/line")"
umount "$R/mp/file" "$R/mp/line" "$R/mp"
rm -r "$R/mp"

zones=$R/usr/share/zoneinfo
[ -n "$debian" ] || { mkdir -p "$zones/Etc"; echo data >"$zones/Etc/GMT+1"; }
if [ -e "$zones/Etc/GMT+1" ]; then
    rm -f "$R/etc/localtime"
    : >"$R/etc/localtime"
    : >"$tmp/mp-behind/localtime"
    mount --bind "$tmp/mp-behind/localtime" "$R/etc/localtime"
    converge 'a time zone' <<'END'
__timezone --tz Etc/GMT+1
END
    check 'its data' cmp "$zones/Etc/GMT+1" "$tmp/mp-behind/localtime"
    umount "$R/etc/localtime"
fi
