//! The names of the server's files in its state directory, besides the directories of jobs and keys.

/// The database.
pub const DATABASE: &str = "trigger.db";
/// The socket for the command line.
pub const SOCKET: &str = "socket";
/// The token that the server makes for itself.
pub const TOKEN: &str = "status-token";
/// Space on the disk that is given back when the disk is full.
pub const RESERVE: &str = "reserve";
/// All of them, with those that SQLite makes beside the database. A backup must not take one of these names, whether there is
/// such a file now or not.
pub const OWN_FILES: [&str; 8] =
    [DATABASE, "trigger.db-wal", "trigger.db-shm", "trigger.db-journal", "lock", SOCKET, TOKEN, RESERVE];
