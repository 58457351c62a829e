//! Gencode: scripts on this machine whose output is the code of an object.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::Path,
};

use super::forked::Forks;
use crate::{
    config::{
        code::Side, declare::object::ObjectName, engine::Engine, error::ConfigError, stage::end_with_newline,
    },
    connector::Output,
};

impl Engine {
    /// Makes the code of an object for one place. True if there is any; without output there is no file.
    pub(in crate::config) async fn generate_code(
        &self,
        object: &ObjectName,
        side: Side,
        forks: &mut Forks,
    ) -> Result<bool, ConfigError> {
        let dir = self.stage.object_dir(object);
        let code = dir.join(side.code());
        let Some(script) = self.stage.type_of(object).script(side.gencode()) else {
            return if side == Side::Remote { take_left_code(&code) } else { Ok(false) };
        };
        let writing = || format!("writing {}", code.display());
        let plain = self.plain(forks, &script);
        let written = if plain.is_some() { self.scratch(forks)? } else { code.clone() };
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&written);
        let file = file.map_err(ConfigError::io(writing()))?;
        let messages = self.messages_of(forks, plain.as_ref(), &object.full())?;
        let mut variables = self.object_variables(object);
        variables.push(("__messages_in", messages.input.as_os_str().to_owned()));
        variables.push(("__messages_out", messages.output.as_os_str().to_owned()));
        variables.extend(self.log_server_variables());
        let result = if let Some(script) = &plain {
            let stderr = dir.join("stderr").join(side.gencode());
            self.run_plain(forks, script, &variables, &written, &stderr).await
        } else {
            let copy = file.try_clone().map_err(ConfigError::io(writing()))?;
            let stdout = Output::Limited(copy, self.run.output_limit.quota());
            let stderr = self.output(&dir, "stderr", side.gencode())?;
            self.run_script(&script, variables, stdout, stderr).await
        };
        let collected = messages.collect();
        let length = match &result {
            Ok(()) => end_with_newline(file).map_err(ConfigError::io(writing()))?,
            Err(_) => 0,
        };
        if plain.is_some() {
            forks.give_back(messages);
            if length > 0 {
                fs::rename(&written, &code).map_err(ConfigError::io(writing()))?;
            }
        } else if length == 0 {
            fs::remove_file(&code).map_err(ConfigError::io(format!("removing {}", code.display())))?;
        }
        result?;
        collected?;
        if length == 0 {
            return Ok(false);
        }
        is_code(&code)
    }
}

/// Code for the target that gencode-local of a type without gencode-remote has left. True if there is any; what is empty goes.
fn take_left_code(code: &Path) -> Result<bool, ConfigError> {
    let file = match OpenOptions::new().read(true).write(true).open(code) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file.map_err(ConfigError::io(format!("reading {}", code.display())))?,
    };
    if end_with_newline(file).map_err(ConfigError::io(format!("writing {}", code.display())))? == 0 {
        fs::remove_file(code).map_err(ConfigError::io(format!("removing {}", code.display())))?;
        return Ok(false);
    }
    is_code(code)
}

/// Lines without anything on them are no code, although they are kept.
fn is_code(code: &Path) -> Result<bool, ConfigError> {
    File::open(code)
        .and_then(has_more_than_newlines)
        .map_err(ConfigError::io(format!("reading {}", code.display())))
}

/// Looks at as much of a file as it takes; code may be longer than the memory.
fn has_more_than_newlines(mut file: File) -> io::Result<bool> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = file.read(&mut buffer)?;
        match buffer.get(..length) {
            Some(part) if part.iter().any(|&b| b != b'\n') => return Ok(true),
            Some(part) if !part.is_empty() => {}
            _ => return Ok(false),
        }
    }
}
