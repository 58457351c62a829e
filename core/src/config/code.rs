//! The two sides on which the code of an object runs, and the names of its files.

/// Where code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// On this machine.
    Local,
    /// On the target.
    Remote,
}

impl Side {
    /// The script that makes the code.
    pub(super) fn gencode(self) -> &'static str {
        match self {
            Self::Local => "gencode-local",
            Self::Remote => "gencode-remote",
        }
    }

    /// The file that holds the code.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Local => "code-local",
            Self::Remote => "code-remote",
        }
    }
}
