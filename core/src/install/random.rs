//! Random machines, layouts and rules against an oracle that knows nothing of how a plan is made: no disk is written to that
//! must not be, and all that is written lies where it may.

use std::collections::BTreeSet;

use super::{
    facts::{Disk, Facts, Firmware, Signature, Use, UseKind},
    layout::{READY, Table},
    plan::{Plan, PlannedDisk, Step},
    size::{GIB, MIB},
    *,
};

/// How many plans there are if `CDIST_TEST_PLANS` does not say it.
const FEW: u64 = 2000;

/// Numbers that are the same for the same plan.
pub(super) struct Random(fastrand::Rng);

impl Random {
    pub(super) fn new(plan: u64) -> Self {
        Self(fastrand::Rng::with_seed(plan))
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.0.u64(..100) < percent
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.0.usize(..of.len())].clone()
    }

    fn maybe<T>(&mut self, percent: u64, value: T) -> Option<T> {
        self.chance(percent).then_some(value)
    }

    fn disk(&mut self, at: usize) -> Disk {
        let prefix = self.pick(&["sd", "vd", "nvme", "mmcblk"]);
        let name = match prefix {
            "nvme" => format!("nvme{at}n1"),
            "mmcblk" => format!("mmcblk{at}"),
            _ => format!("{prefix}{}", char::from(b'a' + at as u8)),
        };
        let logical_sector = self.pick(&[512, 512, 512, 4096]);
        let (small, large) = (self.0.u64(1..64) * GIB, self.0.u64(..6 << 40));
        let odd = self.0.u64(..8 * GIB);
        // Some are alike.
        let size = self.pick(&[20 * GIB, 20 * GIB, small, large, odd]) / 4096 * 4096;
        let (serial, wwn) = (if self.chance(95) { at } else { 0 }, if self.chance(97) { at } else { 0 });
        let mut disk = Disk {
            size,
            logical_sector,
            serial: self.maybe(80, format!("serial{serial}")),
            wwn: self.maybe(40, format!("0x5000{wwn}")),
            rotational: self.pick(&[Some(true), Some(false), None]),
            transport: Some(self.pick(&["sata", "sata", "nvme", "usb", "loop"]).to_owned()),
            read_only: self.chance(3),
            removable: self.chance(5),
            member_of: self.maybe(3, "mapper/mpatha".to_owned()),
            ..Disk::default()
        };
        let part = format!("{name}1");
        if self.chance(30) {
            let kind = self.pick(&["gpt", "dos", "ext4", "LVM2_member", "linux_raid_member", "crypto_LUKS"]);
            let at = self.pick(&[name.clone(), part.clone(), format!("{prefix}a1")]);
            disk.content.push(Signature { at, kind: kind.to_owned(), ..Signature::default() });
        }
        if self.chance(10) {
            let kind = self.pick(&[UseKind::Mounted, UseKind::Swap, UseKind::Holder, UseKind::Other]);
            disk.in_use.push(Use { at: part, kind, by: None });
        }
        disk.name = name;
        disk
    }

    pub(super) fn machine(&mut self) -> Facts {
        let count = self.0.usize(1..6);
        Facts {
            architecture: "x86_64".to_owned(),
            firmware: self.pick(&[Firmware::Bios, Firmware::Uefi, Firmware::Uefi32]),
            disks: (0..count).map(|at| self.disk(at)).collect(),
            ..Facts::default()
        }
    }

    fn size(&mut self) -> String {
        let (mib, percent) = (self.0.u64(300..4000), self.0.u64(1..60));
        let bounds = self.pick(&["", " min 400MiB", " max 9GiB", " min 400MiB max 9GiB"]);
        self.pick(&[format!("{mib}MiB"), format!("{percent}%{bounds}"), format!("{percent}%{bounds}")])
    }

    /// A file system or swap space; only the first one is the root.
    fn leaf(&mut self, nth: usize) -> String {
        let kind = self.pick(&["ext4", "xfs", "btrfs"]);
        match nth {
            0 => format!("{kind} /"),
            _ if self.chance(30) => "swap".to_owned(),
            _ => format!("{kind} /m{nth}"),
        }
    }

    /// The text of a layout.
    pub(super) fn layout(&mut self) -> String {
        if self.chance(30) {
            return self.pick(&READY).1.to_owned();
        }
        let disks = self.pick(&[1, 1, 1, 2, 2, 3, 4]);
        let is_mbr = self.chance(15);
        let mut text = format!("table {}\ndisks {disks}\n", if is_mbr { "mbr" } else { "gpt" });
        if !is_mbr {
            text.push_str("partition bios 1MiB bios\n");
        }
        text.push_str(&format!("partition esp {}MiB esp /boot/efi\n", self.0.u64(260..600)));
        let is_grouped = self.chance(50);
        if disks > 1 {
            let most = [2, 3, 5][(disks - 2).min(2)];
            let level = self.pick(&["0", "1", "5", "6", "10"][..most]);
            if self.chance(50) {
                text.push_str(&format!("partition swap {} swap\n", self.size()));
            }
            let size = self.size();
            let size = self.pick(&[size, "rest".to_owned()]);
            let content = if is_grouped { "lvm".to_owned() } else { self.leaf(0) };
            text.push_str(&format!("partition md {size} raid\nraid pv of md level {level} {content}\n"));
        } else if is_grouped && self.chance(30) {
            text.push_str(
                "partition boot 1GiB ext4 /boot\npartition crypt rest luks\nluks pv of crypt lvm\n",
            );
        } else if is_grouped {
            text.push_str("partition pv rest min 1GiB lvm\n");
        } else {
            let rest = self.0.usize(..3);
            for nth in 0..self.0.usize(1..if is_mbr { 3 } else { 6 }) {
                let size = if nth == rest { "rest".to_owned() } else { self.size() };
                text.push_str(&format!("partition p{nth} {size} {}\n", self.leaf(nth)));
            }
        }
        if is_grouped {
            text.push_str("group vg of pv\n");
            let rest = self.0.usize(..3);
            for nth in 0..self.0.usize(1..5) {
                let size = if nth == rest { "rest".to_owned() } else { self.size() };
                text.push_str(&format!("volume v{nth} of vg {size} {}\n", self.leaf(nth)));
            }
        }
        text
    }

    /// A rule, and whether it can mean a disk.
    fn rule(&mut self, facts: &Facts) -> (String, Means) {
        let of = self.pick(&facts.disks);
        let limit = self.0.u64(1..100);
        match self.0.u8(..8) {
            0 => (format!("name={}", of.name), Box::new(move |disk| disk.name == of.name)),
            1 | 2 if of.serial.is_some() => {
                let serial = of.serial.clone().unwrap();
                (format!("serial={serial}"), Box::new(move |disk| disk.serial == of.serial))
            }
            3 => {
                ("ssd".to_owned(), Box::new(|disk| disk.rotational == Some(false) && is_meant_unnamed(disk)))
            }
            4 => (
                "rotational".to_owned(),
                Box::new(|disk| disk.rotational == Some(true) && is_meant_unnamed(disk)),
            ),
            5 => (
                format!("size=..{limit}GiB"),
                Box::new(move |disk| disk.size <= limit * GIB && is_meant_unnamed(disk)),
            ),
            6 => (self.pick(&["smallest", "largest"]).to_owned(), Box::new(is_meant_unnamed)),
            _ => ("only".to_owned(), Box::new(is_meant_unnamed)),
        }
    }
}

fn is_meant_unnamed(disk: &Disk) -> bool {
    let transport = disk.transport.as_deref();
    !disk.read_only
        && !disk.removable
        && disk.size >= GIB
        && transport != Some("usb")
        && transport != Some("loop")
}

/// Whether a rule can mean a disk.
type Means = Box<dyn Fn(&Disk) -> bool>;

/// What happened, for the end: a test in which all is refused shows nothing.
#[derive(Debug, Default)]
struct Tally {
    planned: u64,
    resumed: u64,
    refused: u64,
    too_small: u64,
    no_layout: u64,
}

#[test]
#[allow(clippy::print_stderr, reason = "a soak collects what was covered")]
fn no_plan_does_harm() {
    let asked = std::env::var("CDIST_TEST_PLANS").ok();
    let count = asked.map_or(FEW, |count| count.parse().expect("CDIST_TEST_PLANS is a number"));
    let mut tally = Tally::default();
    for number in 0..count {
        let done = std::panic::catch_unwind(|| one(number));
        let Ok(one) = done else { panic!("plan {number} does") };
        tally.planned += one.planned;
        tally.resumed += one.resumed;
        tally.refused += one.refused;
        tally.too_small += one.too_small;
        tally.no_layout += one.no_layout;
    }
    eprintln!("covered: {count} plans: {tally:?}");
    assert!(tally.planned > count / 10 && tally.refused > count / 10, "{tally:?}");
    assert!(tally.resumed > count / 20 && tally.too_small > count / 100, "{tally:?}");
    assert!(tally.no_layout < count / 5, "{tally:?}");
}

fn one(number: u64) -> Tally {
    let mut tally = Tally::default();
    let mut random = Random::new(number);
    let (mut facts, text) = (random.machine(), random.layout());
    let Ok(layout) = Layout::parse(&text) else {
        tally.no_layout += 1;
        return tally;
    };
    let (rule, means) = random.rule(&facts);
    let rules = [Rule::parse(&rule).unwrap()];
    let rules = if rule == "only" && random.chance(50) { &[] } else { &rules[..] };
    let mut wipe = Vec::new();
    if random.chance(50) {
        wipe.push(random.pick(&facts.disks).name);
    }
    let before = facts.clone();
    let make =
        |facts: &Facts| Plan::make(&Request { facts, layout: &layout, rules, wipe: &wipe, job: Some("job") });
    match make(&facts) {
        Ok(plan) => {
            tally.planned += 1;
            for planned in &plan.disks {
                let disk = &planned.disk;
                assert!(means(disk), "{rule} does not mean {disk:?}");
                assert!(disk.in_use.is_empty() && !disk.read_only && disk.member_of.is_none(), "{disk:?}");
                assert!(disk.content.is_empty() || wipe.contains(&disk.name), "{disk:?}");
            }
            check_choice(&plan, &facts, &rule);
            assert_eq!(plan.disks.len(), layout.disks);
            check_disks(&plan);
            check_volumes(&plan);
            check_script(&plan, &facts);
            // Interrupted after the tables were written, it goes on by itself and makes the same; another job does not.
            for disk in &mut facts.disks {
                if let Some(planned) = plan.disks.iter().find(|planned| planned.disk.name == disk.name) {
                    let kind = if plan.table == Table::Gpt { "gpt" } else { "dos" }.to_owned();
                    let uuid = Some(planned.id.guid());
                    disk.content = vec![Signature { at: disk.name.clone(), kind, uuid, label: None }];
                }
            }
            let resumed =
                Plan::make(&Request { facts: &facts, layout: &layout, rules, wipe: &[], job: Some("job") });
            let other =
                Plan::make(&Request { facts: &facts, layout: &layout, rules, wipe: &[], job: Some("other") });
            assert!(other.is_err());
            assert_eq!(resumed.is_ok(), plan.table == Table::Gpt);
            if let Ok(resumed) = resumed {
                tally.resumed += 1;
                let of = |plan: &Plan| commands::table(plan.table, &plan.disks[0]);
                assert_eq!(of(&resumed), of(&plan));
            }
        }
        Err(refusal) => {
            tally.refused += 1;
            assert!(!refusal.sentence.contains('\n') && !refusal.remedy.is_empty(), "{refusal:?}");
            assert_eq!(refusal.disks.len(), facts.disks.len());
            tally.too_small += u64::from(check_arithmetic(&refusal.sentence));
        }
    }
    assert!(facts.disks.len() == before.disks.len());
    tally
}

/// Of those that could be meant as well, the ones that were chosen are smaller or larger.
fn check_choice(plan: &Plan, facts: &Facts, rule: &str) {
    let is_chosen = |disk: &&Disk| plan.disks.iter().any(|planned| planned.disk.name == disk.name);
    let names: BTreeSet<&str> = plan.disks.iter().map(|planned| planned.disk.name.as_str()).collect();
    assert_eq!(names.len(), plan.disks.len());
    let others = facts.disks.iter().filter(|disk| !is_chosen(disk));
    for other in others.filter(|disk| is_meant_unnamed(disk) && disk.member_of.is_none()) {
        for planned in &plan.disks {
            match rule {
                "only" => panic!("{} could be meant as well", other.name),
                "smallest" => assert!(planned.disk.size < other.size),
                "largest" => assert!(planned.disk.size > other.size),
                _ => {}
            }
        }
    }
}

fn check_disks(plan: &Plan) {
    let mut ids = BTreeSet::new();
    for planned in &plan.disks {
        let PlannedDisk { disk, partitions, .. } = planned;
        let sector = disk.logical_sector;
        assert!(ids.insert(planned.id.uuid()));
        let mut end = MIB;
        for part in partitions {
            assert_eq!((part.start % MIB, part.size % MIB, part.start % sector), (0, 0, 0), "{part:?}");
            assert!(part.size > 0 && part.start >= end, "{part:?}");
            assert!(ids.insert(part.id.uuid()), "{part:?}");
            end = part.start + part.size;
        }
        // Sectors: the header, and 16 KiB of entries.
        let backup = if plan.table == Table::Gpt { sector + 16_384_u64.next_multiple_of(sector) } else { 0 };
        assert!(end <= disk.size - backup, "{planned:?}");
        if plan.table == Table::Mbr {
            assert!(end / sector <= u64::from(u32::MAX));
        }
        let sum: u64 = partitions.iter().map(|part| part.size).sum();
        assert_eq!(sum + planned.unused(), disk.size);
    }
}

fn check_volumes(plan: &Plan) {
    let parts = plan.disks.iter().flat_map(|planned| &planned.partitions);
    let mut sizes: Vec<(String, u64)> = parts.map(|part| (part.device.clone(), part.size)).collect();
    let of = |sizes: &[(String, u64)], name: &str| sizes.iter().find(|(device, _)| device == name).unwrap().1;
    let (mut groups, mut formatted) = (Vec::new(), BTreeSet::new());
    for step in &plan.steps {
        match step {
            Step::Raid { device, level, members, size, .. } => {
                let all: Vec<u64> = members.iter().map(|member| of(&sizes, member)).collect();
                assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{step:?}");
                assert!(
                    *size <= all[0] * level.data_disks(all.len() as u64) && *size < all.iter().sum(),
                    "{step:?}"
                );
                sizes.push((device.clone(), *size));
            }
            Step::Luks { device, source, size, .. } => {
                assert!(*size < of(&sizes, source));
                sizes.push((device.clone(), *size));
            }
            Step::Group { name, sources, size } => {
                assert!(*size < sources.iter().map(|source| of(&sizes, source)).sum());
                groups.push((name.clone(), *size));
            }
            Step::Volume { group, device, size, .. } => {
                let left = &mut groups.iter_mut().find(|(name, _)| name == group).unwrap().1;
                *left = left.checked_sub(*size).expect("the group has it");
                sizes.push((device.clone(), *size));
            }
            Step::Format { device, size, .. } => {
                assert_eq!(of(&sizes, device), *size);
                assert!(formatted.insert(device.clone()), "{device} is formatted twice");
            }
            Step::Subvolume { device, .. } => assert!(formatted.contains(device)),
        }
    }
    let mut mounted: Vec<&str> = Vec::new();
    for path in plan.mounts.iter().filter_map(|mount| mount.path.as_deref()) {
        assert!(!mounted.contains(&path));
        assert!(
            !mounted.iter().any(|other| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
        );
        mounted.push(path);
    }
    assert_eq!(mounted[0], "/");
}

/// Commands name the disks of the plan, and no other one.
fn check_script(plan: &Plan, facts: &Facts) {
    let script = commands::script(plan);
    for disk in &facts.disks {
        let is_planned = plan.disks.iter().any(|planned| planned.disk.name == disk.name);
        let device = disk.device();
        let names = |word: &str| {
            word.strip_prefix(device.as_str())
                .is_some_and(|rest| rest.trim_start_matches('p').chars().all(|c| c.is_ascii_digit()))
        };
        let is_named = script.split(|c: char| c.is_whitespace() || c == ';').any(names);
        assert_eq!(is_named, is_planned, "{device}\n{script}");
    }
}

/// Whether the refusal is one of sizes; then its terms make its sum, in bytes, and that is more than there is.
fn check_arithmetic(sentence: &str) -> bool {
    let Some((need, rest)) = sentence.split_once(" = ") else { return false };
    let (terms, has) = rest.split_once(", and ").expect("what there is");
    let bytes = |text: &str| {
        let words: Vec<&str> = text.trim_matches(['(', ')']).split_whitespace().collect();
        let factor = match words[1] {
            "bytes" => 1,
            "MiB" => MIB,
            "GiB" => GIB,
            "TiB" => 1024 * GIB,
            other => panic!("{other} in {sentence}"),
        };
        words[0].parse::<u64>().unwrap_or_else(|_| panic!("{text} in {sentence}")) * factor
    };
    // "2.7 GiB (2954905088 bytes)", or exact.
    let told = |text: &str| match text.split_once('(') {
        Some((_, exact)) => bytes(exact),
        None => bytes(text.rsplit_once(['d', 's']).map_or(text, |(_, size)| size)),
    };
    let need = told(need.split_once(" need ").expect("what is needed").1);
    let has = told(has.split_once(" has ").expect("what there is").1);
    let sum: u64 = terms.split(" + ").map(bytes).sum();
    assert_eq!(sum, need, "{sentence}");
    assert!(need > has, "{sentence}");
    true
}
