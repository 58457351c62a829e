//! A plan for people, and as JSON. Texts of the machine give no orders to a terminal; the JSON has them as they are, for its
//! printer escapes them.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    commands,
    layout::Table,
    plan::{Mount, Partition, Plan, PlannedDisk, Step},
    size,
};
use crate::printable::line;

impl Plan {
    /// What is done, in tables. `layout` is what the layout is called.
    pub fn text(&self, layout: &str) -> String {
        let disks = match self.disks.len() {
            1 => "one disk".to_owned(),
            count => format!("{count} disks"),
        };
        let (table, firmware) = (self.table.word().to_uppercase(), self.firmware.name());
        let mut text = format!(
            "Layout {} on {disks} with {table}, for a machine that starts by {firmware}\n",
            line(layout)
        );
        for planned in &self.disks {
            let _ = write!(text, "\n{}", disk_text(planned));
        }
        let rows: Vec<Vec<String>> = self.steps.iter().map(step_row).collect();
        let _ = write!(text, "\nMade in this order:\n{}", columns(&rows));
        let rows: Vec<Vec<String>> = self.mounts.iter().map(mount_row).collect();
        let _ = write!(text, "\nMounted by the new system:\n{}", columns(&rows));
        text
    }

    /// The plan with the commands and files that come of it. Sizes and positions are in bytes.
    pub fn json(&self, layout: &str) -> Value {
        let files = commands::files(self).into_iter().map(|(path, text)| json!({"path": path, "text": text}));
        json!({
            "layout": layout,
            "firmware": self.firmware,
            "table": self.table.word(),
            "disks": self.disks.iter().map(|planned| disk_json(self.table, planned)).collect::<Vec<_>>(),
            "steps": self.steps.iter().map(step_json).collect::<Vec<_>>(),
            "mounts": self.mounts.iter().map(mount_json).collect::<Vec<_>>(),
            "files": files.collect::<Vec<_>>(),
            "script": commands::script(self),
        })
    }
}

fn disk_text(planned: &PlannedDisk) -> String {
    let disk = &planned.disk;
    let mut words = vec![size::told(disk.size)];
    words.extend(disk.model.iter().map(|model| line(model)));
    words.extend(disk.serial.iter().map(|serial| format!("serial {}", line(serial))));
    words.push(format!("sectors of {} bytes", disk.logical_sector));
    let mut text = format!("{}: {}\n", line(&disk.device()), words.join(", "));
    let lost = planned.lost();
    let lost = match (lost.is_empty(), planned.is_own) {
        (true, _) => "nothing is lost, it is blank".to_owned(),
        (_, true) => {
            format!("this install has been here before, and begins again; there is {}", lost.join(", "))
        }
        _ => format!("LOST: {}", lost.join(", ")),
    };
    let _ = writeln!(text, "  {lost}");
    let head = ["NR", "START", "SIZE", "NAME", "TYPE"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> =
        [head].into_iter().chain(planned.partitions.iter().map(partition_row)).collect();
    let _ = write!(text, "{}", columns(&rows));
    let _ = writeln!(text, "  {} for the table, its backup and whole MiB", size::told(planned.unused()));
    text
}

fn partition_row(part: &Partition) -> Vec<String> {
    let mark = if part.is_bootable { ", marked to start" } else { "" };
    vec![
        part.number.to_string(),
        size::exact(part.start),
        size::exact(part.size),
        part.name.clone(),
        format!("{}{mark}", part.content.word()),
    ]
}

fn step_row(step: &Step) -> Vec<String> {
    match step {
        Step::Raid { device, level, members, size, .. } => {
            row("RAID", device, *size, &format!("level {} of {}", level.number(), members.join(", ")))
        }
        Step::Luks { device, source, size, .. } => row("LUKS", device, *size, &format!("of {source}")),
        Step::Group { name, sources, size } => {
            row("group", name, *size, &format!("of {}", sources.join(", ")))
        }
        Step::Volume { device, group, size, .. } => {
            row("volume", device, *size, &format!("of group {group}"))
        }
        Step::Format { device, label, format, size, .. } => {
            row(format.name(), device, *size, &format!("labelled {label}"))
        }
        Step::Subvolume { name, device } => {
            vec!["subvolume".to_owned(), device.clone(), String::new(), name.clone()]
        }
    }
}

fn row(what: &str, device: &str, bytes: u64, more: &str) -> Vec<String> {
    vec![what.to_owned(), line(device), size::exact(bytes), line(more)]
}

fn mount_row(mount: &Mount) -> Vec<String> {
    vec![
        mount.path.clone().unwrap_or_else(|| "swap".to_owned()),
        mount.spec.clone(),
        mount.format.name().to_owned(),
        mount.options.clone(),
    ]
}

/// Rows below each other, two blanks in front, without blanks at the end.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|text| text.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
    }
    text
}

fn disk_json(table: Table, planned: &PlannedDisk) -> Value {
    let disk = &planned.disk;
    let partitions = planned.partitions.iter().map(|part| {
        json!({
            "number": part.number,
            "name": part.name,
            "device": part.device,
            "start": part.start,
            "size": part.size,
            "type": commands::partition_type(&part.content, table),
            "uuid": part.id.guid(),
            "bootable": part.is_bootable,
        })
    });
    json!({
        "device": disk.device(),
        "serial": disk.serial,
        "model": disk.model,
        "size": disk.size,
        "logical_sector": disk.logical_sector,
        "id": planned.table_id(table),
        "resumed": planned.is_own,
        "lost": disk.content,
        "partitions": partitions.collect::<Vec<_>>(),
        "unused": planned.unused(),
    })
}

fn step_json(step: &Step) -> Value {
    match step {
        Step::Raid { name, device, level, members, id, size } => json!({
            "make": "raid", "name": name, "device": device, "level": level.number(), "of": members, "uuid": id.uuid(), "size": size,
        }),
        Step::Luks { name, device, source, id, size } => json!({
            "make": "luks", "name": name, "device": device, "of": [source], "uuid": id.uuid(), "size": size,
        }),
        Step::Group { name, sources, size } => {
            json!({"make": "group", "name": name, "of": sources, "size": size})
        }
        Step::Volume { name, group, device, size, .. } => json!({
            "make": "volume", "name": name, "group": group, "device": device, "size": size,
        }),
        Step::Format { device, label, format, id, size } => json!({
            "make": format.name(), "device": device, "label": label, "uuid": id.uuid(), "size": size,
        }),
        Step::Subvolume { name, device } => json!({"make": "subvolume", "name": name, "device": device}),
    }
}

fn mount_json(mount: &Mount) -> Value {
    json!({
        "spec": mount.spec,
        "device": mount.device,
        "path": mount.path,
        "type": mount.format.name(),
        "options": mount.options,
        "pass": mount.pass,
    })
}

#[cfg(test)]
#[path = "describe_tests.rs"]
mod tests;
