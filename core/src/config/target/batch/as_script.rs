//! The shell script that a batch is: files to write on the target, then scripts to run there.
//!
//! It needs nothing but a POSIX shell with mkdir, chmod and rm, and gets the work directory as `$1`. Everything is
//! in a function that the last line calls, so that a script of which a part is missing does nothing.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::{
    config::variables::Variables,
    host::quote::{posix, posix_always},
};

/// As much of a file as one shell word holds. Where printf is no builtin, the kernel takes 128 KiB a word, with the zero at
/// its end; a byte that is escaped becomes [`ESCAPE`].
const WORD_MAX: usize = 24 * 1024;
/// A zero for printf's `%b`.
const ESCAPE: &[u8] = b"\\0000";
const _: () = assert!(WORD_MAX * ESCAPE.len() < 128 * 1024);
/// How `step` and `forked` end: with the script's mark. What comes after a failed script must not run; the marks say which one
/// it was.
const MARKED: &str = r#"set -- "$1" $?
ended "$1" "$2"
[ "$2" = 0 ] || exit 0"#;
/// What a subshell does for a script: none of the batch's functions and words is there for it.
const FORKED: &str =
    r#"unset -f ended step forked main; __cdist_script=$2; shift "$#"; set -e; . "$__cdist_script""#;
/// As many directories as one mkdir makes.
const DIRS_MAX: usize = 100;

/// One step of a batch: a script on the target with the environment that it gets.
#[derive(Clone, Debug)]
pub(in crate::config) struct BatchStep {
    /// Path on the target.
    pub(in crate::config) script: PathBuf,
    /// Exported for it, in this order.
    pub(in crate::config) variables: Variables,
    /// A subshell of the batch reads it, instead of a shell of its own.
    pub(in crate::config) is_forked: bool,
}

/// Files and scripts for one call of the target.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Batch {
    /// Directories to make, with their parents.
    pub(in crate::config) dirs: Vec<PathBuf>,
    /// Directories whose files become executable.
    pub(in crate::config) executable: Vec<PathBuf>,
    /// Files to write: path on the target and content.
    pub(in crate::config) files: Vec<(PathBuf, Vec<u8>)>,
    /// Scripts to run, one after the other, until one fails.
    pub(in crate::config) steps: Vec<BatchStep>,
}

impl Batch {
    /// True if there is nothing to do.
    pub(in crate::config) fn is_empty(&self) -> bool {
        self.dirs.is_empty() && self.files.is_empty() && self.steps.is_empty()
    }

    /// The script, for the work directory `base`. `shell` runs the steps; `path` is their `PATH`.
    pub(super) fn script(&self, base: &Path, boundary: &str, shell: &str, path: Option<&str>) -> Vec<u8> {
        let mut script = Writer { text: Vec::new(), base };
        script.line("ended() {");
        script.line(format!(r#"printf '\n%s %s %s\n' {boundary} "$1" "$2" >&2"#));
        script.line(format!(r#"printf '\n%s %s %s\n' {boundary} "$1" "$2""#));
        script.line("}\nstep() {");
        // The root of a system that is being made may have no devices yet.
        script.line(format!(
            "if [ -c /dev/null ]; then {shell} -e \"$2\" </dev/null; else : | {shell} -e \"$2\"; fi"
        ));
        script.line(MARKED);
        if self.steps.iter().any(|step| step.is_forked) {
            script.line("}\nforked() {\nif [ -c /dev/null ]; then (");
            script.line(FORKED);
            script.line(") </dev/null; else : | (");
            script.line(FORKED);
            script.line(r#"); fi"#);
            script.line(MARKED);
        }
        // Without "$1" the last line has not arrived whole.
        script.line("}\nmain() {\n[ $# = 1 ] || exit 1");
        script.line(r#"rm -f -- "$0""#);
        self.write_files(&mut script);
        // What came before is no script's output: an unpacking error, or the chatter of a login shell.
        script.line("ended 0 0");
        self.write_steps(&mut script, path);
        script.line("}\nmain \"$1\"");
        script.text
    }

    fn write_files(&self, script: &mut Writer<'_>) {
        if self.dirs.is_empty() && self.files.is_empty() {
            return;
        }
        // Parameters and code may be secret.
        script.line("set -e\nset -- \"$1\" \"$(umask)\"\numask 077");
        for dirs in self.dirs.chunks(DIRS_MAX) {
            script.push("mkdir -p --");
            for dir in dirs {
                script.push(" ");
                script.word(dir.as_os_str());
            }
            script.line("");
        }
        for (path, content) in &self.files {
            script.file(path, content);
        }
        for dir in &self.executable {
            script.push("chmod 0700 ");
            script.word(dir.as_os_str());
            script.line("/*");
        }
        script.line("umask \"$2\"\nset +e");
    }

    fn write_steps(&self, script: &mut Writer<'_>, path: Option<&str>) {
        if let Some(path) = path {
            script.export("PATH", OsStr::new(path));
        }
        // Steps of a batch are of one kind and export the same names, so none sees what was meant for another.
        let mut last: &[(&str, OsString)] = &[];
        for (number, step) in (1..).zip(&self.steps) {
            for variable in &step.variables {
                if !last.contains(variable) {
                    script.export(variable.0, &variable.1);
                }
            }
            last = &step.variables;
            script.push(if step.is_forked { "forked " } else { "step " });
            script.push(&format!("{number} "));
            script.word(step.script.as_os_str());
            script.line("");
        }
    }
}

struct Writer<'a> {
    text: Vec<u8>,
    base: &'a Path,
}

impl Writer<'_> {
    fn push(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn line(&mut self, text: impl AsRef<str>) {
        self.push(text.as_ref());
        self.text.push(b'\n');
    }

    /// A value; what is below the work directory is written relative to `$1`, because a remote exec command may
    /// have its own idea of where that directory is.
    fn word(&mut self, value: &OsStr) {
        let below = value.as_bytes().strip_prefix(self.base.as_os_str().as_bytes());
        match below {
            Some(rest) if rest.is_empty() || rest.starts_with(b"/") => {
                self.push("\"$1\"");
                if !rest.is_empty() {
                    self.text.extend_from_slice(posix(OsStr::from_bytes(rest)).as_bytes());
                }
            }
            _ if value.is_empty() => {}
            _ => self.text.extend_from_slice(posix(value).as_bytes()),
        }
    }

    fn export(&mut self, key: &str, value: &OsStr) {
        self.push(&format!("export {key}="));
        self.word(value);
        self.line("");
    }

    fn file(&mut self, path: &Path, content: &[u8]) {
        let mut redirect = " >";
        // An empty file is written, too.
        let chunks = content.chunks(WORD_MAX).chain(content.is_empty().then_some(&[][..]));
        for chunk in chunks {
            if chunk.contains(&0) {
                self.push("printf %b ");
                let word = escaped(chunk);
                self.text.extend_from_slice(posix_always(OsStr::from_bytes(&word)).as_bytes());
            } else {
                self.push("printf %s ");
                self.text.extend_from_slice(posix_always(OsStr::from_bytes(chunk)).as_bytes());
            }
            self.push(redirect);
            self.word(path.as_os_str());
            self.line("");
            redirect = " >>";
        }
    }
}

/// For printf's `%b`: no shell word holds a NUL byte.
fn escaped(chunk: &[u8]) -> Vec<u8> {
    let mut word = Vec::with_capacity(chunk.len() + 16);
    for &byte in chunk {
        match byte {
            0 => word.extend_from_slice(ESCAPE),
            b'\\' => word.extend_from_slice(b"\\\\"),
            _ => word.push(byte),
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{fs, process::Command};

    const SHELLS: [&[&str]; 3] = [&["/bin/dash"], &["/bin/bash", "--posix"], &["/bin/busybox", "sh"]];

    fn run(shell: &[&str], batch: &Batch, base: &Path) -> std::process::Output {
        let script = base.join("batch");
        fs::write(&script, batch.script(base, "BOUNDARY", &shell.join(" "), None)).unwrap();
        Command::new(shell[0]).args(&shell[1..]).arg(&script).arg(base).env("LC_ALL", "C").output().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn files_arrive_byte_for_byte(
            content in prop::collection::vec(any::<u8>(), 0..300),
            name in "[ -~&&[^/.]]{1,10}",
            shell in 0usize..3,
        ) {
            let shell = SHELLS[shell];
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("o").join(&name);
            let batch = Batch { dirs: vec![dir.path().join("o")], files: vec![(path.clone(), content.clone())], ..Batch::default() };
            let output = run(shell, &batch, dir.path());
            prop_assert!(output.status.success(), "{:?}", output);
            prop_assert_eq!(fs::read(path).unwrap(), content);
        }
    }

    #[test]
    fn large_files_travel_in_pieces() {
        let content: Vec<u8> = (0..200_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for shell in SHELLS {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            let batch = Batch { files: vec![(path.clone(), content.clone())], ..Batch::default() };
            assert!(run(shell, &batch, dir.path()).status.success());
            assert_eq!(fs::read(path).unwrap(), content, "{shell:?}");
        }
    }

    /// The kernel looks at the words then.
    #[test]
    fn zeros_travel_where_printf_is_a_program() {
        let contents = [vec![0; 200_000], vec![b'\\'; 200_000], [&[0][..], &vec![b'\''; 200_000]].concat()];
        for (shell, content) in SHELLS.iter().flat_map(|shell| contents.iter().map(move |c| (shell, c))) {
            let dir = tempfile::tempdir().unwrap();
            let (path, script) = (dir.path().join("x"), dir.path().join("batch"));
            let batch = Batch { files: vec![(path.clone(), content.clone())], ..Batch::default() };
            let text = batch.script(dir.path(), "B", &shell.join(" "), None);
            let program = b"printf() { env printf \"$@\"; }\n";
            fs::write(&script, [&program[..], &text].concat()).unwrap();
            let mut command = Command::new(shell[0]);
            let output = command.args(&shell[1..]).arg(&script).arg(dir.path()).output().unwrap();
            assert!(output.status.success(), "{shell:?}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(fs::read(path).unwrap() == *content, "{shell:?}");
        }
    }

    #[test]
    fn steps_run_until_one_fails() {
        for (shell, is_forked) in SHELLS.iter().flat_map(|shell| [(*shell, false), (*shell, true)]) {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            let files =
                [("a", "printf \"$v\"; echo err >&2"), ("b", "cat; false; echo not"), ("c", "echo never")];
            let step =
                |name: &str| BatchStep { script: path(name), variables: vec![("v", name.into())], is_forked };
            let batch = Batch {
                files: files.iter().map(|(name, text)| (path(name), text.as_bytes().to_vec())).collect(),
                steps: vec![step("a"), step("b"), step("c")],
                ..Batch::default()
            };
            let output = run(shell, &batch, dir.path());
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                "\nBOUNDARY 0 0\na\nBOUNDARY 1 0\n\nBOUNDARY 2 1\n",
                "{shell:?}"
            );
            assert_eq!(
                String::from_utf8_lossy(&output.stderr),
                "\nBOUNDARY 0 0\nerr\n\nBOUNDARY 1 0\n\nBOUNDARY 2 1\n"
            );
            assert!(!path("batch").exists());
        }
    }

    #[test]
    fn a_part_of_a_script_does_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let batch = Batch { files: vec![(path.clone(), b"it's\n".to_vec())], ..Batch::default() };
        let whole = batch.script(dir.path(), "B", "/bin/sh", None);
        for end in 0..whole.len() - 1 {
            let part = dir.path().join("part");
            fs::write(&part, &whole[..end]).unwrap();
            let _ = Command::new("/bin/sh").arg(&part).arg(dir.path()).output().unwrap();
            assert!(!path.exists(), "{end} of {} bytes", whole.len());
        }
    }

    #[test]
    fn values_below_the_work_directory_follow_it() {
        let mut writer = Writer { text: Vec::new(), base: Path::new("/var/lib/cdist") };
        for value in ["/var/lib/cdist/object/__f/a b", "/var/lib/cdistx", "/var/lib/cdist", "x y", ""] {
            writer.word(OsStr::new(value));
            writer.line("");
        }
        let text = String::from_utf8(writer.text).unwrap();
        assert_eq!(text, "\"$1\"'/object/__f/a b'\n/var/lib/cdistx\n\"$1\"\n'x y'\n\n");
    }
}
