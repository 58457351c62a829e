#!/bin/sh -e
# shellcheck disable=SC2034,SC2154

debian_only || return 0

converge 'the programs' <<'END'
__package e2fsprogs
END
truncate -s 20M "$tmp/disk"
loop=$(losetup --find --show "$tmp/disk")
cleanup="losetup --detach $loop"
cp -a "$loop" "$R/dev/"
# No other process may open the device in between, as udev or a desktop would.
LOOP=$loop
export LOOP

converge 'an empty device' <<'END'
__filesystem "$LOOP" --fstype ext4 --label "it's data" --mkfsoptions '-m 0'
END
same 'label' "it's data" "$(in_root blkid -p -s LABEL -o value "$loop")"
message 'message' "__filesystem/dev/${loop##*/}:filesystem ext4 on dev/${loop##*/} : $loop created"

unchanged 'another one is left alone' <<'END'
__filesystem other --device "$LOOP" --fstype ext2
END
mkdir -p "$R/mnt"
mount "$loop" "$R/mnt"
unchanged 'a mounted one is left alone' <<'END'
__filesystem other --device "$LOOP" --fstype ext2 --force
END
umount "$R/mnt"
converge 'force' <<'END'
__filesystem other --device "$LOOP" --fstype ext2 --force
END
same 'type' ext2 "$(in_root blkid -p -s TYPE -o value "$loop")"

wipefs -q -a "$loop"
printf 'label: dos\n' | in_root sfdisk -q "$loop" 2>/dev/null || :
if in_root blkid -p "$loop" | grep -q PTTYPE; then
    unchanged 'a partition table is something' <<'END'
__filesystem other --device "$LOOP" --fstype ext2
END
fi
refuse 'no device' 'there is no device' <<'END'
__filesystem /dev/nothing --fstype ext2
END
refuse 'unknown type' 'is not a type' <<'END'
__filesystem other --device "$LOOP" --fstype ntfs
END
losetup --detach "$loop"
cleanup=''
