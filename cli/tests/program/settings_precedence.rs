//! Every setting from every source: the user's file, the environment, the file in `$CDIST_CONFIG_FILE`, the file of `-g`,
//! the option. Each is seen by what a run does with it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
    thread,
};

/// One setting with two values, of which the run shows which one is in force.
struct Setting {
    /// Key in a file.
    key: &'static str,
    /// The values there; `@` is the directory of the test.
    file: [&'static str; 2],
    /// Variable, and the values in it.
    variable: Option<(&'static str, [&'static str; 2])>,
    /// The options for the values; empty if there is none.
    options: [&'static [&'static str]; 2],
    /// Options and hosts of every run.
    always: &'static [&'static str],
    /// What the run shows for the values.
    shown: [&'static str; 2],
    show: fn(&Lab, &Output) -> String,
}

const HOST: &[&str] = &["host"];
/// The only one that needs the built-in connector.
const SSH_CONFIG: &str = "ssh_config";
/// A setting of which only the key matters so far.
const NOTHING: Setting = Setting {
    key: "",
    file: ["a", "b"],
    variable: None,
    options: [&[], &[]],
    always: HOST,
    shown: ["a", "b"],
    show: |_, _| String::new(),
};

const SETTINGS: [Setting; 17] = [
    Setting {
        key: "beta",
        file: ["yes", "off"],
        variable: Some(("CDIST_BETA", ["", "0"])),
        options: [&["-b"], &[]],
        always: &["-t", "nothing-has-this-tag"],
        shown: ["0", "1"],
        show: |_, output| output.status.code().unwrap().to_string(),
    },
    Setting {
        key: "cache_path_pattern",
        variable: Some(("CDIST_CACHE_PATH_PATTERN", ["a", "b"])),
        options: [&["-C", "a"], &["--cache-path-pattern=b"]],
        show: |lab, _| lab.names_in("home/.cdist/cache"),
        ..NOTHING
    },
    Setting {
        key: "colored_output",
        file: ["always", "never"],
        variable: Some(("CDIST_COLORED_OUTPUT", ["always", "never"])),
        options: [&["--colors=always"], &["--colors", "never"]],
        shown: ["true", "false"],
        show: |lab, _| lab.told("colored"),
        ..NOTHING
    },
    Setting {
        key: "conf_dir",
        file: ["@/a", "@/b"],
        variable: Some(("CDIST_PATH", ["@/a", "@/b"])),
        shown: ["__a", "__b"],
        show: |lab, _| lab.told("types"),
        ..NOTHING
    },
    Setting {
        key: "init_manifest",
        file: ["@/manifest-a", "@/manifest-b"],
        options: [&["-i", "@/manifest-a"], &["--initial-manifest", "@/manifest-b"]],
        shown: ["manifest-a", "manifest-b"],
        show: |lab, _| lab.told("manifest"),
        ..NOTHING
    },
    Setting {
        key: "inventory_dir",
        file: ["@/a", "@/b"],
        variable: Some(("CDIST_INVENTORY_DIR", ["@/a", "@/b"])),
        options: [&["-I", "@/a"], &["--inventory", "@/b"]],
        show: |lab, _| lab.told("tags"),
        ..NOTHING
    },
    Setting {
        key: "jobs",
        file: ["0", "2"],
        options: [&["-j", "1"], &["--jobs", "2"]],
        shown: ["alone", "together"],
        show: |lab, _| lab.first_in("objects", &["together", "alone"]),
        ..NOTHING
    },
    Setting {
        key: "local_shell",
        file: ["@/sh-a", "@/sh-b"],
        variable: Some(("CDIST_LOCAL_SHELL", ["@/sh-a", "@/sh-b"])),
        show: |lab, _| lab.told("shell"),
        ..NOTHING
    },
    Setting {
        key: "out_path",
        file: ["@/a", "@/b"],
        options: [&["-o", "@/a"], &["--out-dir", "@/b"]],
        show: |lab, _| lab.told("global").split('/').next().unwrap().to_owned(),
        ..NOTHING
    },
    Setting {
        key: "parallel",
        file: ["0", "2"],
        options: [&["-s"], &["-p", "2"]],
        always: &["one", "two"],
        shown: ["alone", "together"],
        show: |lab, _| lab.first_in("hosts", &["together", "alone"]),
        ..NOTHING
    },
    Setting {
        key: "remote_copy",
        file: ["@/copy a", "@/copy b"],
        variable: Some(("CDIST_REMOTE_COPY", ["@/copy a", "@/copy b"])),
        options: [&["--remote-copy", "@/copy a"], &["--remote-copy", "@/copy b"]],
        shown: ["copy a", "copy b"],
        show: |lab, _| lab.first_in("calls", &["copy a", "copy b"]),
        ..NOTHING
    },
    Setting {
        key: "remote_exec",
        file: ["@/exec a", "@/exec b"],
        variable: Some(("CDIST_REMOTE_EXEC", ["@/exec a", "@/exec b"])),
        options: [&["--remote-exec", "@/exec a"], &["--remote-exec=@/exec b"]],
        shown: ["exec a", "exec b"],
        show: |lab, _| lab.first_in("calls", &["exec a", "exec b"]),
        ..NOTHING
    },
    Setting {
        key: "remote_out_path",
        file: ["@/remote-a", "@/remote-b"],
        options: [&["-r", "@/remote-a"], &["--remote-out-dir", "@/remote-b"]],
        shown: ["remote-a", "remote-b"],
        show: |lab, _| lab.told("remote").split('/').next().unwrap().to_owned(),
        ..NOTHING
    },
    Setting {
        key: "remote_shell",
        file: ["@/sh-a", "@/sh-b"],
        variable: Some(("CDIST_REMOTE_SHELL", ["@/sh-a", "@/sh-b"])),
        show: |lab, _| lab.told("remote_shell"),
        ..NOTHING
    },
    Setting {
        key: "save_output_streams",
        file: ["no", "yes"],
        options: [&["-S"], &[]],
        shown: ["true", "false"],
        show: |_, output| {
            String::from_utf8_lossy(&output.stdout).contains("said by the manifest").to_string()
        },
        ..NOTHING
    },
    Setting {
        key: SSH_CONFIG,
        file: ["@/ssh-a", "@/ssh-b"],
        variable: Some(("CDIST_SSH_CONFIG", ["@/ssh-a", "@/ssh-b"])),
        options: [&["--ssh-config", "@/ssh-a"], &["--ssh-config=@/ssh-b"]],
        shown: ["ssh-a", "ssh-b"],
        show: |lab, _| lab.first_in("calls", &["ssh-a", "ssh-b"]),
        ..NOTHING
    },
    Setting {
        key: "timestamp",
        file: ["on", "FALSE"],
        options: [&["-P"], &[]],
        always: &["-v", "host"],
        shown: ["true", "false"],
        show: |_, output| String::from_utf8_lossy(&output.stderr).contains(": host: [20").to_string(),
        ..NOTHING
    },
];

const VERBOSITY: Setting = Setting {
    key: "verbosity",
    file: ["INFO", "WARNING"],
    variable: Some(("__cdist_log_level", ["20", "30"])),
    options: [&["-v"], &["-l", "0"]],
    shown: ["20", "30"],
    show: |lab, _| lab.told("level"),
    ..NOTHING
};

/// Prints what it knows as `name=value` lines; `manifest-a` and `manifest-b` are the same.
const MANIFEST: &str = r#"
touch "@/host-$__target_host"
met=alone
if [ "$__target_host" != host ]; then
    for try in 1 2 3 4 5 6; do
        if [ -e @/host-one ] && [ -e @/host-two ] && [ ! -e @/left ]; then met=together; break; fi
        sleep 0.05
    done
    echo "$met" >>@/hosts
    [ "$met" = together ] || { touch @/left; rm "@/host-$__target_host"; }
fi
. "$__global/explorer/remote"
cat >@/told <<END
colored=$__cdist_colored_log
global=${__global#@/}
level=$__cdist_log_level
manifest=${__cdist_manifest#@/}
remote=${remote#@/}
remote_shell=$remote_shell
shell=$SHELL_NAME
tags=$__target_host_tags
types=$(cd "$__cdist_type_base_path" && echo __[ab])
END
echo said by the manifest
if [ "$__target_host" = host ]; then __meet one; __meet two; fi
"#;

/// Two objects whose code looks for the other one.
const MEET: &str = r#"
cat <<'END'
touch "@/object-$__object_id"
for try in 1 2 3 4; do
    if [ -e @/object-one ] && [ -e @/object-two ]; then echo together >>@/objects; sleep 0.3; exit 0; fi
    sleep 0.05
done
echo alone >>@/objects
rm "@/object-$__object_id"
END
"#;

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        lab.write("home/.cdist/manifest/init", MANIFEST);
        for manifest in ["manifest-a", "manifest-b"] {
            lab.write(manifest, MANIFEST);
        }
        lab.write("home/.cdist/type/__meet/gencode-local", MEET);
        lab.write(
            "home/.cdist/explorer/remote",
            "echo \"remote='$__explorer'\"; echo \"remote_shell='$SHELL_NAME'\"",
        );
        lab.write("home/.cdist/explorer/second", ":");
        for (one, other) in [("a", "b"), ("b", "a")] {
            lab.write(&format!("{one}/type/__{one}/manifest"), "");
            // The inventory's file for the host.
            lab.write(&format!("{one}/host"), one);
            lab.write(&format!("ssh-{one}"), &format!("# ssh-{one}\n"));
            lab.script(&format!("sh-{one}"), &format!("SHELL_NAME={one} exec /bin/sh \"$@\"  # not {other}"));
        }
        // Two hosts at a time must not share a work directory, as they would not if they were two machines.
        let own = "[ \"$host\" = host ] || words=$(echo \"$words\" | sed \"s|@/remote|@/$host|g\")";
        lab.script(
            "exec",
            &format!(
                "echo \"exec $*\" >>@/calls\nhost=$2\nshift 2\nwords=$*\n{own}\nexec /bin/sh -c \"$words\""
            ),
        );
        // No target at all; it is enough to see how it is called.
        lab.script("bin/ssh", "[ \"$1\" = -F ] && cat \"$2\" >>@/calls\nexit 255");
        lab.script(
            "copy",
            &format!(
                "echo \"copy $*\" >>@/calls\nshift\nfor last; do :; done\nhost=${{last%%:*}}; words=${{last#*:}}\n{own}\n\
                 while [ $# -gt 1 ]; do cp -L \"$1\" \"$words\"; shift; done"
            ),
        );
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn filled(&self, text: &str) -> String {
        text.replace('@', self.dir.path().to_str().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // The argument list of a shell is no path.
        let text = text.replace("$@", "\u{0}");
        fs::write(path, self.filled(&text).replace('\u{0}', "$@")).unwrap();
    }

    fn script(&self, name: &str, text: &str) {
        self.write(name, &format!("#!/bin/sh -e\n{text}\n"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The value that the manifest has told.
    fn told(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path("told")).unwrap();
        let prefix = format!("{name}=");
        text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned()
    }

    /// The first of the words that is somewhere in a file.
    fn first_in(&self, file: &str, words: &[&str]) -> String {
        let text = fs::read_to_string(self.path(file)).unwrap_or_default();
        words.iter().find(|word| text.contains(**word)).map_or(text.clone(), |word| (*word).to_owned())
    }

    fn names_in(&self, dir: &str) -> String {
        let names = fs::read_dir(self.path(dir)).unwrap().map(|e| e.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect::<Vec<_>>().join(" ")
    }

    /// Runs `cdist config` with the setting from some sources: index of the source and of the value.
    fn run(&self, setting: &Setting, sources: &[(Source, usize)]) -> String {
        for left in
            ["calls", "told", "objects", "hosts", "left", "host-one", "host-two", "object-one", "object-two"]
        {
            let _ = fs::remove_file(self.path(left));
        }
        let _ = fs::remove_dir_all(self.path("home/.cdist/cache"));
        let base =
            [("remote_exec", "@/exec none"), ("remote_copy", "@/copy none"), ("remote_out_path", "@/remote")];
        let mut user: String = "[GLOBAL]\n".to_owned();
        let base = if setting.key == SSH_CONFIG { &base[2..] } else { &base[..] };
        let in_user_file = sources.iter().any(|(source, _)| *source == Source::UserFile);
        for (key, value) in base.iter().filter(|(key, _)| *key != setting.key || !in_user_file) {
            user.push_str(&format!("{key} = {value}\n"));
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_cdist"));
        let path = std::env::var("PATH").unwrap();
        command.env_clear().env("PATH", format!("{}:{path}", self.path("bin").display()));
        command.env("HOME", self.path("home")).env("TMPDIR", self.dir.path()).arg("config");
        for (source, value) in sources {
            let line = format!("{} = {}\n", setting.key, setting.file[*value]);
            match source {
                Source::UserFile => user.push_str(&line),
                Source::Variable => {
                    let (name, values) = setting.variable.unwrap();
                    command.env(name, self.filled(values[*value]));
                }
                Source::NamedFile => {
                    self.write("named.cfg", &format!("[GLOBAL]\n{line}"));
                    command.env("CDIST_CONFIG_FILE", self.path("named.cfg"));
                }
                Source::FileOption => {
                    self.write("option.cfg", &format!("[GLOBAL]\n{line}"));
                    command.arg("-g").arg(self.path("option.cfg"));
                }
                Source::Option => {
                    command.args(setting.options[*value].iter().map(|word| self.filled(word)));
                }
            }
        }
        self.write("home/.cdist.cfg", &user);
        let output = command.args(setting.always).output().unwrap();
        if !["beta", SSH_CONFIG].contains(&setting.key) {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} from {sources:?}: {errors}", setting.key);
        }
        (setting.show)(self, &output)
    }
}

/// Where a setting comes from, in the order of rising rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    UserFile,
    Variable,
    NamedFile,
    FileOption,
    Option,
}

const SOURCES: [Source; 5] =
    [Source::UserFile, Source::Variable, Source::NamedFile, Source::FileOption, Source::Option];

/// Every source against the next lower one, which says the opposite.
fn check(setting: &Setting) {
    let lab = Lab::new();
    let mut lower: Option<Source> = None;
    for (rank, source) in SOURCES.into_iter().enumerate() {
        let can_say = |value: usize| match source {
            Source::Variable => setting.variable.is_some(),
            Source::Option => !setting.options[value].is_empty(),
            _ => true,
        };
        // Taking turns, so that no value can win always.
        let turn = rank % 2;
        let Some(value) = [turn, 1 - turn].into_iter().find(|value| can_say(*value)) else { continue };
        let mut sources: Vec<(Source, usize)> = lower.map(|lower| (lower, 1 - value)).into_iter().collect();
        sources.push((source, value));
        assert_eq!(lab.run(setting, &sources), setting.shown[value], "{} from {sources:?}", setting.key);
        lower = Some(source);
    }
}

#[test]
fn every_setting_from_every_source() {
    let all: Vec<Setting> = SETTINGS.into_iter().chain([VERBOSITY]).collect();
    thread::scope(|scope| {
        for half in all.chunks(all.len().div_ceil(2)) {
            scope.spawn(move || half.iter().for_each(check));
        }
    });
}

#[test]
fn conf_dirs_of_options_come_on_top() {
    let lab = Lab::new();
    let setting = Setting {
        key: "conf_dir",
        file: ["@/a", "@/a"],
        options: [&["-c", "@/b"], &[]],
        show: |lab, _| lab.told("types"),
        ..NOTHING
    };
    let shown = lab.run(&setting, &[(Source::UserFile, 0), (Source::Option, 0)]);
    assert_eq!(shown, "__a __b");
}

#[test]
fn the_second_place_of_the_user_counts_only_without_the_first() {
    let lab = Lab::new();
    let remote = "remote_exec = @/exec x\nremote_copy = @/copy x\n";
    let level = |file: &str, xdg: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cdist"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", lab.path("home"));
        if xdg {
            command.env("XDG_CONFIG_HOME", lab.path("xdg"));
        }
        let output = command.args(["config", "-r"]).arg(lab.path("remote")).arg("host").output().unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        lab.told("level")
    };
    lab.write("xdg/cdist/cdist.cfg", &format!("[GLOBAL]\nverbosity = INFO\n{remote}"));
    lab.write("home/.config/cdist/cdist.cfg", &format!("[GLOBAL]\nverbosity = VERBOSE\n{remote}"));
    assert_eq!((level("xdg", true), level(".config", false)), ("20".to_owned(), "15".to_owned()));
    lab.write("home/.cdist.cfg", &format!("[GLOBAL]\n{remote}"));
    assert_eq!((level("first", true), level("first", false)), ("30".to_owned(), "30".to_owned()));
}
