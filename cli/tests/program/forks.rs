//! Scripts of `/bin/sh` that a running shell reads in a subshell cannot tell that from a shell of their own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::lab::{Ended, Lab};

/// Looks at all that a subshell could have from others, and leaves what others could have from it.
const LOOK: &str = r#"
env | sed 's/=.*//' | grep -v -x -e '_' -e PWD -e OLDPWD -e SHLVL | sort
echo "$# ${1-none} $-" "$__object_id" "$__target_host"
pwd
umask
read -r line || echo 'nothing to read'
{ true <&8; } 2>/dev/null || echo '8 is closed'
{ true >&9; } 2>/dev/null || echo '9 is closed'
command -v main step forked ended || echo 'no functions'
echo "${leaked-clean}"
leaked=1; export leaked; cd /; umask 0; set -u; IFS=x; alias ls=false; readonly __object_id
trap 'echo bye' EXIT
no_such_program || echo "status $?"
cd /no/such || :
"#;

struct Texts(Vec<(PathBuf, String)>);

impl Texts {
    /// What files below a directory say, without what is by chance.
    fn of(dir: &Path, lab: &Lab) -> Self {
        let mut all = Self(Vec::new());
        all.add(dir, dir);
        let marker = fs::read_to_string(dir.join("object_marker")).unwrap_or_default();
        for (path, text) in &mut all.0 {
            for by_chance in [marker.trim_end(), lab.path("").to_str().unwrap()] {
                *text = text.replace(by_chance, "@");
                *path = path.to_str().unwrap().replace(by_chance, "@").into();
            }
            // The directory of the run.
            *text = text
                .split('/')
                .map(|part| if part.starts_with("cdist-") { "@" } else { part })
                .collect::<Vec<_>>()
                .join("/");
        }
        all.0.sort();
        all
    }

    fn add(&mut self, top: &Path, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let is_told = |path: &Path| {
                ["object", "explorer", "stderr", "stdout"].iter().any(|name| path.starts_with(top.join(name)))
            };
            if entry.file_type().unwrap().is_dir() {
                self.add(top, &path);
            } else if is_told(&path) {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                self.0.push((path.strip_prefix(top).unwrap().to_owned(), text));
            }
        }
    }
}

/// All that scripts have said, when they have `comment` in them.
fn said(comment: &str) -> Vec<(PathBuf, String)> {
    let lab = Lab::new();
    let script = format!("#!/bin/sh -e\n# {comment}{LOOK}");
    lab.write("conf/explorer/look", &script);
    for name in ["explorer/look", "manifest", "gencode-local", "gencode-remote"] {
        let path = format!("conf/type/__x/{name}");
        // What goes to standard output is code there.
        let code = r#"printf '%s\n' "$code" 'umask; cd /; echo $#; umask 0; no_such_program || :' >&3"#;
        let gencode = format!("#!/bin/sh -e\ncode='# {comment}'\nexec 3>&1 >&2{LOOK}{code}\n");
        let text = if name.starts_with("gencode") { &gencode } else { &script };
        lab.write(&path, text);
        if !name.starts_with("explorer") {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(lab.path(&path), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    lab.write("conf/manifest/init", "for name in a b c d; do __x $name; done\n");
    let trace = lab.path("trace");
    Ended::of(lab.config(["--profile", trace.to_str().unwrap(), "web1"])).expect(0, "");
    let trace = fs::read_to_string(trace).unwrap();
    // A manifest and two gencode of each object.
    let forked = trace.matches("\"cat\":\"script\"").count();
    assert_eq!(forked, if comment == "$$" { 0 } else { 12 }, "{trace}");
    let cache = fs::read_dir(lab.path("home/.cdist/cache")).unwrap().next().unwrap().unwrap().path();
    Texts::of(&cache, &lab).0
}

#[test]
fn scripts_cannot_tell_a_subshell_from_a_shell_of_their_own() {
    // The second ones have a word that makes them run by themselves.
    let (forked, alone) = (said("$."), said("$$"));
    let alone: Vec<_> = alone.into_iter().map(|(path, text)| (path, text.replace("# $$", "# $."))).collect();
    assert!(forked.len() > 4 * 8, "{forked:?}");
    for (one, other) in forked.iter().zip(&alone) {
        assert_eq!(one, other);
    }
    assert_eq!(forked.len(), alone.len());
}

#[test]
fn a_failure_names_the_script_and_ends_the_run() {
    for name in ["manifest", "gencode-local", "gencode-remote"] {
        let lab = Lab::new();
        let path = format!("conf/type/__x/{name}");
        lab.write(&path, "#!/bin/sh -e\n[ \"$__object_id\" != c ] || no_such_program\n");
        let ended = lab.run("for name in a b c d; do __x $name; done\n");
        let said = ended.expect(1, "__x/c").err;
        assert!(said.contains(name), "{said}");
        assert!(
            said.contains("127") && said.contains("no_such_program") && !said.contains("orders-"),
            "{said}"
        );
    }
}
