//! Targets on this machine: a directory that is entered with chroot(8), or the machine itself.
//!
//! Commands get a small fixed environment, like a login by ssh, and not that of the caller.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use async_trait::async_trait;

use super::{Commands, Connector, ConnectorError, Copy, CopyTo, Done, Exec, Process, RunContext, shown};
use crate::host::quote;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where chroot(8) is, in order of preference; an unprivileged PATH often lacks the sbin directories.
const CHROOT: [&str; 4] = ["/usr/sbin/chroot", "/usr/bin/chroot", "/sbin/chroot", "/bin/chroot"];
/// As many symbolic links as the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// A directory on this machine as target. Needs root, and `/bin/sh` in the directory.
#[derive(Clone, Debug)]
pub struct Chroot(Direct);

impl Chroot {
    /// The target is the tree below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(Direct::new(Some(root.into())))
    }

    /// Sets a variable of the environment of all commands in the target, such as `DEBIAN_FRONTEND`.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.0.set(key.into(), value.into());
        self
    }
}

/// This machine as target.
#[derive(Clone, Debug)]
pub struct Local(Direct);

impl Local {
    /// The target is this machine.
    pub fn new() -> Self {
        Self(Direct::new(None))
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Debug)]
struct Direct {
    root: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
}

impl Direct {
    fn new(root: Option<PathBuf>) -> Self {
        let env =
            [("PATH", PATH), ("HOME", "/root"), ("LOGNAME", "root"), ("USER", "root"), ("SHELL", "/bin/sh")];
        Self { root, env: env.map(|(k, v)| (k.into(), v.into())).to_vec() }
    }

    fn set(&mut self, key: OsString, value: OsString) {
        self.env.retain(|(k, _)| *k != key);
        self.env.push((key, value));
    }

    /// chroot(8) and its directory, or nothing.
    fn entry(&self) -> Vec<OsString> {
        let Some(root) = &self.root else { return Vec::new() };
        let program = CHROOT.into_iter().find(|p| Path::new(p).exists()).unwrap_or("chroot");
        vec![program.into(), root.clone().into_os_string()]
    }

    fn argv(&self, words: &[OsString]) -> Vec<OsString> {
        let mut argv = self.entry();
        // The engine works with umask 077; what code makes on a target must not depend on that.
        let mut line = OsString::from("umask 022; ");
        line.push(words.join(OsStr::new(" ")));
        argv.extend(["/bin/sh".into(), "-c".into(), line]);
        argv
    }

    async fn exec(&self, context: &RunContext, exec: Exec) -> Result<Done, ConnectorError> {
        let process = Process {
            argv: self.argv(&exec.words),
            env: self.env.clone(),
            stdin: exec.stdin,
            stdout: exec.stdout,
            stderr: exec.stderr,
            cancel: context.cancel.clone(),
        };
        Ok(process.run().await?)
    }

    fn copy(&self, copy: &Copy) -> Result<(), ConnectorError> {
        let (CopyTo::Dir(base) | CopyTo::File(base)) = &copy.to;
        let resolved = self.resolve(base);
        for source in &copy.sources {
            let target = match (&copy.to, source.file_name()) {
                (CopyTo::Dir(_), Some(name)) => resolved.as_ref().map(|dir| dir.join(name)),
                _ => resolved.as_ref().map(Clone::clone),
            };
            target
                .map_err(|e| io::Error::new(e.kind(), e.to_string()))
                .and_then(|target| copy_entry(source, &target))
                .map_err(|e| ConnectorError::Copy { from: source.clone(), to: base.clone(), source: e })?;
        }
        Ok(())
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        match &self.root {
            Some(root) => resolve_in(root, path),
            None => Ok(path.to_owned()),
        }
    }

    fn commands(&self, dir: &Path) -> io::Result<Commands> {
        let mut entry = vec![OsString::from("env"), "-i".into()];
        for (key, value) in &self.env {
            let mut word = key.clone();
            word.push("=");
            word.push(value);
            entry.push(word);
        }
        entry.extend(self.entry());
        let entry = quote::posix_line(entry);
        let exec = write_script(&dir.join("exec"), EXEC, &entry)?;
        let copy = write_script(&dir.join("copy"), COPY, &entry)?;
        Ok(Commands { exec, copy })
    }
}

/// `path` as the kernel would find it with `root` as root directory: a symbolic link to an absolute path in
/// the target must not lead to the same path on this machine.
fn resolve_in(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut inside = PathBuf::new();
    let mut todo: Vec<OsString> = components(path);
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == ".." {
            inside.pop();
            continue;
        }
        let next = inside.join(&name);
        match fs::read_link(root.join(&next)) {
            Ok(link) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(io::Error::other(format!("too many symbolic links in {}", path.display())));
                }
                if link.is_absolute() {
                    inside = PathBuf::new();
                }
                todo.extend(components(&link));
            }
            Err(_) => inside = next,
        }
    }
    Ok(root.join(inside))
}

/// The names in a path, last first.
fn components(path: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> = path
        .components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect();
    names.reverse();
    names
}

fn copy_entry(source: &Path, target: &Path) -> io::Result<()> {
    if !source.is_dir() {
        return fs::copy(source, target).map(|_| ());
    }
    fs::create_dir_all(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        copy_entry(&entry.path(), &target.join(entry.file_name()))?;
    }
    Ok(())
}

/// Runs a command like ssh: host first, the rest joined with blanks for a shell.
const EXEC: &str = r#"shift
umask 022
exec @ENTRY@ /bin/sh -c "$*"
"#;

/// Copies like scp, both ways. Paths of the target are opened inside it, so that its symbolic links hold.
const COPY: &str = r#"inside() { @ENTRY@ "$@"; }
host=${__target_host:-}
while :; do
    case ${1:-} in
        --) shift; break ;;
        -[oFiPSlcJ]) shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
is_remote() {
    case $1 in "$host:"* | "[$host]:"*) [ -n "$host" ] ;; *) false ;; esac
}
path_of() {
    p=${1#"[$host]"}
    p=${p#"$host"}
    printf '%s\n' "${p#:}"
}
for last; do :; done
while [ $# -gt 1 ]; do
    if is_remote "$1"; then
        from=$(path_of "$1")
        if [ -d "$last" ]; then to=$last/${from##*/}; else to=$last; fi
        inside cat "$from" > "$to" || exit 1
    elif is_remote "$last"; then
        to=$(path_of "$last")
        if [ -d "$1" ]; then
            (cd "$1" && tar -cf - .) | inside /bin/sh -c \
                'umask 022; [ ! -d "$1" ] || set -- "$1/$2"; mkdir -p "$1" && tar -xf - -C "$1"' sh "$to" "${1##*/}" || exit 1
        else
            inside /bin/sh -c 'umask 022; [ ! -d "$1" ] || set -- "$1/$2"; cat > "$1"' sh "$to" "${1##*/}" < "$1" || exit 1
        fi
    else
        echo "neither '$1' nor '$last' begins with '$host:'" >&2
        exit 1
    fi
    shift
done
"#;

fn write_script(path: &Path, body: &str, entry: &OsStr) -> io::Result<OsString> {
    use std::os::unix::ffi::OsStrExt;
    let mut text = b"#!/bin/sh\n".to_vec();
    let mut parts = body.split("@ENTRY@");
    text.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        text.extend_from_slice(entry.as_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    Ok(path.as_os_str().to_owned())
}

macro_rules! delegate {
    ($type:ty) => {
        #[async_trait]
        impl Connector for $type {
            async fn exec(&self, context: &RunContext, exec: Exec) -> Result<Done, ConnectorError> {
                self.0.exec(context, exec).await
            }

            async fn copy(&self, _context: &RunContext, copy: Copy) -> Result<(), ConnectorError> {
                self.0.copy(&copy)
            }

            fn commands(&self, dir: &Path) -> io::Result<Commands> {
                self.0.commands(dir)
            }

            fn shown(&self, _context: &RunContext, words: &[OsString]) -> String {
                shown(&self.0.argv(words))
            }
        }
    };
}
delegate!(Chroot);
delegate!(Local);

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn absolute_links_stay_inside_the_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("data/lib")).unwrap();
        symlink("/data", root.path().join("var")).unwrap();
        symlink("../../../../data/lib", root.path().join("data/up")).unwrap();
        let resolved = resolve_in(root.path(), Path::new("/var/lib/cdist")).unwrap();
        assert_eq!(resolved, root.path().join("data/lib/cdist"));
        assert_eq!(resolve_in(root.path(), Path::new("/var/up/x")).unwrap(), root.path().join("data/lib/x"));
    }

    #[test]
    fn a_loop_of_links_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        symlink("/b", root.path().join("a")).unwrap();
        symlink("/a", root.path().join("b")).unwrap();
        assert!(resolve_in(root.path(), Path::new("/a/x")).is_err());
    }

    /// The commands for local scripts, on this machine as target.
    #[test]
    fn commands_behave_like_ssh_and_scp() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let commands = Local::new().commands(dir.path()).unwrap();
        let run = |command: &OsStr, words: &[&OsStr]| {
            let output = std::process::Command::new(command)
                .args(words)
                .env("__target_host", "fe80::1")
                .env("SECRET", "x")
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        let os = |text: &str| OsString::from(text);
        let output = run(&commands.exec, &[&os("fe80::1"), &os("echo \"$SECRET\" 'a  b';"), &os("umask")]);
        assert_eq!(output, b" a  b\n0022\n");

        let remote = |name: &str| os(&format!("[fe80::1]:{}", path(name).display()));
        fs::create_dir_all(path("tree/sub")).unwrap();
        fs::write(path("one"), "1").unwrap();
        fs::write(path("tree/sub/two"), "2").unwrap();
        fs::create_dir(path("into")).unwrap();
        run(&commands.copy, &[&os("-q"), path("one").as_os_str(), &remote("a copy")]);
        run(&commands.copy, &[path("one").as_os_str(), path("tree/sub/two").as_os_str(), &remote("into")]);
        run(&commands.copy, &[&os("-r"), path("tree").as_os_str(), &remote("new tree")]);
        run(&commands.copy, &[&remote("a copy"), path("back").as_os_str()]);
        for (name, content) in
            [("a copy", "1"), ("into/one", "1"), ("into/two", "2"), ("new tree/sub/two", "2"), ("back", "1")]
        {
            assert_eq!(fs::read_to_string(path(name)).unwrap(), content, "{name}");
        }
    }
}
