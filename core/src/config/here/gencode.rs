//! Gencode: scripts on this machine whose output is the code of an object.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
};

use crate::{
    config::{
        code::Place, declare::object::ObjectName, engine::Engine, error::ConfigError, stage::end_with_newline,
    },
    connector::Output,
};

impl Engine {
    /// Makes the code of an object for one place. True if there is any; without output there is no file.
    pub(in crate::config) async fn generate_code(
        &self,
        object: &ObjectName,
        place: Place,
    ) -> Result<bool, ConfigError> {
        let Some(script) = self.stage.type_of(object).script(place.gencode()) else { return Ok(false) };
        let dir = self.stage.object_dir(object);
        let code = dir.join(place.code());
        let writing = || format!("writing {}", code.display());
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&code);
        let file = file.map_err(ConfigError::io(writing()))?;
        let copy = file.try_clone().map_err(ConfigError::io(writing()))?;
        let stdout = Output::Limited(copy, self.run.output_limit.quota());
        let messages = self.open_messages(&object.full())?;
        let mut variables = self.object_variables(object);
        variables.push(("__messages_in", messages.input.as_os_str().to_owned()));
        variables.push(("__messages_out", messages.output.as_os_str().to_owned()));
        variables.extend(self.log_server_variables());
        let stderr = self.output(&dir, "stderr", place.gencode())?;
        let result = self.run_script(&script, variables, stdout, stderr).await;
        let collected = messages.collect();
        let length = match &result {
            Ok(()) => end_with_newline(file).map_err(ConfigError::io(writing()))?,
            Err(_) => 0,
        };
        if length == 0 {
            fs::remove_file(&code).map_err(ConfigError::io(format!("removing {}", code.display())))?;
        }
        result?;
        collected?;
        if length == 0 {
            return Ok(false);
        }
        // Lines without anything on them are no code, although they are kept.
        File::open(&code)
            .and_then(has_more_than_newlines)
            .map_err(ConfigError::io(format!("reading {}", code.display())))
    }
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
