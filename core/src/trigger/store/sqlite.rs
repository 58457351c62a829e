//! The store in a SQLite file, in WAL mode: one connection writes, others read meanwhile.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, config::DbConfig, params_from_iter, types::Value};

use super::{
    Counts, JobFilter, Reader, Store, StoreError,
    migrations::MIGRATIONS,
    reserve::Reserve,
    rows::{self, JOB_COLUMNS, MACHINE_COLUMNS, PUT_JOB, PUT_MACHINE},
    schema::{self, APPLICATION_ID, failed},
};
use crate::{
    chain,
    host::{
        atomic::{TemporaryDir, sync_parent},
        parent_of,
    },
    trigger::{
        job::{Job, JobId, JobState, Machine, MachineId, Millis},
        ledger::{Change, Stored},
        state_dir,
    },
};

/// The database in the state directory.
pub const FILE: &str = state_dir::DATABASE;
/// Files up to this size are looked through at each start.
const SMALL: u64 = 16 * 1024 * 1024;
/// Files up to this size are looked through after a crash. Larger ones take too long, and SQLite's log brings them through
/// a crash; what is damaged all the same is found when it is read.
const LARGE: u64 = 512 * 1024 * 1024;
/// How long a reader waits for a writer that is at a checkpoint.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a start waits for the lock of a server that has been killed.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// The key in `meta` of the time that pruning goes by.
const RECKONED: &str = "reckoned";
/// The store of a server. No other server can open its state directory meanwhile.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: Connection,
    reserve: Reserve,
    /// Why the reserve is in use.
    shortage: Option<String>,
    _locks: [Flock<File>; 2],
}

impl Sqlite {
    /// Opens the database of a state directory, and makes both if they are missing.
    ///
    /// # Errors
    ///
    /// The directory belongs to another user or to another server, or cannot be written to; the database is damaged or
    /// newer than this program.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        make_state_dir(state_dir)?;
        let locks = lock(state_dir)?;
        let path = state_dir.join(FILE);
        let connection = Connection::open(&path).map_err(failed("opening the database", &path))?;
        let reserve = Reserve::new(state_dir);
        let mut store = Self { path, connection, reserve, shortage: None, _locks: locks };
        store.prepare()?;
        store.shortage = store.take_reserve().err().map(|error| chain(&error));
        Ok(store)
    }

    fn prepare(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let failed = || failed("opening the database", &path);
        let size = fs::metadata(&path).map_or(0, |file| file.len());
        let connection = &mut self.connection;
        connection.set_prepared_statement_cache_capacity(32);
        // Until it is known to be whole, nothing is written to the file, not even what its log holds.
        let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        connection.set_db_config(keep_log, true).map_err(failed())?;
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        let found = schema::version(connection, &path)?;
        if found > 0 {
            let clean = connection
                .query_row("SELECT 1 FROM meta WHERE key = 'clean'", [], |_| Ok(()))
                .optional()
                .map_err(failed())?
                // The mark that a server leaves when it ends as it should.
                .is_some();
            if size <= SMALL || (!clean && size <= LARGE) {
                schema::quick_check(connection, &path)?;
            }
        }
        connection.set_db_config(keep_log, false).map_err(failed())?;
        // A commit returns when the log is on disk. The log starts over at 1000 pages.
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;")
            .map_err(failed())?;
        if found < known {
            let transaction = connection.transaction().map_err(failed())?;
            for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
                transaction.execute_batch(migration).map_err(failed())?;
            }
            transaction
                .execute_batch(&format!(
                    "PRAGMA user_version = {known}; PRAGMA application_id = {APPLICATION_ID};"
                ))
                .map_err(failed())?;
            transaction.commit().map_err(failed())?;
        }
        // Also finds out whether it can be written to.
        connection.execute_batch("DELETE FROM meta WHERE key = 'clean'").map_err(failed())
    }

    fn take_reserve(&mut self) -> Result<(), StoreError> {
        let doing = || format!("reserving room for the database {}", self.path.display());
        self.reserve.take().map_err(|source| StoreError::Io { doing: doing(), source })
    }

    /// All of `changes` in one transaction.
    fn write(&mut self, changes: &[Change]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut machines = transaction.prepare_cached(PUT_MACHINE)?;
            let mut jobs = transaction.prepare_cached(PUT_JOB)?;
            for change in changes {
                match change {
                    Change::Machine(machine) => rows::put_machine(&mut machines, machine)?,
                    Change::Job(job) => rows::put_job(&mut jobs, job)?,
                    Change::Forgotten(id) | Change::Evicted(id) => {
                        transaction.prepare_cached("DELETE FROM machine WHERE id = ?1")?.execute([id])?;
                    }
                    Change::Merged { from, into } => {
                        transaction.prepare_cached("DELETE FROM machine WHERE id = ?1")?.execute([from])?;
                        transaction
                            .prepare_cached("UPDATE job SET machine = ?2 WHERE machine = ?1")?
                            .execute([from, into])?;
                    }
                    Change::HostKeys(id, keys) => {
                        transaction
                            .prepare_cached("UPDATE machine SET host_keys = ?2 WHERE id = ?1")?
                            .execute((id, rows::json(keys)?))?;
                    }
                }
            }
        }
        transaction.commit()
    }

    /// From now on there is no room for anything more.
    #[cfg(test)]
    pub(super) fn fill_up(&self) {
        self.connection.execute_batch("PRAGMA max_page_count = 1").unwrap();
    }

    /// There is room again.
    #[cfg(test)]
    pub(super) fn make_room(&self) {
        self.connection.execute_batch("PRAGMA max_page_count = 1000000").unwrap();
    }

    fn failed(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        failed(doing, &self.path)
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Stored, StoreError> {
        let failed = self.failed("reading the database");
        let machines =
            query(&self.connection, &format!("SELECT {MACHINE_COLUMNS} FROM machine"), &[], rows::machine)
                .map_err(&failed)?;
        let active =
            format!("SELECT {JOB_COLUMNS} FROM job WHERE state IN ('queued', 'running') ORDER BY id");
        let jobs = query(&self.connection, &active, &[], rows::job).map_err(&failed)?;
        let last = |table: &str| {
            self.connection
                .query_row("SELECT seq FROM sqlite_sequence WHERE name = ?1", [table], |row| row.get(0))
                .optional()
                .map(Option::unwrap_or_default)
        };
        let (last_job, last_machine) = (last("job").map_err(&failed)?, last("machine").map_err(&failed)?);
        Ok(Stored { machines, jobs, last_job, last_machine })
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let failed = self.failed("writing to the database");
        match self.write(changes).map_err(&failed) {
            // What is reserved is for this: what has happened already is stored, and what is new is refused until there is
            // room again.
            Err(error) if error.lacks_room() && self.reserve.give_back() => {
                self.shortage = Some(chain(&error));
                tracing::error!("{}; the last reserve is used, and nothing new is accepted", chain(&error));
                self.write(changes).map_err(failed)
            }
            written => written,
        }
    }

    fn try_out(&mut self) -> Result<(), StoreError> {
        // A transaction that writes nothing always works.
        self.connection
            .execute_batch("INSERT OR REPLACE INTO meta VALUES ('tried out', hex(zeroblob(16384)))")
            .map_err(self.failed("writing to the database"))?;
        self.take_reserve()?;
        self.shortage = None;
        Ok(())
    }

    fn shortage(&self) -> Option<&str> {
        self.shortage.as_deref()
    }

    fn rest(&mut self) {
        // The log takes no room while nothing happens. A reader may be in the way; then it is done the next time.
        let written = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = written {
            tracing::debug!("writing the log of the database back: {error}");
        }
    }

    fn reckoned(&mut self) -> Result<Option<Millis>, StoreError> {
        let sql = "SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?1";
        let found = query(&self.connection, sql, &[RECKONED.to_owned().into()], |row| row.get(0));
        Ok(found.map_err(self.failed("reading the database"))?.pop())
    }

    fn set_reckoned(&mut self, time: Millis) -> Result<(), StoreError> {
        let values = [RECKONED.to_owned().into(), time.to_string().into()];
        let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2) RETURNING 1";
        let kept = query(&self.connection, sql, &values, |row| row.get::<_, i64>(0));
        kept.map(drop).map_err(self.failed("writing to the database"))
    }

    fn remove(&mut self, jobs: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        let failed = self.failed("writing to the database");
        let mut work = || -> rusqlite::Result<Vec<JobId>> {
            let transaction = self.connection.transaction()?;
            let mut removed = Vec::new();
            for job in jobs {
                removed.extend(query(&transaction, REMOVE, &[(*job).into()], |row| row.get::<_, JobId>(0))?);
            }
            transaction.commit()?;
            Ok(removed)
        };
        work().map_err(failed)
    }

    fn trim(&mut self, machine: MachineId, keep: usize) -> Result<Vec<JobId>, StoreError> {
        let failed = self.failed("writing to the database");
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let sql = "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE machine = ?1
                AND state NOT IN ('queued', 'running') ORDER BY id DESC LIMIT -1 OFFSET ?2) RETURNING id";
        query(&self.connection, sql, &[machine.into(), keep.into()], |row| row.get(0)).map_err(failed)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        let connection = read_only(&self.path).map_err(self.failed("opening the database"))?;
        Ok(Box::new(SqliteReader { path: self.path.clone(), connection }))
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.connection
            // All of it in one file: a backup is restored without a log beside it.
            .execute_batch(
                "INSERT OR REPLACE INTO meta VALUES ('clean', '1'); PRAGMA wal_checkpoint(TRUNCATE)",
            )
            .map_err(self.failed("writing to the database"))
    }
}

/// A job that has ended meanwhile is no machine's newest one, or it stays.
pub(super) const REMOVE: &str = "DELETE FROM job WHERE id = ?1 AND state NOT IN ('queued', 'running')
    AND NOT EXISTS (SELECT 1 FROM machine WHERE last_job = job.id) RETURNING id";

/// Numbers are given in the order of time. So a job with a higher number than one that was made lately is not old, whatever
/// a clock said that was wrong when it ended.
pub(super) const OLD: &str = "SELECT id FROM job WHERE finished < ?1 AND state NOT IN ('queued', 'running')
    AND NOT EXISTS (SELECT 1 FROM machine WHERE last_job = job.id)
    AND id < coalesce((SELECT id FROM job WHERE created BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1), 0x7fffffffffffffff)
    ORDER BY finished LIMIT ?3";

/// A connection that reads.
struct SqliteReader {
    path: PathBuf,
    connection: Connection,
}

impl SqliteReader {
    fn all<T>(
        &self,
        sql: &str,
        values: &[Value],
        read: fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        query(&self.connection, sql, values, read).map_err(failed("reading the database", &self.path))
    }
}

impl Reader for SqliteReader {
    fn job(&mut self, id: JobId) -> Result<Option<Job>, StoreError> {
        let sql = format!("SELECT {JOB_COLUMNS} FROM job WHERE id = ?1");
        Ok(self.all(&sql, &[id.into()], rows::job)?.pop())
    }

    fn jobs(&mut self, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
        let mut values: Vec<Value> = Vec::new();
        let mut sql = format!("SELECT {JOB_COLUMNS} FROM job WHERE TRUE");
        let mut and = |condition: &str, value: Option<Value>| {
            if let Some(value) = value {
                values.push(value);
                sql.push_str(&format!(" AND {condition} ?{}", values.len()));
            }
        };
        and("state =", filter.state.map(|state| state.name().to_owned().into()));
        and("kind =", filter.kind.map(|kind| kind.name().to_owned().into()));
        and("machine =", filter.machine.map(Into::into));
        and("id <", filter.before.map(Into::into));
        sql.push_str(&format!(" ORDER BY id DESC LIMIT {}", filter.limit));
        self.all(&sql, &values, rows::job)
    }

    fn host_keys(&mut self, machine: MachineId) -> Result<Option<Vec<String>>, StoreError> {
        let sql = "SELECT host_keys FROM machine WHERE id = ?1 AND host_keys IS NOT NULL";
        Ok(self.all(sql, &[machine.into()], |row| rows::from_json(row, 0))?.pop())
    }

    fn machine(&mut self, id: MachineId) -> Result<Option<Machine>, StoreError> {
        let sql = format!("SELECT {MACHINE_COLUMNS} FROM machine WHERE id = ?1");
        Ok(self.all(&sql, &[id.into()], rows::machine)?.pop())
    }

    fn machines(&mut self, after: MachineId, limit: usize) -> Result<Vec<Machine>, StoreError> {
        let sql = format!("SELECT {MACHINE_COLUMNS} FROM machine WHERE id > ?1 ORDER BY id LIMIT {limit}");
        self.all(&sql, &[after.into()], rows::machine)
    }

    fn old(&mut self, before: Millis, now: Millis, limit: usize) -> Result<Vec<JobId>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all(OLD, &[before.into(), now.into(), limit.into()], |row| row.get(0))
    }

    fn counts(&mut self) -> Result<Counts, StoreError> {
        let count = |state: JobState| {
            let sql = "SELECT count(*) FROM job WHERE state = ?1";
            let found = self.all(sql, &[state.name().to_owned().into()], |row| row.get::<_, i64>(0))?;
            Ok((state, found.first().map_or(0, |count| u64::try_from(*count).unwrap_or(0))))
        };
        JobState::ALL.into_iter().map(count).collect()
    }
}

/// Copies the database of a state directory to a file while a server may be using it. The file is whole or absent.
///
/// # Errors
///
/// There is no database, it is damaged, or the file cannot be written. A file that is no backup is not written over, and
/// neither is one that belongs to a server, by whatever path.
pub fn backup(state_dir: &Path, to: &Path) -> Result<(), StoreError> {
    let path = state_dir.join(FILE);
    let io = |doing: String| move |source| StoreError::Io { doing, source };
    if !path.exists() {
        let source = io::Error::from(Errno::ENOENT);
        return Err(io(format!("opening the database {}", path.display()))(source));
    }
    if belongs_to_a_server(to, state_dir) {
        return Err(StoreError::OwnFile(to.to_owned()));
    }
    if to.symlink_metadata().is_ok() && !is_ours(to) {
        return Err(StoreError::NoBackup(to.to_owned()));
    }
    let source = read_only(&path).map_err(failed("opening the database", &path))?;
    let place =
        TemporaryDir::beside(to).map_err(io(format!("making a directory beside {}", to.display())))?;
    let copy = place.path().join(FILE);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&copy)
        .map_err(io(format!("making {}", copy.display())))?;
    let work = || -> rusqlite::Result<Connection> {
        let mut target = Connection::open(&copy)?;
        // In one step: each commit between two would make it begin anew.
        rusqlite::backup::Backup::new(&source, &mut target)?.run_to_completion(
            i32::MAX,
            Duration::ZERO,
            None,
        )?;
        // One file, without a log beside it.
        target.execute_batch("PRAGMA journal_mode = DELETE")?;
        Ok(target)
    };
    let target = work().map_err(failed("copying the database", &path))?;
    // A copy of what is damaged must not take the place of a good one.
    if schema::version(&target, &path)? > 0 {
        schema::quick_check(&target, &path)?;
    }
    drop(target);
    let moved = File::open(&copy).and_then(|file| file.sync_all());
    let moved = moved.and_then(|()| fs::rename(&copy, to)).and_then(|()| sync_parent(to));
    moved.map_err(io(format!("writing {}", to.display())))
}

/// True if `to` is, or would be, a file of the server whose state directory is `state_dir`, or the database of another
/// server that runs; by links as well. So is what has a log beside it: SQLite would add that log to the backup.
fn belongs_to_a_server(to: &Path, state_dir: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let beside = |suffix: &str| {
        let mut path = to.as_os_str().to_owned();
        path.push(suffix);
        fs::symlink_metadata(path).is_ok()
    };
    let target = identity(to);
    if target.is_some() && state_dir::OWN_FILES.iter().any(|name| identity(&state_dir.join(name)) == target) {
        return true;
    }
    // Where a link leads to that ends nowhere yet.
    let end = fs::read_link(to).map_or_else(|_| to.to_owned(), |link| parent_of(to).join(link));
    let is_own_name = end.file_name().is_some_and(|name| state_dir::OWN_FILES.iter().any(|own| name == *own));
    let parent = parent_of(&end);
    is_own_name && (identity(parent) == identity(state_dir) || is_in_use(parent))
        || beside("-wal")
        || beside("-journal")
}

/// True while a server uses a state directory.
fn is_in_use(dir: &Path) -> bool {
    let lock = |file| Flock::lock(file, FlockArg::LockExclusiveNonblock);
    File::open(dir).is_ok_and(|file| matches!(lock(file), Err((_, Errno::EAGAIN))))
}

/// True for a database with our mark, which is at byte 68 of its header (<https://sqlite.org/fileformat2.html>).
fn is_ours(path: &Path) -> bool {
    use std::io::Read;
    let mut header = [0; 72];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok()
        && header.starts_with(b"SQLite format 3\0")
        && header.ends_with(&APPLICATION_ID.to_be_bytes())
}

fn query<T>(
    connection: &Connection,
    sql: &str,
    values: &[Value],
    read: fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params_from_iter(values), read)?;
    rows.collect()
}

fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

/// A directory that only this user can read and write.
fn make_state_dir(dir: &Path) -> Result<(), StoreError> {
    let io = |doing: &str| {
        let doing = format!("{doing} the state directory {}", dir.display());
        move |source| StoreError::Io { doing, source }
    };
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(io("making"))?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io("making")(error)),
        _ => {}
    }
    let found = fs::metadata(dir).map_err(io("looking at"))?;
    let unsafe_dir = |what| Err(StoreError::Unsafe { path: dir.to_owned(), what });
    if !found.is_dir() {
        return unsafe_dir("is no directory");
    }
    if found.uid() != nix::unistd::geteuid().as_raw() {
        return unsafe_dir("belongs to another user");
    }
    if found.mode() & 0o077 != 0 {
        return unsafe_dir("is open to other users");
    }
    Ok(())
}

/// The file `lock`, which earlier versions know, and the directory itself, which cannot be deleted while a server uses it.
fn lock(dir: &Path) -> Result<[Flock<File>; 2], StoreError> {
    let path = dir.join("lock");
    let opening =
        |path: &Path, source| StoreError::Io { doing: format!("opening {}", path.display()), source };
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.map_err(|source| opening(&path, source))?;
    let itself = File::open(dir).map_err(|source| opening(dir, source))?;
    let end = Instant::now() + LOCK_PATIENCE;
    Ok([lock_until(end, file, dir)?, lock_until(end, itself, dir)?])
}

fn lock_until(end: Instant, mut file: File, dir: &Path) -> Result<Flock<File>, StoreError> {
    // A child that a killed server was about to start holds its lock until it is the program to start.
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EAGAIN)) if Instant::now() < end => file = back,
            Err((_, Errno::EAGAIN)) => return Err(StoreError::InUse(dir.to_owned())),
            Err((_, errno)) => {
                let doing = format!("locking {}", dir.display());
                return Err(StoreError::Io { doing, source: errno.into() });
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}
