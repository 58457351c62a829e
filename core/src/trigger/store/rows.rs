//! Rows of the database, as the ledger knows them.

use std::str::FromStr;

use rusqlite::{Row, Statement, params, types::Type};
use serde::{Serialize, de::DeserializeOwned};

use crate::trigger::job::{Job, Machine};

pub(super) const MACHINE_COLUMNS: &str = "id, mac, address, facts, first_seen, last_seen, install, installed, armed_until, last_job, keys, places, has_lost_address";
pub(super) const PUT_MACHINE: &str = "INSERT INTO machine (id, mac, address, facts, first_seen, last_seen, install,
        installed, armed_until, last_job, keys, places, has_lost_address)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
    ON CONFLICT (id) DO UPDATE SET mac = ?2, address = ?3, facts = ?4, first_seen = ?5, last_seen = ?6, install = ?7,
        installed = ?8, armed_until = ?9, last_job = ?10, keys = ?11, places = ?12, has_lost_address = ?13";
pub(super) const JOB_COLUMNS: &str = "id, kind, state, machine, address, path, facts, created, started, finished, \
     attempts, not_before, joined, stopping, report, note, armed";
pub(super) const PUT_JOB: &str = "INSERT INTO job (id, kind, state, machine, address, path, facts, created, started,
        finished, attempts, not_before, joined, stopping, report, note, armed)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
    ON CONFLICT (id) DO UPDATE SET kind = ?2, state = ?3, machine = ?4, address = ?5, path = ?6, facts = ?7, created = ?8,
        started = ?9, finished = ?10, attempts = ?11, not_before = ?12, joined = ?13, stopping = ?14, report = ?15, note = ?16,
        armed = ?17";

pub(super) fn put_machine(statement: &mut Statement<'_>, machine: &Machine) -> rusqlite::Result<()> {
    statement
        .execute((
            machine.id,
            &machine.mac,
            machine.address.as_str(),
            json(&machine.facts)?,
            machine.first_seen,
            machine.last_seen,
            machine.install.map(crate::trigger::job::JobState::name),
            machine.installed,
            machine.armed_until,
            machine.last_job,
            json(&machine.keys)?,
            json(&machine.places)?,
            machine.has_lost_address,
        ))
        .map(drop)
}

pub(super) fn put_job(statement: &mut Statement<'_>, job: &Job) -> rusqlite::Result<()> {
    statement
        .execute(params![
            job.id,
            job.kind.name(),
            job.state.name(),
            job.machine,
            job.address.as_str(),
            job.path,
            json(&job.facts)?,
            job.created,
            job.started,
            job.finished,
            job.attempts,
            job.not_before,
            job.joined,
            job.stopping,
            job.report.as_ref().map(json).transpose()?,
            job.note,
            json(&job.armed)?,
        ])
        .map(drop)
}

pub(super) fn machine(row: &Row<'_>) -> rusqlite::Result<Machine> {
    Ok(Machine {
        id: row.get(0)?,
        mac: row.get(1)?,
        address: word(&row.get::<_, String>(2)?, 2)?,
        facts: from_json(row, 3)?,
        first_seen: row.get(4)?,
        last_seen: row.get(5)?,
        install: row.get::<_, Option<String>>(6)?.map(|name| word(&name, 6)).transpose()?,
        installed: row.get(7)?,
        armed_until: row.get(8)?,
        last_job: row.get(9)?,
        keys: from_json(row, 10)?,
        places: from_json(row, 11)?,
        has_lost_address: row.get(12)?,
    })
}

pub(super) fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        id: row.get(0)?,
        kind: word(&row.get::<_, String>(1)?, 1)?,
        state: word(&row.get::<_, String>(2)?, 2)?,
        machine: row.get(3)?,
        address: word(&row.get::<_, String>(4)?, 4)?,
        path: row.get(5)?,
        facts: from_json(row, 6)?,
        created: row.get(7)?,
        started: row.get(8)?,
        finished: row.get(9)?,
        attempts: row.get(10)?,
        not_before: row.get(11)?,
        joined: row.get(12)?,
        stopping: row.get(13)?,
        report: match row.get_ref(14)?.as_str_or_null().map_err(rusqlite::Error::from)? {
            Some(_) => Some(from_json(row, 14)?),
            None => None,
        },
        note: row.get(15)?,
        armed: from_json(row, 16)?,
    })
}

pub(super) fn json(value: &(impl Serialize + ?Sized)) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

fn word<T>(name: &str, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    name.parse().map_err(|error| unreadable(column, error))
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
