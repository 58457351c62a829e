//! The format of the database, version by version. A version is never changed once it was released; a later one is added.

/// Statements that lead from each version to the next one, from an empty file on.
pub(super) const MIGRATIONS: &[&str] = &[
    // 1: numbers are never given twice, also after the highest is gone; so AUTOINCREMENT.
    "CREATE TABLE machine (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        mac TEXT,
        address TEXT NOT NULL,
        facts TEXT NOT NULL,
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        install TEXT,
        installed INTEGER,
        armed_until INTEGER,
        last_job INTEGER
    ) STRICT;
    CREATE TABLE job (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        machine INTEGER NOT NULL,
        address TEXT NOT NULL,
        path TEXT NOT NULL,
        facts TEXT NOT NULL,
        created INTEGER NOT NULL,
        started INTEGER,
        finished INTEGER,
        attempts INTEGER NOT NULL,
        not_before INTEGER,
        joined INTEGER NOT NULL,
        stopping INTEGER NOT NULL,
        report TEXT,
        note TEXT
    ) STRICT;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;",
    // 2: the active jobs at a start, and lists by state or machine.
    "CREATE INDEX job_state ON job (state, id);
     CREATE INDEX job_machine ON job (machine, id);",
    // 3: what stands for a machine, where it is protected, the ssh host keys that it told last (JSON lists); arms that a job
    // has used up. The key of UUID and serial number is made of the facts when they are read.
    "ALTER TABLE machine ADD COLUMN keys TEXT NOT NULL DEFAULT '[]';
     ALTER TABLE machine ADD COLUMN places TEXT NOT NULL DEFAULT '[]';
     ALTER TABLE machine ADD COLUMN host_keys TEXT;
     ALTER TABLE job ADD COLUMN armed TEXT NOT NULL DEFAULT '[]';
     UPDATE machine SET keys = json_array(mac) WHERE mac IS NOT NULL;
     UPDATE machine SET places = json_array(address) WHERE install IN ('succeeded', 'interrupted', 'cancelled');",
    // 4: old jobs, but for the newest one of each machine.
    "CREATE INDEX job_finished ON job (finished) WHERE finished IS NOT NULL;
     CREATE INDEX machine_last_job ON machine (last_job);",
    // 5: another machine has called from the last address of a machine.
    "ALTER TABLE machine ADD COLUMN has_lost_address INTEGER NOT NULL DEFAULT 0;",
];
