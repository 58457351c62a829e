//! Standard output, for all that the commands print there.

use std::io::{self, Write};

use crate::terminal::failure::Failure;

/// Lets `print` write to standard output, and sees that all of it arrives.
///
/// # Errors
///
/// Standard output cannot be written to. A reader that went away early is no error; see [`arrived`].
pub(crate) fn write(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    // What is after the last line end would be written at the end of the process, where a failure has no effect.
    arrived(print(&mut out).and_then(|()| out.flush()))
}

/// Prints `text`.
///
/// # Errors
///
/// As of [`write`].
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write(|out| out.write_all(text.as_bytes())).map_err(|error| Failure::from_error(&error))
}

/// The end of what others have printed to standard output; `printed` is how that went.
///
/// # Errors
///
/// As of [`write`].
pub(crate) fn finish(printed: io::Result<()>) -> Result<(), Failure> {
    write(|_| printed).map_err(|error| Failure::from_error(&error))
}

/// What a failure to write to standard output means: a command that cannot say what it was asked for has failed. But a
/// reader that goes away early, as head(1) does, has read enough.
///
/// # Errors
///
/// Standard output cannot be written to, in one sentence.
fn arrived(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("writing to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_that_has_read_enough_is_no_failure() {
        arrived(Ok(())).unwrap();
        arrived(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        let full = io::Error::from(nix::errno::Errno::ENOSPC);
        let told = cdist_core::chain(&arrived(Err(full)).unwrap_err());
        assert_eq!(told, "writing to standard output: No space left on device (os error 28)");
    }
}
