use super::*;
use crate::install::{
    Facts, Firmware, Layout, Request,
    facts::{Disk, Signature},
    size::GIB,
};

fn disk(name: &str, size: u64) -> Disk {
    Disk {
        name: name.into(),
        size,
        logical_sector: 512,
        model: Some("Disk\u{1b}[2J".into()),
        serial: Some(format!("S-{name}")),
        ..Disk::default()
    }
}

fn plan(layout: &str, disks: Vec<Disk>) -> Plan {
    let facts = Facts { architecture: "x86_64".into(), firmware: Firmware::Uefi, disks, ..Facts::default() };
    let layout = Layout::ready(layout).unwrap();
    let wipe = ["sda".to_owned()];
    Plan::make(&Request { facts: &facts, layout: &layout, rules: &[], wipe: &wipe, job: Some("1") }).unwrap()
}

fn full(name: &str) -> Disk {
    let label = Some("old\u{202e}".to_owned());
    let content = vec![Signature { at: format!("{name}1"), kind: "ext4".into(), label, uuid: None }];
    Disk { content, ..disk(name, 20 * GIB) }
}

#[test]
fn plans_for_people() {
    let two = plan("raid1-lvm", vec![full("sda"), disk("nvme0n1", 25 * GIB + 512)]);
    let text = two.text("raid1-lvm");
    assert!(!text.contains(|c| c != '\n' && crate::printable::is_hidden(c)));
    insta::assert_snapshot!("plan_of_two_disks", text);
    insta::assert_snapshot!("plan_of_luks", plan("luks", vec![full("sda")]).text("luks"));
}

#[test]
fn plans_as_json() {
    let mut value = plan("btrfs", vec![full("sda")]).json("btrfs");
    assert!(value["script"].as_str().unwrap().starts_with("#!/bin/sh\n"));
    value["script"] = Value::Null;
    insta::assert_snapshot!("plan_as_json", format!("{value:#}"));
}
