use proptest::prelude::*;

use super::*;

fn refused(text: &str) -> String {
    match Layout::parse(text) {
        Ok(layout) => panic!("{text}\nis taken as\n{layout}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn ready_layouts_hold_together() {
    for (name, text) in READY {
        let layout = Layout::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Layout::ready(name).as_ref(), Some(&layout));
        assert_eq!(Layout::parse(&layout.to_string()).as_ref(), Ok(&layout), "{layout}");
        let firmware: Vec<&str> = layout.items[..2].iter().map(|item| item.content.word()).collect();
        assert_eq!(firmware, ["bios", "esp"], "{name} starts by both");
        assert!(text.starts_with("# "), "{name} says what it is for");
    }
    assert_eq!(Layout::ready("plan"), None);
}

#[test]
fn a_layout_says_what_it_says() {
    let layout = Layout::parse(
        "table mbr # as old machines want it\n\n  disks 2\npartition md rest min 2GiB max 1TiB raid\n\
         raid root of md level 1 xfs / options noatime\n",
    )
    .unwrap();
    assert_eq!((layout.table, layout.disks), (Table::Mbr, 2));
    let size = Size { base: Base::Rest, min: Some(2 * size::GIB), max: Some(1024 * size::GIB) };
    assert_eq!(layout.items[0].place, Place::Partition(size));
    assert_eq!(layout.items[1].place, Place::Raid { of: "md".into(), level: Level::Mirror });
    assert_eq!(layout.items[1].content.mount(), Some("/"));
    assert_eq!(layout.items[1].options.as_deref(), Some("noatime"));
}

/// What each refused line is told: its number, what is wrong, what to write.
#[test]
fn refusals_name_line_and_remedy() {
    for (text, told) in [
        ("partitoin a 1GiB ext4 /", "line 1: `partitoin` is not known here; did you mean `partition`?"),
        ("\n# c\nzzzzzz", "line 3: `zzzzzz` is not known here; write one of table, disks, partition, raid"),
        ("table dos", "line 1: `dos` is not known here; write one of gpt, mbr"),
        ("table gpt\ntable gpt", "line 2: `table` is said twice"),
        ("partition a 1GiB ext4 /\ndisks 2", "line 2: `disks` stands in front"),
        ("disks 0", "line 1: `0` is no number of disks; write one from 1 to 64"),
        ("disks", "the line ends where the number of disks has to follow"),
        ("partition", "the line ends where a name has to follow"),
        ("partition Root 1GiB ext4 /", "`Root` is no name; write at most 9 lower-case"),
        ("partition 1a 1GiB ext4 /", "with a letter in front"),
        ("partition abcdefghij 1GiB ext4 /", "`abcdefghij` is no name"),
        ("partition a ext4 /", "`ext4` is no size; write a whole number"),
        ("partition a 10G ext4 /", "line 1: `10G` is no size; write 10GiB, which counts by 1024"),
        ("partition a 1KiB ext4 /", "`1KiB` is no whole number of MiB"),
        ("partition a 0% ext4 /", "`0%` is no part of a disk; write 1% to 100%"),
        ("partition a 1GiB min 1GiB ext4 /", "`min` bounds a size in % or `rest`"),
        ("partition a rest min 2GiB max 1GiB ext4 /", "`min` is more than `max`"),
        ("partition a rest", "the line ends where what is in it"),
        ("partition a rest ext5 /", "`ext5` is not known here; did you mean `ext4`?"),
        ("partition a rest ext4", "the line ends where the directory"),
        ("partition a rest ext4 home", "`home` is no directory to mount on"),
        ("partition a rest ext4 /a/../b", "is no directory to mount on"),
        ("partition a rest ext4 / x", "`x` is more than the line can say"),
        ("partition a rest ext4 / options a$b", "`a$b` are no options of a mount"),
        ("partition a rest lvm options x", "`options` are for what is mounted"),
        ("partition a 1GiB ext4 /\npartition a 1GiB swap", "line 2: `a` is the name of a partition above"),
        ("partition a 1GiB ext4 /\npartition b 1GiB ext4 /", "line 2: `a` is mounted on / already"),
        ("raid r of md level 1 ext4 /", "line 1: there is no `md` above"),
        ("disks 2\npartition md rest raid\nraid r of md level 2 ext4 /", "`2` is not known here"),
        ("disks 2\npartition md rest raid\nraid r of md ext4 /", "`level` has to follow"),
        ("disks 2\npartition md rest raid\nraid r of md level 5 ext4 /", "level 5 takes at least 3 disks"),
        (
            "partition md rest raid\nraid r of md level 1 ext4 /",
            "line 1: a RAID takes more than one disk; write `disks 2`",
        ),
        ("disks 2\npartition a rest ext4 /", "there would be 2 of `a`, one on each disk"),
        ("partition a rest ext4 /\nluks b of a ext4 /b", "`a` is not for that; write `luks` at the end"),
        ("partition a rest lvm\nvolume b of a 1GiB ext4 /", "`a` is no group; make one by `group NAME of a`"),
        ("partition a rest lvm\ngroup md of a", "/dev/md is something else"),
        ("partition a rest lvm\ngroup g of a\nvolume snapshot of g 1GiB ext4 /", "LVM keeps names"),
        ("partition a rest lvm\ngroup g of a\ngroup h of a", "line 3: `a` is used by `g` already"),
        ("partition a rest ext4 /\nsubvolume @ of a /x", "`a` is no btrfs"),
        ("partition a rest btrfs /\nsubvolume @ of a /x", "`a` is mounted as a whole"),
        ("partition a rest btrfs\nsubvolume ../x of a /", "`../x` is no name of a subvolume"),
        ("partition a rest btrfs", "nothing is made of `a`; add a line `subvolume NAME of a"),
        ("partition a rest lvm\ngroup g of a", "nothing is made of `g`; add a line `volume NAME of g"),
        ("partition a 1GiB swap", "nothing is mounted on /"),
        ("", "nothing is mounted on /"),
        ("partition a rest vfat /", "use ext4, xfs or btrfs for /"),
        ("partition a rest luks\nluks b of a ext4 /", "add a partition with `ext4 /boot` outside of LUKS"),
        ("partition a 100MiB xfs /", "`xfs` takes at least 300 MiB; make it larger"),
        ("partition a rest ext4 /\npartition b rest swap", "line 2: `a` takes the rest already"),
        ("partition e 1GiB esp /e\npartition f 1GiB esp /f", "there is a partition for `esp` already"),
        ("table mbr\npartition b 1MiB bios", "MBR has no partition for BIOS"),
        ("partition p rest lvm\ngroup g of p\nvolume e of g 1GiB esp /e", "only as a partition"),
    ] {
        let error = refused(text);
        assert!(error.contains(told), "{text}\n  {error}\n  {told}");
    }
    let many: String = (0..5).map(|n| format!("partition p{n} 1GiB swap\n")).collect();
    assert!(
        refused(&format!("table mbr\n{many}")).contains("5 partitions, and MBR has 4; write `table gpt`")
    );
    assert!(refused(&" ".repeat(BYTES_MAX + 1)).contains("of at most 65536"));
    let many: String = (0..257).map(|n| format!("partition p{n} 1MiB empty\n")).collect();
    assert!(refused(&many).contains("more than 256 lines"));
}

#[test]
fn what_is_shown_of_a_line_gives_no_orders() {
    assert!(!refused("partition a\u{1b}[2J 1GiB ext4 /").contains('\u{1b}'));
    assert!(!refused("\u{1b}[2J").contains('\u{1b}'));
    assert!(!refused("partition a 1\u{9b}iB ext4 /").contains('\u{9b}'));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "([a-z@%/# 0-9\n]|disks 2\n|partition |raid |luks |group |volume |rest |1GiB |ext4 /|of a|lvm\n){0,40}") {
        if let Ok(layout) = Layout::parse(&text) {
            prop_assert_eq!(Layout::parse(&layout.to_string()), Ok(layout));
        }
    }
}
