//! The table "case, result" of docs/plugin-abi.md: every case is tried, what cdist says is what the page says, and
//! after each one cdist still lists and runs the good plugin beside it.
//!
//! `UPDATE_PAGES=1` writes the table anew; then look at the difference.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, Permissions},
    os::unix::{ffi::OsStringExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use cdist_tests::{
    lab::process::run,
    plugins::{
        Outcome, Site, aborting_hostile, cargo, compile, dummies, finish_within, hostile, install,
        install_bytes, lock, museum, patch_text, wait, workspace,
    },
};

/// A site with a good plugin, for one case.
struct Case {
    site: Site,
    file: PathBuf,
}

impl Case {
    fn new() -> Self {
        let site = Site::new();
        install(&museum("1.0.0").join("rustc-1.63.so"), &site.home_plugins().join("a-good-one.so"));
        let file = site.home_plugins().join("plugin.so");
        Self { site, file }
    }

    /// The plugin in C whose `commandline` has this body; `top` comes before it.
    fn c(self, top: &str, body: &str) -> Self {
        self.source("c", top, body)
    }

    fn source(self, language: &str, top: &str, body: &str) -> Self {
        let text = format!(
            "#include <stdlib.h>\n#include <string.h>\n#include \"cdist_preos.h\"\n{top}\n\
             static int commandline(int argc, const char *const *argv, const cdist_preos_host *host) {{\n\
             (void)argc, (void)argv, (void)host;\n{body}\nreturn 0;\n}}\n\
             #ifndef PREOSES\n#define PREOSES(X) X(\"it\", commandline, \"makes it\")\n#endif\n\
             CDIST_EXPORT_PREOSES(PREOSES)\n"
        );
        let source = self.site.dir("source").join(format!("plugin.{language}"));
        fs::write(&source, text).expect("writing a source");
        compile(&source, &self.file, &["-Wno-unused", "-Wno-overlength-strings", "-Wno-pedantic"]);
        self
    }

    fn named(self, name: &str) -> Self {
        self.c(&format!("#define PREOSES(X) X({name}, commandline, \"makes it\")"), "")
    }

    fn hostile(self) -> Self {
        install(&hostile(), &self.file);
        self
    }

    /// The dummies with a change in their text.
    fn patched(self, from: &str, to: &str) -> Self {
        install_bytes(&patch_text(&fs::read(dummies()).expect("reading the dummies"), from, to), &self.file);
        self
    }

    fn python(self, text: &str) -> Self {
        install_bytes(text.as_bytes(), &self.file.with_extension("py"));
        self
    }

    fn make(self, make: impl FnOnce(&Path)) -> Self {
        make(&self.file);
        self
    }

    /// What the list says of the file.
    fn listed(self) -> String {
        let outcome = self.site.preos(["-L"]);
        assert_eq!(outcome.status, 0, "{outcome:#?}");
        let shown = match outcome.stderr.lines().next() {
            Some(line) => line.to_owned(),
            None => {
                outcome.stdout.lines().find(|line| line.contains("plugin.")).unwrap_or("nothing").to_owned()
            }
        };
        self.alive(&shown)
    }

    /// What a run of the PreOS says.
    fn runs<W: AsRef<OsStr>>(self, words: impl IntoIterator<Item = W>) -> String {
        let outcome = self.site.preos(words);
        self.ended(&outcome)
    }

    fn ended(&self, outcome: &Outcome) -> String {
        assert_eq!(outcome.signal, None, "{outcome:#?}");
        let said = outcome.stderr.lines().find(|line| line.starts_with("error: "));
        let said = said.or_else(|| outcome.stdout.lines().next()).unwrap_or("");
        self.alive(&format!("{said} (exit status {})", outcome.status))
    }

    /// The line, without what differs between machines, if cdist still does its work.
    fn alive(&self, line: &str) -> String {
        let list = self.site.preos(["-L"]);
        assert!(list.status == 0 && list.stdout.contains("- exhibit "), "{line}: {list:#?}");
        let good = self.site.preos(["exhibit", "word"]);
        assert_eq!((good.status, good.stdout.as_str()), (0, "arguments: word\n"), "{line}: {good:#?}");

        let home = self.site.home_plugins();
        let line = self.site.filtered(&line.replace(&format!("{}/", home.display()), ""));
        let compiler = run(Command::new("cc").arg("-dumpfullversion"));
        let line = line.replace(&format!("gcc {}", compiler.trim()), "gcc").replace("[RUSTC]", "rustc");
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ").replace('|', "\\|")
    }
}

/// A library whose root type has one field more than 1.x allows, as no release will.
fn with_other_types() -> PathBuf {
    let top = workspace().join("target/other-types");
    // With what other tests have built of the API's dependencies.
    let target = workspace().join("target/examples");
    let _lock = lock(&target.join("lock"));
    let _ = fs::remove_dir_all(top.join("source"));
    for part in ["plugin-api", "examples/dummies"] {
        let to = top.join("source").join(part);
        fs::create_dir_all(to.parent().expect("it has a parent")).expect("making a directory");
        run(Command::new("cp").arg("-RL").arg(workspace().join(part)).arg(&to));
    }
    let patch = |file: &str, from: &str, to: &str| {
        let file = top.join("source").join(file);
        let text = fs::read_to_string(&file).expect("reading a source of the API");
        assert!(text.contains(from), "{from:?} is not in {}", file.display());
        fs::write(&file, text.replacen(from, to, 1)).expect("writing a source of the API");
    };
    patch(
        "plugin-api/src/module.rs",
        "    pub api_minor: u32,",
        "    pub api_minor: u32,\n    /// New.\n    pub more: u64,",
    );
    patch(
        "plugin-api/src/export.rs",
        "api_minor: private::API_MINOR,",
        "more: 7, api_minor: private::API_MINOR,",
    );
    patch("plugin-api/Cargo.toml", "[features]", "[workspace]\n[features]");
    // Beside the others' library of this name.
    patch("examples/dummies/Cargo.toml", "name = \"dummies\"", "name = \"other-types\"");
    patch("examples/dummies/Cargo.lock", "name = \"dummies\"", "name = \"other-types\"");
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--manifest-path"]).arg(top.join("source/examples/dummies/Cargo.toml"));
    cargo.arg("--target-dir").arg(&target);
    run(cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_STRIP", "symbols"));
    target.join("debug/libother_types.so")
}

/// A plugin that is replaced by `cdist plugin install` while it runs.
fn replaced_while_it_runs() -> String {
    let case = Case::new().hostile();
    let file = case.site.root().join("running");
    let mut command = case.site.command();
    command.args(["lingers"]).arg(&file).arg("30").stdout(std::process::Stdio::null());
    let mut child = command.stderr(std::process::Stdio::null()).spawn().expect("starting cdist");
    let ready = case.site.root().join("running.ready");
    wait("the plugin runs", Duration::from_secs(20), || ready.is_file());
    let new = case.site.dir("new").join("plugin.so");
    install(&dummies(), &new);
    let installed = case.site.plugin([OsStr::new("install"), new.as_os_str()]);
    assert_eq!(installed.status, 0, "{installed:#?}");
    assert_eq!(child.try_wait().expect("looking at cdist"), None, "the run goes on with the old file");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("stopping cdist");
    assert_eq!(child.wait().expect("waiting for cdist").code(), Some(143));
    assert_eq!(case.site.preos(["freebsd"]).status, 0);
    case.alive("the run goes on with the old file, the next one has the new one")
}

fn rows() -> Vec<(&'static str, &'static str, String)> {
    let listed = |what, case: Case| ("a file", what, case.listed());
    let named = |what, case: Case| ("a text", what, case.listed());
    let loads = |what, case: Case, name: &str| ("loading", what, case.runs([name]));
    let runs = |what, case: Case, name: &str| ("a run", what, case.runs([name]));
    let mode =
        |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("setting a mode");
    let long = format!("\"{}\"", "x".repeat(10_000));
    let whole = fs::read(dummies()).expect("reading the dummies");
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    let api = |compiler: &str| {
        let file = museum("1.0.0").join(compiler);
        Case::new().make(|to| install(&file, to)).runs(["exhibit", "from", compiler])
    };
    let slow = || {
        let case = Case::new().c("", "for (;;) {}");
        let mut command = case.site.command();
        let outcome = finish_within(command.arg("it"), Duration::from_secs(2));
        assert!(outcome.is_none(), "it ended: {outcome:#?}");
        case.alive("runs until the user stops it; a second signal, or 20 s, end it for sure")
    };
    let not_utf8 = || {
        let case = Case::new().c("", "exit(77);");
        case.runs([OsString::from("it"), OsString::from_vec(vec![b'a', 0xff])])
    };

    vec![
        listed("half of a library", Case::new().make(|file| install_bytes(&whole[..whole.len() / 2], file))),
        listed("a text file", Case::new().make(|file| install_bytes(b"#!/bin/sh\n", file))),
        listed("a program", Case::new().make(|file| install(Path::new("/bin/true"), file))),
        listed(
            "a library for another processor",
            Case::new().make(|file| install_bytes(&with(18, 22), file)),
        ),
        listed("a library of 32 bits", Case::new().make(|file| install_bytes(&with(4, 1), file))),
        listed(
            "a FIFO",
            Case::new().make(|file| {
                nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRWXU).expect("making a FIFO");
            }),
        ),
        listed(
            "a symbolic link",
            Case::new().make(|file| {
                std::os::unix::fs::symlink(dummies(), file).expect("making a link");
            }),
        ),
        listed(
            "a file that others can write",
            Case::new().make(|file| {
                install(&dummies(), file);
                mode(file, 0o666);
            }),
        ),
        listed(
            "a file that the record does not name",
            Case::new().make(|file| {
                let sums = file.with_file_name("plugins.sha256");
                let output = run(Command::new("sha256sum")
                    .arg("a-good-one.so")
                    .current_dir(file.parent().expect("a directory")));
                install_bytes(output.as_bytes(), &sums);
                install(&dummies(), file);
            }),
        ),
        named("of a later major version", Case::new().patched("cdist-preos 1.0", "cdist-preos 2.0")),
        named("of a later minor version", Case::new().patched("cdist-preos 1.0", "cdist-preos 1.7")),
        named("damaged", Case::new().patched("cdist-preos 1.0", "cdist-preos 1.x")),
        named("a name with a slash", Case::new().named("\"net/bsd\"")),
        named("a name with a space", Case::new().named("\"net bsd\"")),
        named("a name with an escape sequence", Case::new().named("\"\\x1b[31mred\"")),
        named("a name of 10,000 letters", Case::new().named(&long)),
        named(
            "a summary with control characters",
            Case::new().c("#define PREOSES(X) X(\"it\", commandline, \"\\x1b[2J\\x07it\")", ""),
        ),
        named("a name that an earlier file has", Case::new().named("\"exhibit-2\"")),
        loads(
            "types that are not those of 1.x",
            Case::new().make(|file| install(&with_other_types(), file)),
            "netbsd",
        ),
        loads(
            "the text names other PreOSes than the library has",
            Case::new().patched("netbsd", "openbs"),
            "openbs",
        ),
        loads(
            "a function that no library has",
            Case::new().c("int nowhere(void);", "return nowhere();"),
            "it",
        ),
        loads(
            "a constructor that ends the process",
            Case::new().c("__attribute__((constructor)) static void first(void) { exit(0); }", ""),
            "it",
        ),
        ("loading", "built by rustc 1.63", api("rustc-1.63.so")),
        ("loading", "built by rustc 1.95", api("rustc-1.95.so")),
        ("loading", "built by rustc 1.96", api("rustc-1.96.so")),
        ("loading", "built by gcc 12", api("gcc-12.so")),
        runs("an error", Case::new().hostile(), "fails"),
        ("a run", "its own exit status", Case::new().hostile().runs(["statuses", "7"])),
        ("a run", "an exit status that is none", Case::new().hostile().runs(["statuses", "256"])),
        runs("a panic", Case::new().hostile(), "panics"),
        runs(
            "a panic in a library with `panic=abort`",
            Case::new().make(|file| install(&aborting_hostile(), file)),
            "panics",
        ),
        runs("a segmentation fault", Case::new().hostile(), "crashes"),
        runs("`abort`", Case::new().hostile(), "aborts"),
        runs("`exit(0)`", Case::new().hostile(), "exits"),
        ("a run", "a C++ exception", Case::new().source("cpp", "", "throw 7;").runs(["it"])),
        runs("`fail` in C, without a message", Case::new().c("", "host->fail(host->ctx, NULL);"), "it"),
        runs("a recipe with a key of the future", Case::new().hostile(), "asks"),
        ("a run", "an argument that is not UTF-8", not_utf8()),
        ("a run", "no end", slow()),
        ("a run", "the file is replaced", replaced_while_it_runs()),
        ("Python", "a syntax error", Case::new().python("x = (\n").listed()),
        ("Python", "no PreOS in it", Case::new().python("x = 1\n").listed()),
        ("Python", "an exception when it is executed", Case::new().python("import os\nnone.such\n").listed()),
        (
            "Python",
            "an exception in a run",
            Case::new()
                .python(
                    "_cdist_preos = True\ndef commandline(cls, args):\n    raise ValueError('no mirror')\n",
                )
                .runs(["plugin"]),
        ),
    ]
}

#[test]
fn the_table_of_the_page() {
    let mut table = String::from("| | case | result |\n|---|---|---|\n");
    for (kind, what, result) in rows() {
        table.push_str(&format!("| {kind} | {what} | `{}` |\n", result.replace('`', "'")));
    }
    let page = workspace().join("docs/plugin-abi.md");
    let text = fs::read_to_string(&page).expect("reading the page");
    let (begin, end) = ("<!-- cases: begin -->\n", "<!-- cases: end -->\n");
    let start = text.find(begin).expect("the page has the begin of the table") + begin.len();
    let stop = text.find(end).expect("the page has the end of the table");
    if env::var_os("UPDATE_PAGES").is_some() {
        fs::write(&page, format!("{}{table}{}", &text[..start], &text[stop..])).expect("writing the page");
    } else {
        assert_eq!(
            &text[start..stop],
            table,
            "the table of docs/plugin-abi.md; UPDATE_PAGES=1 writes it anew"
        );
    }
}
