//! Whether a file is a database of ours, and whole, found out without writing to it.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::{StoreError, migrations::MIGRATIONS};

/// `PRAGMA application_id` of our files: "cdst".
pub const APPLICATION_ID: i32 = 0x6364_7374;

/// The format of a database: 0 for a new file. Every table and index of that format is there as it was made; what else an
/// administrator has added is left alone.
///
/// # Errors
///
/// It is damaged, belongs to another program, or its format is newer than this program.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let failed = || failed("opening the database", path);
    let number =
        |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0)).map_err(failed());
    let (found, id) = (number("PRAGMA user_version")?, number("PRAGMA application_id")?);
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if id != i64::from(APPLICATION_ID) && (found != 0 || id != 0) {
        return Err(damaged(path, "it belongs to another program"));
    }
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    let there = objects(connection).map_err(failed())?;
    let Some(steps) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(..found)) else {
        return Err(damaged(path, "its format is no number of a format"));
    };
    if found == 0 {
        // A file that was made and never filled. With anything in it, it is no file of ours, or has lost its number.
        return if there.is_empty() { Ok(0) } else { Err(damaged(path, "it has tables, and no format")) };
    }
    let model = Connection::open_in_memory().and_then(|model| {
        steps.iter().try_for_each(|step| model.execute_batch(step))?;
        objects(&model)
    });
    for (kind, name, sql) in model.map_err(failed())? {
        if !there.contains(&(kind.clone(), name.clone(), sql)) {
            return Err(damaged(
                path,
                &format!("the {kind} {name} is missing or is not that of format {found}"),
            ));
        }
    }
    Ok(found)
}

/// Looks through the whole file.
///
/// # Errors
///
/// It is damaged.
pub(super) fn quick_check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let said: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(failed("opening the database", path))?;
    if said == "ok" { Ok(()) } else { Err(damaged(path, &said)) }
}

/// Kind, name and statement of everything in a schema.
fn objects(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let mut statement = connection.prepare("SELECT type, name, sql FROM sqlite_schema")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

/// The error of the store for one of SQLite, which tells what is damaged.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| match (source.sqlite_error_code(), &source) {
        (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), _)
        | (_, rusqlite::Error::FromSqlConversionFailure(..)) => damaged(&path, &source.to_string()),
        _ => StoreError::Sqlite { doing, path: path.clone(), source },
    }
}

pub(super) fn damaged(path: &Path, detail: &str) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
        detail: detail.lines().next().unwrap_or_default().to_owned(),
    }
}
