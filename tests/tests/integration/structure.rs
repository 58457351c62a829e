//! The plan of the house in `docs/ARCHITECTURE.md`, held against the sources: which room may import which, no circles of files,
//! and how large files, folders and the command line program may be.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::Path,
};

use cdist_tests::{imports::Sources, preos::workspace};

/// A part of the sources: the files below a path.
struct Room {
    /// A folder or a file, from the workspace on. The longest path that a file is below of counts.
    path: &'static str,
    /// The rooms that it may import, besides itself.
    uses: &'static [&'static str],
    /// Why these, and no others.
    why: &'static str,
}

const CHAIN: &str = "core/src/chain.rs";
const NEAR: &str = "core/src/near.rs";
const PRINTABLE: &str = "core/src/printable.rs";
const PROGRESS: &str = "core/src/progress.rs";
const HOST: &str = "core/src/host";
const TRUST: &str = "core/src/trust";
const TOKEN: &str = "core/src/token.rs";
const NET: &str = "core/src/net";
const INVENTORY: &str = "core/src/inventory";
const CONNECTOR: &str = "core/src/connector";
const CONFIG: &str = "core/src/config";
const DECLARE: &str = "core/src/config/declare";
const SCHEDULE: &str = "core/src/config/schedule";
const HERE: &str = "core/src/config/here";
const TARGET: &str = "core/src/config/target";
const PREVIEW: &str = "core/src/config/preview";
const AUTHOR: &str = "core/src/config/author";
const PLUGIN: &str = "core/src/plugin";
const CHECKS: &str = "core/src/plugin/checks";
const PREOS: &str = "core/src/preos";
const INSTALL: &str = "core/src/install";
const RUNS: &str = "core/src/runs";
const TRIGGER: &str = "core/src/trigger";
const MACHINES: &str = "core/src/trigger/machines";
const ADMIN: &str = "core/src/trigger/admin";
const WORKER: &str = "core/src/trigger/worker";
const CLIENT: &str = "core/src/trigger/client.rs";
const SERVICE: &str = "core/src/trigger/service.rs";
const CORE: &str = "core/src/lib.rs";
const CLI: &str = "cli/src";

/// All rooms, from the ground up.
const ROOMS: &[Room] = &[
    Room { path: CHAIN, uses: &[], why: "a text of causes needs nothing" },
    Room { path: NEAR, uses: &[], why: "comparing words needs nothing" },
    Room { path: PRINTABLE, uses: &[], why: "every printer uses it, so it can use no part" },
    Room { path: PROGRESS, uses: &[], why: "every part tells its progress, so it can use no part" },
    Room { path: HOST, uses: &[], why: "it is the operating system for all others" },
    Room { path: TRUST, uses: &[], why: "a judgement on a path must not depend on who asks" },
    Room { path: TOKEN, uses: &[HOST], why: "a token is a file" },
    Room { path: NET, uses: &[HOST], why: "servers of any kind use it, so it knows no service" },
    Room { path: INVENTORY, uses: &[TRUST], why: "hosts and tags are files" },
    Room {
        path: INSTALL,
        uses: &[NEAR, PRINTABLE, HOST],
        why: "what is done with disks is decided without looking at one, so all that it takes is words for a shell",
    },
    Room {
        path: CONNECTOR,
        uses: &[HOST],
        why: "it carries words and files to a target, and does not know what for",
    },
    Room {
        path: CONFIG,
        uses: &[CHAIN, PROGRESS, HOST, TRUST, CONNECTOR, DECLARE, SCHEDULE, HERE, TARGET],
        why: "a run leads through its stages; who works on a run, or for which service, it does not know",
    },
    Room {
        path: DECLARE,
        uses: &[PRINTABLE, TRUST, CONFIG],
        why: "a type call is a process of its own and knows no engine",
    },
    Room {
        path: SCHEDULE,
        uses: &[PROGRESS, CONFIG, DECLARE],
        why: "the order of objects does not depend on where they run",
    },
    Room {
        path: HERE,
        uses: &[NEAR, HOST, TRUST, CONNECTOR, CONFIG, DECLARE],
        why: "scripts on this machine do not need the target",
    },
    Room {
        path: TARGET,
        uses: &[HOST, TRUST, CONNECTOR, CONFIG, DECLARE, SCHEDULE, HERE],
        why: "explorers run in pieces, as the order has them, and what they print is kept as that of scripts here",
    },
    Room {
        path: PREVIEW,
        uses: &[PRINTABLE, HOST, CONNECTOR, CONFIG, DECLARE],
        why: "a preview changes nothing, so it runs no stage",
    },
    Room {
        path: AUTHOR,
        uses: &[PRINTABLE, HOST, TRUST, CONNECTOR, CONFIG, DECLARE],
        why: "a type is looked at without a target",
    },
    Room {
        path: PLUGIN,
        uses: &[CHAIN, NEAR, PRINTABLE, HOST, TRUST],
        why: "plugins are found and run without knowing what they ask for",
    },
    Room {
        path: PREOS,
        uses: &[PROGRESS, HOST, TRUST, TOKEN, CONNECTOR, CONFIG],
        why: "a build takes a recipe from anybody, so it knows no plugin, and no server",
    },
    Room {
        path: CHECKS,
        uses: &[CHAIN, PRINTABLE, HOST, TRUST, PLUGIN, PREOS],
        why: "a plugin is checked with the data that a build would give it, and not with a build",
    },
    Room {
        path: RUNS,
        uses: &[CHAIN, PROGRESS, HOST, TRUST, CONNECTOR, CONFIG, DECLARE],
        why: "a run is made for a command as for a job, so it knows neither the terminal nor the server",
    },
    Room {
        path: TRIGGER,
        uses: &[CHAIN, HOST, NET, CONNECTOR],
        why: "what is decided and stored does not depend on who asks, nor on who does the work of a job",
    },
    Room {
        path: MACHINES,
        uses: &[CHAIN, HOST, TOKEN, NET, TRIGGER],
        why: "machines are not administrators",
    },
    Room {
        path: ADMIN,
        uses: &[PRINTABLE, TOKEN, NET, TRIGGER],
        why: "administrators ask the dispatcher, not the machines' listener",
    },
    Room { path: CLIENT, uses: &[ADMIN], why: "it asks by the socket what any program can ask" },
    Room {
        path: WORKER,
        uses: &[PRINTABLE, HOST, CONNECTOR, CONFIG, RUNS, TRIGGER],
        why: "it does the work of jobs like the command does, and decides nothing about them",
    },
    Room {
        path: SERVICE,
        uses: &[HOST, NET, TRIGGER, MACHINES, ADMIN],
        why: "it holds the server together, and does not know how jobs are done",
    },
    Room { path: CORE, uses: &[CHAIN], why: "it is an index" },
    Room {
        path: CLI,
        uses: &[
            CHAIN, NEAR, PRINTABLE, PROGRESS, HOST, TRUST, TOKEN, NET, INVENTORY, INSTALL, CONNECTOR, CONFIG,
            DECLARE, AUTHOR, PLUGIN, CHECKS, PREOS, RUNS, TRIGGER, MACHINES, ADMIN, CLIENT, WORKER, SERVICE,
        ],
        why: "it parses and prints, for all parts",
    },
];

/// Circles of files that are known, each as all of its files, with the reason why it stays.
const CIRCLES: &[(&[&str], &str)] = &[];

/// Most files of source in a folder.
const FILES_MAX: usize = 20;
/// Most lines of a file.
const LINES_MAX: usize = 500;
/// Files that are longer. They may only become shorter.
const LONG: &[(&str, usize)] = &[
    ("core/src/trigger/dispatcher/desk.rs", 536),
    ("core/src/trigger/ledger/histories.rs", 530),
    ("core/src/trigger/store/sqlite.rs", 523),
];
/// Most lines of the command line program, without tests: what does not parse or print belongs into core.
const CLI_LINES_MAX: usize = 6_000;

fn sources() -> Sources {
    Sources::read(&workspace(), &[("core/src", "cdist_core"), ("cli/src", "cdist")])
}

fn room(path: &str) -> &'static Room {
    let holds = |room: &&Room| {
        path.strip_prefix(room.path).is_some_and(|below| below.is_empty() || below.starts_with('/'))
    };
    let found = ROOMS.iter().filter(holds).max_by_key(|room| room.path.len());
    found.unwrap_or_else(|| {
        panic!("{path} is in no room: give it one in tests/tests/integration/structure.rs")
    })
}

/// Fails with one line for each thing that is wrong.
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn rooms_import_only_what_is_below_them() {
    let sources = sources();
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for (from, others) in sources.imports() {
        for to in others {
            let (own, other) = (room(from), room(to));
            if own.path == other.path {
                continue;
            }
            used.insert((own.path, other.path));
            if !own.uses.contains(&other.path) {
                wrong.push(format!(
                    "{from} imports {to}, but {} must not import {}: {}.",
                    own.path, other.path, own.why
                ));
            }
        }
    }
    for room in ROOMS {
        let idle = room.uses.iter().filter(|other| !used.contains(&(room.path, **other)));
        wrong.extend(
            idle.map(|other| format!("{} no longer imports {other}; take it out of ROOMS.", room.path)),
        );
    }
    none(&wrong);
}

/// A `mod.rs` and the files below it are one thing: what it declares for them is no circle. All else is, also over several
/// files: who wants to understand one of them has to read them all.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let mut imports = sources.imports();
    for (from, others) in &mut imports {
        others.retain(|to| !sources.is_door(from, to));
    }
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in imports.keys() {
        let Some(circle) = way(&imports, file, file) else { continue };
        let members: BTreeSet<&str> = circle.iter().copied().collect();
        let is_known = CIRCLES.iter().any(|(known, _)| members.iter().all(|member| known.contains(member)));
        if !is_known && seen.is_disjoint(&members) {
            wrong.push(format!(
                "{} imports {}: a circle. Move what both need into a file of its own.",
                circle[0],
                circle[1..].join(", which imports ")
            ));
        }
        seen.extend(members);
    }
    let page = fs::read_to_string(workspace().join("docs/ARCHITECTURE.md")).unwrap();
    for (known, why) in CIRCLES {
        if !known.iter().all(|file| seen.contains(file)) {
            wrong.push(format!("{} are no circle any more; take them out of CIRCLES.", known.join(", ")));
        }
        if !page.contains(why) {
            wrong.push(format!(
                "docs/ARCHITECTURE.md does not say why {} are a circle: {why}",
                known.join(", ")
            ));
        }
    }
    none(&wrong);
}

/// The shortest way by imports, from a file to another one, or back to itself.
fn way<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut ways = VecDeque::from([vec![from]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in imports.get(way.last()?).into_iter().flatten() {
            let longer = [&way[..], &[*next]].concat();
            if *next == to {
                return Some(longer);
            }
            if seen.insert(*next) {
                ways.push_back(longer);
            }
        }
    }
    None
}

#[test]
fn folders_can_be_seen_at_a_glance() {
    let mut wrong = Vec::new();
    let mut waiting = vec![workspace().join("core/src"), workspace().join("cli/src")];
    while let Some(dir) = waiting.pop() {
        let mut files = 0;
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("snapshots") {
                waiting.push(path);
            } else if path.is_file() {
                files += 1;
            }
        }
        let name = dir.strip_prefix(workspace()).unwrap().display().to_string();
        if files > FILES_MAX {
            wrong.push(format!(
                "{name} has {files} files; at {FILES_MAX} it needs folders by what they are for."
            ));
        }
    }
    none(&wrong);
}

#[test]
fn files_can_be_read_in_one_go() {
    let mut wrong = Vec::new();
    let lines: BTreeMap<String, usize> =
        sources().files.into_iter().map(|file| (file.path, file.lines)).collect();
    for (path, count) in &lines {
        let known = LONG.iter().find(|(long, _)| long == path).map(|(_, most)| *most);
        if *count > known.unwrap_or(LINES_MAX) {
            wrong.push(format!("{path} has {count} lines, of at most {}.", known.unwrap_or(LINES_MAX)));
        }
    }
    for (long, _) in LONG {
        if lines.get(*long).is_none_or(|count| *count <= LINES_MAX) {
            wrong.push(format!("{long} is not longer than {LINES_MAX} lines; take it out of LONG."));
        }
    }
    none(&wrong);
}

#[test]
fn the_command_line_program_only_parses_and_prints() {
    let sources = sources();
    let own = sources.files.iter().filter(|file| !file.is_test && file.path.starts_with(CLI));
    let lines: usize = own.map(|file| file.lines_of_product).sum();
    assert!(
        lines <= CLI_LINES_MAX,
        "cli/src has {lines} lines, of at most {CLI_LINES_MAX}: what is no parsing or printing belongs into core"
    );
}

/// A table with rooms that are gone would promise what nothing checks.
#[test]
fn all_rooms_are_there() {
    let gone = ROOMS.iter().filter(|room| !Path::new(&workspace()).join(room.path).exists());
    none(&gone.map(|room| format!("{} is not there; take it out of ROOMS.", room.path)).collect::<Vec<_>>());
}
