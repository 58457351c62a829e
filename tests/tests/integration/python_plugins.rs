//! `cdist preos` with plugins that are Python files: the walk of the documentation, calls, lists, files that are no good.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cdist_tests::plugins::{Outcome, Site, dummies, install, install_bytes, workspace};

/// The plugins of the documentation, byte for byte.
fn fixture(name: &str) -> PathBuf {
    workspace().join("tests/fixtures/python").join(name)
}

/// A site with the two plugins of the documentation in `~/.cdist/preos`.
fn with_documented() -> Site {
    let site = Site::new();
    for name in ["netbsd.py", "freebsd.py"] {
        install(&fixture(name), &site.home_plugins().join(name));
    }
    site
}

/// Puts a file with `text` beside the other plugins of the user.
fn write(site: &Site, name: &str, text: &str) -> PathBuf {
    let file = site.home_plugins().join(name);
    install_bytes(text.as_bytes(), &file);
    file
}

/// A plugin `name`, the lines of whose `commandline(module, args)` are `body`.
fn plugin(site: &Site, name: &str, body: &str) {
    let body = body.replace('\n', "\n    ");
    let text = format!("import os, sys\n_cdist_preos = True\ndef commandline(module, args):\n    {body}\n");
    let _ = write(site, &format!("{name}.py"), &text);
}

fn shown(site: &Site, outcome: &Outcome) -> String {
    site.filtered(&format!("status {}\n{}--\n{}", outcome.status, outcome.stdout, outcome.stderr))
}

#[track_caller]
fn assert_runs(site: &Site, words: &[&str], stdout: &str) {
    let outcome = site.preos(words);
    let found = (outcome.status, outcome.stdout.as_str(), outcome.stderr.as_str());
    assert_eq!(found, (0, stdout, ""), "{words:?}");
}

#[test]
fn the_documented_walk() {
    let site = with_documented();
    assert_runs(&site, &["netbsd"], "NetBSD PreOS: []\n");
    assert_runs(&site, &["freebsd"], "FreeBSD dummy preos: []\n");
    let words = ["netbsd", "-h", "--", "", "größe €", "a\nb"];
    assert_runs(&site, &words, "NetBSD PreOS: ['-h', '--', '', 'größe €', 'a\\nb']\n");
    assert!(fs::read_dir(site.home_plugins()).unwrap().count() == 2, "no compiled files");
}

#[test]
fn lists() {
    let site = with_documented();
    let text =
        "\"\"\"Plan 9, \x1b[31mred\x1b[0m\n\nMore.\"\"\"\n_cdist_preos = True\ndef commandline(m, a): pass\n";
    let _ = write(&site, "Plan9.py", text);
    let (list, help) = (site.preos(["-L"]), site.preos(["-h"]));
    insta::assert_snapshot!(format!("{}{}", shown(&site, &list), shown(&site, &help)));
    let json: serde_json::Value = serde_json::from_str(&site.preos(["-L", "--json"]).stdout).unwrap();
    let entry = json.as_array().unwrap().iter().find(|entry| entry["name"] == "freebsd").unwrap();
    assert_eq!((&entry["api"], &entry["type"]), (&"python".into(), &"FreeBSD".into()));
    assert!(entry["built_with"].as_str().unwrap().starts_with("Python 3."));
}

#[test]
fn every_kind_of_commandline() {
    let site = Site::new();
    let text = "\
class Base:
    _cdist_preos = True
    @staticmethod
    def commandline(cls, args): print(cls.__name__, args)
class Heir(Base): pass
class Old(Base):
    @staticmethod
    def commandline(args): print('Old alone', args)
class Plain(Base):
    _preos_name = 'plain-1'
    def commandline(cls, args): print(cls.__name__, args)
class Bound(Base):
    @classmethod
    def commandline(cls, args): print(cls.__name__, args)
class Off(Base): _cdist_preos = False
Again = Heir
";
    let _ = write(&site, "kinds.py", text);
    let _ = write(&site, "user.py", "from kinds import Base, Heir\nclass Mine(Base): pass\n");
    for (name, expected) in [
        ("base", "Base ['x']\n"),
        ("heir", "Heir ['x']\n"),
        ("old", "Old alone ['x']\n"),
        ("plain-1", "Plain ['x']\n"),
        ("bound", "Bound ['x']\n"),
        ("mine", "Mine ['x']\n"),
    ] {
        assert_runs(&site, &[name, "x"], expected);
    }
    assert_eq!(site.preos(["off"]).status, 1);
}

#[test]
fn how_a_run_ends() {
    let site = Site::new();
    for (name, body, status) in [
        ("none", "print('done')", 0),
        ("seven", "return 7", 7),
        ("much", "return 256", 1),
        ("negative", "return -1", 1),
        ("yes", "return True", 0),
        ("exit3", "sys.exit(3)", 3),
        ("exit0", "sys.exit()", 0),
        ("hard", "os._exit(5)", 5),
    ] {
        plugin(&site, name, body);
        let outcome = site.preos([name]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (status, ""), "{name}");
    }
    plugin(&site, "usage", "sys.exit('usage: one\\nor two')");
    let usage = site.preos(["usage"]);
    assert_eq!((usage.status, usage.stderr.as_str()), (1, "usage: one\nor two\n"));
    plugin(&site, "dies", "print('out', flush=True)\nos.abort()");
    let dies = site.preos(["dies"]);
    assert_eq!((dies.status, dies.stdout.as_str()), (1, "out\n"));
    assert!(dies.error().starts_with("the plugin dies died: SIGABRT ("), "{dies:#?}");
    assert!(dies.error().contains("dies.py, Python 3."), "{dies:#?}");
}

#[test]
fn an_exception_is_one_line() {
    let site = Site::new();
    plugin(&site, "raises", "print('before')\nraise ValueError('no\\nmirror\\x1b[31m')");
    let outcome = site.preos(["raises"]);
    let file = site.home_plugins().join("raises.py");
    let expected = format!("error: raises: ValueError: no mirror\\x1b[31m (line 5) in {}\n", file.display());
    let found = (outcome.status, outcome.stdout.as_str(), outcome.stderr.as_str());
    assert_eq!(found, (1, "before\n", expected.as_str()));
    let traced = site.preos(["-vvv", "raises"]);
    assert!(traced.stderr.contains("Traceback (most recent call last)"), "{traced:#?}");
    assert!(traced.error().contains("(line 5)"), "{traced:#?}");
}

#[test]
fn a_plugin_sees_what_the_original_shows() {
    let site = Site::new();
    plugin(&site, "sees", "print(sys.argv, __name__, __file__ == args[0], os.getcwd() == args[1])");
    let (file, root) = (site.home_plugins().join("sees.py"), site.root().canonicalize().unwrap());
    let (file, root) = (file.to_string_lossy(), root.to_string_lossy());
    let expected = format!("['cdist', 'preos', 'sees', '{file}', '{root}'] sees True True\n");
    assert_runs(&site, &["sees", &file, &root], &expected);
    assert!(site.preos(["sees", "x", "y"]).stdout.contains("sees False False"));
}

#[test]
fn helpers_beside_the_plugin() {
    let site = Site::new();
    plugin(&site, "user", "import _helper, platform\nprint(_helper.WORD, platform.system())");
    let helper = write(&site, "_helper.py", "WORD = 'helped'\n");
    // Named as a module of the standard library, which must keep its own.
    plugin(&site, "platform", "print('mine')");
    assert_runs(&site, &["user"], "helped Linux\n");
    assert_runs(&site, &["platform"], "mine\n");
    fs::set_permissions(&helper, Permissions::from_mode(0o666)).unwrap();
    let outcome = site.preos(["user"]);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.error().contains("ModuleNotFoundError: No module named '_helper' (line 4)"),
        "{outcome:#?}"
    );
    assert!(outcome.skipped()[0].1.contains("writable by group or others"), "{outcome:#?}");
}

#[test]
fn files_that_are_no_plugins() {
    let mut reasons = String::new();
    let mut check = |what: &str, make: &dyn Fn(&Path)| {
        let site = with_documented();
        let file = site.home_plugins().join("bad.py");
        make(&file);
        let outcome = site.preos(["-L"]);
        assert_eq!(outcome.status, 0);
        assert!(
            outcome.stdout.contains("- netbsd ") && outcome.stdout.contains("- freebsd "),
            "{outcome:#?}"
        );
        assert!(outcome.stderr.lines().count() == 1 && !outcome.stderr.contains('\x1b'), "{outcome:#?}");
        match outcome.skipped()[..] {
            [(skipped, reason)] if Path::new(skipped) == file => {
                reasons.push_str(&format!("{what}: {}\n", site.filtered(reason)));
            }
            _ => panic!("{what}: {outcome:#?}"),
        }
    };
    let text = |text: &'static str| move |file: &Path| install_bytes(text.as_bytes(), file);
    check("empty", &text(""));
    check("no mark", &text("def commandline(cls, args): pass\n"));
    check("syntax", &text("x = 1\nx = (\n"));
    check("encoding", &|file| install_bytes(b"x = '\xff'\n", file));
    check("exception", &text("import os\n\nnone.such\n"));
    check("exception elsewhere", &text("import json\njson.loads('\\x1b[31m')\n"));
    check("module that is missing", &text("import no_such_module\n"));
    check("long message", &text("raise ValueError('long ' * 1000)\n"));
    check("exit", &text("import sys\nprint('loud')\nsys.exit(3)\n"));
    check("hard exit", &text("import os\nos._exit(0)\n"));
    check("abort", &text("import os\nos.abort()\n"));
    check("killed group", &text("import os\nos.kill(0, 9)\n"));
    check(
        "closed descriptors",
        &text("import os\nos.closerange(0, 99)\n_cdist_preos = True\ncommandline = print\n"),
    );
    check("noise", &text("import sys, os\nfor n in range(3): os.write(n, b'{\"preoses\": []}\\n')\n"));
    check("process left", &text("import os, time\nif os.fork() == 0: time.sleep(99)\nos._exit(4)\n"));
    check("odd name", &text("_cdist_preos = True\n_preos_name = '\\x1b[31m/..'\ncommandline = print\n"));
    check("name of another type", &text("_cdist_preos = True\n_preos_name = 7\ncommandline = print\n"));
    check("directory", &|file| fs::create_dir(file).unwrap());
    check("fifo", &|file| nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRWXU).unwrap());
    check("link", &|file| symlink(fixture("netbsd.py"), file).unwrap());
    check("writable", &|file| {
        install(&fixture("netbsd.py"), file);
        fs::set_permissions(file, Permissions::from_mode(0o664)).unwrap();
    });
    insta::assert_snapshot!(reasons);
}

#[test]
fn files_that_hang_share_one_limit() {
    let site = with_documented();
    let _ = write(&site, "loop1.py", "x = 1\nwhile True:\n    x = 2\n");
    let _ = write(&site, "loop2.py", "import time\n\ntime.sleep(1000)\n");
    let _ = write(&site, "deaf.py", "import signal, time\nsignal.signal(14, 1)\ntime.sleep(1000)\n");
    let start = Instant::now();
    let outcome = site.preos(["-L"]);
    assert!(start.elapsed() < Duration::from_secs(14), "{:?}", start.elapsed());
    assert!(outcome.stdout.contains("- netbsd ") && outcome.stdout.contains("- freebsd "), "{outcome:#?}");
    let reasons: Vec<&str> = outcome.skipped().iter().map(|&(_, reason)| reason).collect();
    let limit = "it does not end within 10 s when it is executed";
    assert_eq!(reasons[0], limit);
    assert!(reasons[1].starts_with(limit) && reasons[1].contains("(line "), "{reasons:?}");
    assert_eq!(reasons[2], format!("{limit} (line 3)"));
}

#[test]
fn odd_file_names() {
    let site = Site::new();
    for name in ["two words.py", "\x1b[31m.py", "a.b.py", "-x.py", "Größe.py", ".py"] {
        let text = format!("_cdist_preos = True\n_preos_name = 'n{}'\ncommandline = print\n", name.len());
        let _ = write(&site, name, &text);
    }
    let list = site.preos(["-L"]);
    insta::assert_snapshot!(shown(&site, &list));
    assert!(site.preos(["n8"]).stdout.contains("[]"), "a module whose name has an escape sequence");
}

#[test]
fn later_directories_win_in_both_languages() {
    let site = Site::new();
    let names = |dir: &str| site.dir(dir);
    let (python, native) = (names("python"), names("native"));
    install(&fixture("netbsd.py"), &python.join("netbsd.py"));
    install(&dummies(), &native.join("dummies.so"));
    let run = |dirs: [&str; 2], last: &[&str]| {
        let words = ["--plugin-dir", dirs[0], "--plugin-dir", dirs[1]];
        let outcome = site.preos(words.iter().chain(last));
        (outcome.stdout.clone(), outcome.stderr.clone())
    };
    let list = run(["python", "native"], &["-L"]);
    assert!(list.0.contains("NetBSD dummy PreOS"), "{list:?}");
    assert_eq!(list.1, "note: PreOS netbsd comes from native/dummies.so, which replaces python/netbsd.py\n");
    let list = run(["native", "python"], &["-L"]);
    assert!(list.0.contains("python/netbsd.py") && !list.0.contains("NetBSD dummy PreOS"), "{list:?}");
    assert_eq!(list.1, "note: PreOS netbsd comes from python/netbsd.py, which replaces native/dummies.so\n");

    // Both show an argument in the way of their language.
    let netbsd = ["netbsd", "x"];
    assert_eq!(run(["native", "python"], &netbsd), ("NetBSD PreOS: ['x']\n".to_owned(), list.1));
    // A Python file that cannot replace the library is not executed.
    install_bytes(b"open('/proc/self/none')\n", &python.join("bad.py"));
    let by_library = ("NetBSD PreOS: [\"x\"]\n".to_owned(), String::new());
    assert_eq!(run(["python", "native"], &netbsd), by_library);
    let executed = run(["native", "python"], &netbsd).1;
    assert!(executed.contains("skipped python/bad.py: FileNotFoundError"), "{executed}");
}

#[test]
fn an_unknown_name_knows_python_too() {
    let site = with_documented();
    let outcome = site.preos(["netbds"]);
    assert_eq!(outcome.status, 1);
    assert!(outcome.error().contains("debian, freebsd, netbsd, ubuntu"), "{outcome:#?}");
    assert!(outcome.stderr.contains("hint: did you mean `cdist preos netbsd`?"), "{outcome:#?}");
}

#[test]
fn a_plugin_whose_output_cannot_be_written_has_failed() {
    let site = Site::new();
    plugin(&site, "prints", "print('text')");
    plugin(&site, "exits", "print('text'); sys.exit(0)");
    for name in ["prints", "exits"] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = site.command().arg(name).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert_eq!(said.matches("writing to standard output").count(), 1, "{name}: {said}");
        // A reader that goes away has read enough.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = site.command().arg(name).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{name}");
    }
}
