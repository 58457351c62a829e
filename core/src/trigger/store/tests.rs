//! The store in a real file.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use super::{migrations::MIGRATIONS, *};
use crate::trigger::{Facts, attempt::AttemptReport};

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn state() -> Place {
    let dir = tempfile::tempdir().unwrap();
    Place { path: dir.path().join("state"), _dir: dir }
}

fn machine(id: MachineId) -> Machine {
    Machine {
        id,
        mac: Some(format!("52:54:00:00:00:{id:02x}")),
        address: format!("10.0.0.{id}").parse().unwrap(),
        has_lost_address: false,
        facts: Facts { ssh_host_keys: vec!["ssh-ed25519 AAAA".into()], ..Facts::default() },
        first_seen: 5,
        last_seen: 6,
        install: Some(JobState::Succeeded),
        installed: Some(7),
        armed_until: None,
        last_job: Some(id),
        keys: vec![format!("52:54:00:00:00:{id:02x}"), "u/s".into()],
        places: vec![format!("10.0.0.{id}").parse().unwrap()],
    }
}

fn job(id: JobId, machine: MachineId, state: JobState) -> Job {
    Job {
        id,
        kind: JobKind::Install,
        state,
        machine,
        address: format!("10.0.0.{machine}").parse().unwrap(),
        path: "a'\"b".into(),
        facts: Facts::default(),
        created: 1,
        started: Some(2),
        finished: state.is_final().then_some(3),
        attempts: 1,
        not_before: None,
        joined: 4,
        stopping: true,
        report: state.is_final().then(|| {
            Box::new(AttemptReport { reason: Some("x\n\u{1b}".into()), ..AttemptReport::default() })
        }),
        note: Some("n".into()),
        armed: vec![(1, 77)],
    }
}

fn put_job(job: Job) -> Change {
    Change::Job(Box::new(job))
}

fn put_machine(machine: Machine) -> Change {
    Change::Machine(Box::new(machine))
}

#[test]
fn what_is_committed_is_there_after_a_crash() {
    let state = state();
    let mut store = Sqlite::open(&state.path).unwrap();
    let (running, done) = (job(1, 1, JobState::Running), job(2, 1, JobState::Failed));
    let changes = [put_machine(machine(1)), put_job(running.clone()), put_job(done.clone())];
    store.commit(&changes).unwrap();
    // No close: as after kill -9.
    drop(store);
    let mut store = Sqlite::open(&state.path).unwrap();
    let stored = store.load().unwrap();
    assert_eq!((stored.machines, stored.jobs), (vec![machine(1)], vec![running]));
    assert_eq!((stored.last_job, stored.last_machine), (2, 1));
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.job(2).unwrap(), Some(done.clone()));
    let filter =
        JobFilter { state: Some(JobState::Failed), machine: Some(1), limit: 5, ..JobFilter::default() };
    assert_eq!(reader.jobs(&filter).unwrap(), vec![done]);
    assert_eq!(reader.machines(0, 5).unwrap(), vec![machine(1)]);
    let failed = reader.counts().unwrap().into_iter().find(|(state, _)| *state == JobState::Failed);
    assert_eq!(failed, Some((JobState::Failed, 1)));
}

#[test]
fn after_an_end_in_peace_everything_is_in_one_file() {
    let state = state();
    let mut store = Sqlite::open(&state.path).unwrap();
    let _reader = store.reader().unwrap();
    store.commit(&[put_machine(machine(1))]).unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(fs::metadata(state.path.join("trigger.db-wal")).map_or(0, |file| file.len()), 0);
}

#[test]
fn numbers_are_not_given_twice() {
    let state = state();
    let mut store = Sqlite::open(&state.path).unwrap();
    store.commit(&[put_machine(machine(9)), put_job(job(7, 3, JobState::Failed))]).unwrap();
    store.commit(&[Change::Forgotten(9)]).unwrap();
    assert_eq!(store.remove(&[7]).unwrap(), [7]);
    drop(store);
    let stored = Sqlite::open(&state.path).unwrap().load().unwrap();
    assert_eq!((stored.last_job, stored.last_machine, stored.machines.len()), (7, 9, 0));
}

#[test]
fn old_jobs_go_but_not_the_newest_of_a_machine() {
    let state = state();
    let mut stores: [Box<dyn Store>; 2] =
        [Box::new(Sqlite::open(&state.path).unwrap()), Box::new(Memory::default())];
    for store in &mut stores {
        let mut changes = vec![put_machine(machine(3))];
        changes.extend([1, 2, 3].map(|id| put_job(job(id, 3, JobState::Succeeded))));
        changes.push(put_job(job(4, 3, JobState::Queued)));
        store.commit(&changes).unwrap();
        let mut reader = store.reader().unwrap();
        assert!(reader.old(3, 9, 10).unwrap().is_empty(), "not old enough");
        assert_eq!(reader.old(4, 9, 1).unwrap().len(), 1);
        assert_eq!(reader.old(4, 9, 10).unwrap(), [1, 2]);
        assert_eq!(
            store.remove(&[2, 1, 3, 4, 77]).unwrap(),
            [2, 1],
            "the newest, the waiting, the unknown stay"
        );
        assert!(store.trim(3, 1).unwrap().is_empty() && store.trim(8, 0).unwrap().is_empty());
        let left = store.reader().unwrap().jobs(&JobFilter { limit: 9, ..JobFilter::default() }).unwrap();
        assert_eq!(left.iter().map(|job| job.id).collect::<Vec<_>>(), [4, 3]);
        assert_eq!(store.trim(3, 0).unwrap(), [3]);
    }
}

#[test]
fn a_commit_that_fails_leaves_nothing() {
    let state = state();
    let mut store = Sqlite::open(&state.path).unwrap();
    store.try_out().unwrap();
    store.fill_up();
    let many: Vec<Change> = (1..2000).map(|id| put_job(job(id, 1, JobState::Queued))).collect();
    let error = store.commit(&many).unwrap_err();
    assert!(matches!(&error, StoreError::Sqlite { .. }), "{error}");
    assert!(error.hint().unwrap().contains("make room"));
    assert!(store.load().unwrap().jobs.is_empty());
}

#[test]
fn a_wrong_clock_makes_no_young_job_old() {
    let state = state();
    let mut stores: [Box<dyn Store>; 2] =
        [Box::new(Sqlite::open(&state.path).unwrap()), Box::new(Memory::default())];
    for store in &mut stores {
        let at = |id, created, finished| {
            put_job(Job { created, finished: Some(finished), ..job(id, 1, JobState::Failed) })
        };
        // The fourth ended while the clock was in 1970, the third while it was far ahead.
        let changes = [at(1, 10, 20), at(2, 110, 120), at(3, 9000, 9010), at(4, 1, 2)];
        store.commit(&changes).unwrap();
        let mut reader = store.reader().unwrap();
        assert_eq!(reader.old(100, 130, 9).unwrap(), [1]);
        assert_eq!(reader.old(150, 200, 9).unwrap(), [4, 1, 2]);
        let kept = store.set_reckoned(77).and_then(|()| store.reckoned()).unwrap();
        assert!(kept.is_none_or(|time| time == 77));
    }
}

#[test]
fn old_jobs_are_found_by_an_index() {
    let state = state();
    drop(Sqlite::open(&state.path).unwrap());
    let connection = rusqlite::Connection::open(state.path.join(FILE)).unwrap();
    for sql in [sqlite::OLD, sqlite::REMOVE] {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let count = plan.parameter_count();
        let steps = plan.query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get(3)).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        // Youngest by number: those that are left in front of it are few.
        let scans: Vec<_> = steps.iter().filter(|step| step.starts_with("SCAN")).collect();
        assert!(scans.is_empty() || sql == sqlite::OLD && scans == ["SCAN job"], "{steps:?}");
        assert!(steps.iter().any(|step| step.contains("machine_last_job")), "{steps:?}");
        assert!(sql != sqlite::OLD || steps.iter().any(|step| step.contains("job_finished")), "{steps:?}");
    }
}

#[test]
fn no_second_server_starts_when_the_lock_file_is_gone() {
    let state = state();
    let _store = Sqlite::open(&state.path).unwrap();
    fs::remove_file(state.path.join("lock")).unwrap();
    assert!(matches!(Sqlite::open(&state.path), Err(StoreError::InUse(_))));
}

#[test]
fn on_a_full_disk_what_has_happened_is_stored_from_the_reserve() {
    let state = state();
    let mut store = Sqlite::open(&state.path).unwrap();
    assert!(store.shortage().is_none() && state.path.join("reserve").exists());
    store.fill_up();
    let many: Vec<Change> = (1..2000).map(|id| put_job(job(id, 1, JobState::Queued))).collect();
    assert!(store.commit(&many).is_err());
    assert!(store.shortage().unwrap().contains("full") && !state.path.join("reserve").exists());
    // Also the trial of a commit fails.
    assert!(store.try_out().is_err() && store.shortage().is_some());
    store.make_room();
    store.try_out().unwrap();
    assert!(store.shortage().is_none() && state.path.join("reserve").exists());
}

#[test]
fn a_damaged_schema_is_told_before_anything_is_written() {
    for (from, to) in [
        ("kind TEXT NOT NULL", "kimd TEXT NOT NULL"),
        ("TABLE meta", "TABLE notes"),
        ("INDEX job_state", "INDEX job_stale"),
    ] {
        let state = state();
        let mut store = Sqlite::open(&state.path).unwrap();
        store.commit(&[put_job(job(1, 1, JobState::Failed))]).unwrap();
        store.close().unwrap();
        drop(store);
        let path = state.path.join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        let at = memchr::memmem::find(&bytes, from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(&path, &bytes).unwrap();
        let error = Sqlite::open(&state.path).unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{from}");
        // A good backup is not written over with it.
        let copy = state.path.join("copy");
        assert!(matches!(backup(&state.path, &copy), Err(StoreError::Damaged { .. })));
        assert!(!copy.exists());
    }
    // Another program's file without a mark, and one of ours that has lost its number.
    for sql in ["CREATE TABLE other (x)", "PRAGMA application_id = 0; CREATE TABLE job (x)"] {
        let state = state();
        fs::create_dir(&state.path).unwrap();
        fs::set_permissions(&state.path, Permissions::from_mode(0o700)).unwrap();
        let path = state.path.join(FILE);
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(matches!(Sqlite::open(&state.path), Err(StoreError::Damaged { .. })), "{sql}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn what_an_administrator_adds_to_the_schema_is_no_damage() {
    let state = state();
    drop(Sqlite::open(&state.path).unwrap());
    let connection = rusqlite::Connection::open(state.path.join(FILE)).unwrap();
    connection.execute_batch("CREATE INDEX own ON job (address); ANALYZE").unwrap();
    drop(connection);
    Sqlite::open(&state.path).unwrap();
}

#[test]
fn a_backup_onto_a_file_of_a_server_is_refused() {
    let place = state();
    let mut store = Sqlite::open(&place.path).unwrap();
    store.commit(&[put_machine(machine(1)), put_job(job(1, 1, JobState::Queued))]).unwrap();
    let other = state();
    let other_store = Sqlite::open(&other.path).unwrap();
    let path = |name: &str| place.path.join(name);
    std::os::unix::fs::symlink(path(FILE), path("link")).unwrap();
    std::os::unix::fs::symlink(&place.path, path("dir")).unwrap();
    std::os::unix::fs::symlink("trigger.db-journal", path("ends nowhere")).unwrap();
    fs::hard_link(path(FILE), path("hard")).unwrap();
    for name in [
        FILE,
        "trigger.db-wal",
        "trigger.db-shm",
        "trigger.db-journal",
        "lock",
        "status-token",
        "reserve",
        "link",
        "hard",
        "dir/trigger.db",
        "dir/dir/trigger.db-wal",
        "ends nowhere",
    ] {
        let error = backup(&place.path, &path(name)).unwrap_err();
        assert!(matches!(error, StoreError::OwnFile(_)), "{name}: {error}");
    }
    // Another server's, while it runs; and where the log of a database would be added to it.
    let theirs = other.path.join(FILE);
    assert!(matches!(backup(&place.path, &theirs), Err(StoreError::OwnFile(_))));
    drop(other_store);
    backup(&place.path, &theirs).unwrap();
    fs::write(other.path.join("trigger.db-wal"), "x").unwrap();
    assert!(matches!(backup(&place.path, &theirs), Err(StoreError::OwnFile(_))));
    assert_eq!(store.load().unwrap().jobs.len(), 1);
}

#[test]
fn the_lock_of_a_server_that_is_ending_is_waited_for() {
    let state = state();
    let store = Sqlite::open(&state.path).unwrap();
    let ending = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        drop(store);
    });
    Sqlite::open(&state.path).unwrap();
    ending.join().unwrap();
}

#[test]
fn a_directory_of_others_or_of_another_server_is_refused() {
    let state = state();
    let store = Sqlite::open(&state.path).unwrap();
    assert!(matches!(Sqlite::open(&state.path), Err(StoreError::InUse(_))));
    drop(store);
    fs::set_permissions(&state.path, Permissions::from_mode(0o750)).unwrap();
    let error = Sqlite::open(&state.path).unwrap_err();
    assert!(error.to_string().ends_with("state is open to other users"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn a_newer_version_is_left_alone() {
    let state = state();
    drop(Sqlite::open(&state.path).unwrap());
    let path = state.path.join(FILE);
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let before = fs::read(&path).unwrap();
    let error = Sqlite::open(&state.path).unwrap_err();
    let known = format!("has format 99, and this cdist knows formats up to {}", MIGRATIONS.len());
    assert!(error.to_string().contains(&known), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn every_older_version_is_brought_up_to_date() {
    for version in 1..MIGRATIONS.len() {
        let state = state();
        fs::create_dir(&state.path).unwrap();
        fs::set_permissions(&state.path, Permissions::from_mode(0o700)).unwrap();
        let old = rusqlite::Connection::open(state.path.join(FILE)).unwrap();
        for migration in &MIGRATIONS[..version] {
            old.execute_batch(migration).unwrap();
        }
        old.execute_batch(&format!(
            "PRAGMA user_version = {version}; PRAGMA application_id = {APPLICATION_ID};
             INSERT INTO job (id, kind, state, machine, address, path, facts, created, attempts, joined, stopping)
             VALUES (5, 'config', 'queued', 1, '10.0.0.1', '', '{{}}', 1, 0, 0, 0)"
        ))
        .unwrap();
        drop(old);
        let mut store = Sqlite::open(&state.path).unwrap();
        assert_eq!(store.load().unwrap().jobs.len(), 1);
        drop(store);
        assert_eq!(Sqlite::open(&state.path).unwrap().load().unwrap().last_job, 5);
    }
}

#[test]
fn a_damaged_file_is_refused_with_the_remedy() {
    let state = state();
    let path = state.path.join(FILE);
    let fill = || {
        let _ = fs::remove_dir_all(&state.path);
        let mut store = Sqlite::open(&state.path).unwrap();
        let many: Vec<Change> = (1..500).map(|id| put_job(job(id, 1, JobState::Failed))).collect();
        store.commit(&many).unwrap();
        store.close().unwrap();
    };
    let refused = |what: &str| {
        let error = Sqlite::open(&state.path).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error}");
        assert!(error.hint().unwrap().contains("cdist trigger backup"));
    };
    fill();
    fs::write(
        &path,
        "no database at all, but some text that is longer than a header of SQLite would be, so there\n",
    )
    .unwrap();
    refused("text");
    fill();
    let length = fs::metadata(&path).unwrap().len();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(length / 2)).unwrap();
    file.write_all(&[0xff; 9000]).unwrap();
    refused("bytes in the middle");
    fill();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    refused("cut off");
    fill();
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA application_id = 7").unwrap();
    refused("of another program");
}

#[test]
fn a_backup_is_whole_while_the_server_works_and_can_be_used() {
    let state = state();
    let mut store = Sqlite::open(&state.path).unwrap();
    store.commit(&[put_machine(machine(1)), put_job(job(1, 1, JobState::Queued))]).unwrap();
    let to = state.path.join("copy");
    backup(&state.path, &to).unwrap();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    store.commit(&[put_job(job(2, 1, JobState::Queued))]).unwrap();
    // Over an older one, but over nothing else.
    backup(&state.path, &to).unwrap();
    fs::write(state.path.join("letter"), "dear all").unwrap();
    let error = backup(&state.path, &state.path.join("letter")).unwrap_err();
    assert!(error.to_string().contains("is no backup"), "{error}");
    assert_eq!(fs::read(state.path.join("letter")).unwrap(), b"dear all");

    let restored = state.path.join("restored");
    drop(Sqlite::open(&restored).unwrap());
    fs::copy(&to, restored.join(FILE)).unwrap();
    assert_eq!(Sqlite::open(&restored).unwrap().load().unwrap().jobs.len(), 2);
    assert!(backup(&state.path.join("none"), &to).is_err());
}
