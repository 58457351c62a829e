//! `cdist preos` with plugins in C and C++, built as an outsider would: with the staged header and no more.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use cdist_tests::{
    lab::process::run,
    plugins::{Outcome, STRICT, Site, compile, finish, include_dir, make, workspace},
    running::Running,
};
use nix::sys::signal::{Signal, kill};

fn fixture(name: &str) -> PathBuf {
    workspace().join("tests/fixtures/c").join(name)
}

/// A site with the PreOSes of `probe.c` in `~/.cdist/preos`.
fn with_probe() -> Site {
    let site = Site::new();
    compile(&fixture("probe.c"), &site.home_plugins().join("probe.so"), &["-pthread"]);
    site
}

/// Compiles the text of a plugin in C into `~/.cdist/preos/NAME.so`.
fn write(site: &Site, name: &str, text: &str) {
    let source = site.dir("source").join(name).with_extension("c");
    fs::write(&source, text).unwrap();
    compile(&source, &site.home_plugins().join(name).with_extension("so"), &[]);
}

/// A copy of an example in the site, built by its Makefile with the targets.
fn example(site: &Site, name: &str, targets: &[&str]) -> PathBuf {
    let dir = site.root().join(name);
    run(Command::new("cp").arg("-R").arg(workspace().join("examples").join(name)).arg(&dir));
    let flags = STRICT.join(" ");
    let mut make = make();
    make.arg("-C").arg(&dir).args(["CFLAGS", "CXXFLAGS"].map(|name| format!("{name}={flags}")));
    make.arg(format!("CDIST_INCLUDE={}", include_dir().display())).args(targets);
    run(&mut make);
    for file in fs::read_dir(&dir).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "so") {
            fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
    dir
}

fn shown(site: &Site, outcome: &Outcome) -> String {
    let text = format!("status {}\n{}--\n{}", outcome.status, outcome.stdout, outcome.stderr);
    // Seconds and the compiler differ.
    let lines = site.filtered(&text).lines().map(without_seconds).collect::<Vec<_>>().join("\n");
    let compiler = run(Command::new("cc").arg("-dumpfullversion"));
    lines.replace(&format!("gcc {}", compiler.trim()), "[GCC]")
}

fn without_seconds(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let number = word.trim_start_matches('(');
        if number.parse::<f32>().is_ok() && number.contains('.') {
            word.replace(number, "N")
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

#[test]
fn the_plugin_of_the_documentation() {
    let text = fs::read_to_string(workspace().join("docs/plugins.md")).unwrap();
    let code = text.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let site = Site::new();
    write(&site, "netbsd", code);
    let machine = run(Command::new("uname").arg("-m"));
    let expected =
        format!("NetBSD for /srv/netbsd, asked by this machine:\nreport 1\nstdout {}\\n\n", machine.trim());
    let outcome = site.preos(["netbsd", "/srv/netbsd"]);
    assert_eq!((outcome.status, outcome.stdout), (0, expected));
    assert_eq!(site.preos(["netbsd"]).error(), "netbsd: usage: cdist preos netbsd TARGET_DIR");
    let library = site.home_plugins().join("netbsd.so");
    let checked = site.plugin([OsStr::new("check"), library.as_os_str()]);
    assert_eq!(checked.status, 0, "{checked:#?}");
    assert!(checked.stdout.contains(" 0 warnings, 0 failed, "), "{checked:#?}");
}

#[test]
fn the_example_in_c() {
    let site = Site::new();
    let dir = example(&site, "c-hello", &["hello.so", "test"]);
    let dir = dir.to_str().unwrap();
    let machine = run(Command::new("uname").arg("-m"));
    let outcome = site.preos(["-v", "--plugin-dir", dir, "hello", "Ada", "größe"]);
    let expected =
        format!("Hello, Ada\nHello, größe\nfrom a machine of the kind {machine}with data from nowhere\n");
    assert_eq!((outcome.status, &outcome.stdout), (0, &expected), "{outcome:#?}");
    for line in ["greeting: done", "INFO: hello: everybody is greeted"] {
        assert!(outcome.stderr.contains(line), "{outcome:#?}");
    }
    fs::create_dir(Path::new(dir).join("hello")).unwrap();
    assert!(site.preos(["--plugin-dir", dir, "hello", "x"]).stdout.contains("c-hello/hello\n"));
    let usage = site.preos(["--plugin-dir", dir, "hello"]);
    assert_eq!((usage.status, usage.error()), (2, "hello: usage: cdist preos hello NAME..."));
}

#[test]
fn the_example_in_cpp() {
    let site = Site::new();
    let dir = example(&site, "cpp-hello", &["tiny.so"]);
    let words = |more: &'static [&'static str]| {
        ["--plugin-dir", dir.to_str().unwrap(), "tiny"].into_iter().chain(more.iter().copied())
    };
    let recipe = site.preos(words(&["-n", "/srv/back\\slash\nline"]));
    assert_eq!(recipe.status, 0, "{recipe:#?}");
    insta::assert_snapshot!(recipe.stdout);
    assert_eq!(site.preos(words(&[])).status, 2);
    // It is the host that refuses, with or without root.
    let refused = site.preos(words(&["relative"]));
    assert_eq!(refused.status, 1, "{refused:#?}");
    assert!(refused.error().starts_with("tiny: "), "{refused:#?}");
}

#[test]
fn the_header_is_c99_and_cpp11() {
    let site = Site::new();
    compile(&fixture("probe.c"), &site.root().join("c99.so"), &["-std=gnu99", "-pthread"]);
    compile(&fixture("throws.cpp"), &site.root().join("cpp11.so"), &["-std=c++11"]);
    let alone = site.root().join("alone.c");
    fs::write(&alone, "#include \"cdist_preos.h\"\n#include \"cdist_preos.h\"\nint nothing;\n").unwrap();
    compile(&alone, &site.root().join("alone.so"), &["-std=c99"]);
    fs::copy(&alone, alone.with_extension("cpp")).unwrap();
    compile(&alone.with_extension("cpp"), &site.root().join("alone.so"), &["-std=c++11"]);
    let hello = workspace().join("examples/c-hello/hello.c");
    compile(&hello, &site.root().join("hello.so"), &["-std=c99", "-Wconversion"]);
    // As a plugin may be built that has no symbols to spare.
    compile(
        &fixture("probe.c"),
        &site.home_plugins().join("o.so"),
        &["-O2", "-fvisibility=hidden", "-flto", "-s"],
    );
    assert_eq!(site.preos(["words"]).stdout, "0\n");
}

#[test]
fn is_listed_and_inspected() {
    let site = with_probe();
    let list = site.preos(["-L"]);
    assert!(list.stdout.contains("    - words "), "{list:#?}");
    assert!(list.stdout.contains("Prints its arguments") && list.stderr.is_empty(), "{list:#?}");
    let file = site.home_plugins().join("probe.so");
    let inspected = site.plugin(["inspect".as_ref(), file.as_os_str()]);
    assert_eq!(inspected.status, 0);
    for row in ["Kind:       C library\n", "Plugin API: 1.0\n", "Built with: gcc ", "Loadable:   yes\n"] {
        assert!(inspected.stdout.contains(row), "{row}: {inspected:#?}");
    }
    assert!(!inspected.stdout.contains("Panic:"), "{inspected:#?}");
}

#[test]
fn arguments_are_handed_over_untouched() {
    let site = with_probe();
    let outcome = site.preos(["words", "", "é", "a b", "-h", "--", "a\nb", "%s", "\\"]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "8[][é][a b][-h][--][a\nb][%s][\\]\n"));
    assert_eq!(site.preos(["words"]).stdout, "0\n");
}

#[test]
fn the_status_and_the_error_are_passed_on() {
    let site = with_probe();
    for (status, expected) in [("0", 0), ("7", 7), ("255", 255)] {
        let outcome = site.preos(["ends", status]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (expected, ""), "{status}");
    }
    let outcome = site.preos(["ends", "256"]);
    assert!(outcome.status == 1 && outcome.error().starts_with("ends returned 256, "), "{outcome:#?}");
    for (status, expected) in [("0", 1), ("2", 2), ("130", 130), ("256", 1)] {
        let outcome = site.preos(["ends", status, "no mirror"]);
        assert_eq!(
            (outcome.status, outcome.stderr.as_str()),
            (expected, "error: ends: no mirror\n"),
            "{status}"
        );
    }
    assert_eq!(site.preos(["ends", "1", ""]).error(), "ends: it failed without a message");
}

#[test]
fn every_function_of_the_host() {
    let site = with_probe();
    let _ = site.dir("home/.cdist/preos/asks");
    fs::write(site.root().join("home/.cdist.cfg"), "[GLOBAL]\nremote_shell = /bin/dash\n").unwrap();
    let quiet = site.preos(["asks"]);
    insta::assert_snapshot!(shown(&site, &quiet));
    for (words, verbosity, beta) in [(&["-q"][..], -1, 0), (&["-vv", "--beta"], 2, 1)] {
        let outcome = site.preos(words.iter().chain(&["asks"]));
        assert!(outcome.stdout.contains(&format!("verbosity: {verbosity}\nbeta: {beta}\n")), "{outcome:#?}");
    }
}

#[test]
fn log_levels() {
    let site = with_probe();
    let all = ["-q", "-v", "-vv", "-vvv"]
        .map(|option| format!("{option}\n{}\n", site.preos([option, "logs"]).stderr));
    insta::assert_snapshot!(site.preos(["logs"]).stderr + &all.concat());
}

#[test]
fn null_and_broken_text_everywhere() {
    let site = with_probe();
    insta::assert_snapshot!(["nulls", "mangled"].map(|name| shown(&site, &site.preos([name]))).join("\n\n"));
}

#[test]
fn threads_may_call_the_host() {
    let site = with_probe();
    let outcome = site.preos(["threads"]);
    assert_eq!(
        (outcome.status, outcome.stdout.as_str()),
        (5, "0 report 1\nstdout \n".repeat(4).as_str()),
        "{outcome:#?}"
    );
    assert_eq!(outcome.error(), "threads: said by a thread");
}

#[test]
fn cancellation_is_told() {
    let site = with_probe();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let ready = site.root().join(signal.as_str());
        let mut running =
            Running::start(site.command().arg("waits").arg(&ready), &site.root().join("messages"));
        running.wait_until("the plugin runs", |_| ready.is_file());
        kill(running.pid(), signal).unwrap();
        let outcome = running.end();
        assert_eq!(
            (outcome.status, outcome.stderr.as_str()),
            (Some(128 + signal as i32), "error: waits: stopped\n")
        );
    }
}

#[test]
fn what_the_plugin_wrote_is_not_lost() {
    let site = with_probe();
    compile(&fixture("throws.cpp"), &site.home_plugins().join("throws.so"), &[]);
    for name in ["writes", "streams"] {
        let outcome = site.preos([name]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "no line end"), "{name}");
    }
    // What it has printed comes before what cdist says of its error.
    let mut shell = Command::new("sh");
    let program = site.command();
    shell.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(program.get_program()).args(["preos", "asks"]);
    for (name, value) in program.get_envs() {
        let _ = match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let both = finish(&mut shell).stdout;
    let (printed, summary) = (both.find("without an answer: 1"), both.find("  total "));
    assert!(printed.is_some() && printed < summary, "{both}");
}

#[test]
fn deaths() {
    let site = with_probe();
    compile(&fixture("throws.cpp"), &site.home_plugins().join("throws.so"), &[]);
    let lines = ["crashes", "aborts", "exits", "leaves", "throws"].map(|name| {
        let outcome = site.preos([name]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{outcome:#?}");
        shown(&site, &outcome).lines().filter(|line| line.starts_with("error: ")).collect::<String>()
    });
    insta::assert_snapshot!(lines.join("\n"));
}

/// A plugin whose table has these entries, and whose text names `one` and `two`.
fn with_table(entries: &str) -> String {
    format!(
        "#include \"cdist_preos.h\"\n\
         static int run(int c, const char *const *v, const cdist_preos_host *h) {{ (void)c, (void)v, (void)h; return 0; }}\n\
         const char _cdist_preos[] = \"cdist-preos 1.0\\nbuilt-with hand\\npreos one\\tone\\t\\npreos two\\ttwo\\t\\n\";\n\
         const cdist_preos_entry _cdist_preos_c1[] = {{{entries}}};\n\
         int (*const used)(int, const char *const *, const cdist_preos_host *) = run;\n"
    )
}

#[test]
fn a_table_that_disagrees_with_the_text_is_not_used() {
    for (what, entries) in [
        ("empty", "{0, 0}"),
        ("shorter", "{\"one\", run}, {0, 0}"),
        ("longer", "{\"one\", run}, {\"two\", run}, {\"three\", run}, {0, 0}"),
        ("half an end", "{\"one\", run}, {\"two\", run}, {0, run}"),
        ("the other half", "{\"one\", run}, {\"two\", run}, {\"three\", 0}"),
        ("other name", "{\"one\", run}, {\"tow\", run}, {0, 0}"),
        ("longer name", "{\"one\", run}, {\"twotwo\", run}, {0, 0}"),
        ("no function", "{\"one\", run}, {\"two\", 0}, {0, 0}"),
        ("no name", "{0, run}, {\"two\", run}, {0, 0}"),
        ("other order", "{\"two\", run}, {\"one\", run}, {0, 0}"),
    ] {
        let site = Site::new();
        write(&site, "liar", &with_table(entries));
        let outcome = site.preos(["one"]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{what}: {outcome:#?}");
        let expected = "liar.so exports other PreOSes than its _cdist_preos text names; do not trust it";
        assert!(outcome.error().ends_with(expected), "{what}: {outcome:#?}");
    }
    let site = Site::new();
    let text = "const char _cdist_preos[64] = \"cdist-preos 1.0\\nbuilt-with hand\\npreos one\\tone\\t\\n\";\n\
                __asm__(\".globl _cdist_preos_c1\\n.set _cdist_preos_c1, _cdist_preos + 1\");\n";
    write(&site, "crooked", text);
    assert!(site.preos(["one"]).error().contains("crooked.so exports other PreOSes"));
    let site = Site::new();
    write(&site, "honest", &with_table("{\"one\", run}, {\"two\", run}, {0, 0}"));
    assert_eq!(site.preos(["two"]).status, 0);
}

#[test]
fn a_library_with_both_faces_is_one_of_c() {
    let site = Site::new();
    let table = with_table("{\"one\", run}, {\"two\", run}, {0, 0}");
    write(&site, "both", &format!("{table}const char _1as_0lib_1header_0root_bmodule_bloader[256];\n"));
    assert_eq!(site.preos(["one"]).status, 0);
    let file = site.home_plugins().join("both.so");
    assert!(site.plugin(["inspect".as_ref(), file.as_os_str()]).stdout.contains("Kind:       C library\n"));
}

#[test]
fn a_library_with_a_text_and_nothing_to_call() {
    let site = Site::new();
    write(
        &site,
        "nothing",
        "const char _cdist_preos[] = \"cdist-preos 1.0\\nbuilt-with hand\\npreos one\\tone\\t\\n\";\n",
    );
    let outcome = site.preos(["one"]);
    assert_eq!(outcome.status, 1);
    assert!(outcome.error().contains("nothing.so (hand) does not fit the plugin API 1.x"), "{outcome:#?}");
}

/// What a plugin prints is what was asked for. It lies in a buffer of the C library, or of Rust's, until the plugin has returned.
#[test]
fn a_plugin_whose_output_cannot_be_written_has_failed() {
    let site = with_probe();
    write(&site, "long", &long_plugin());
    for words in [&["words", "a"][..], &["long"], &["debian", "-h"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = site.command().args(words).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert_eq!(said.matches("writing to standard output").count(), 1, "{words:?}: {said}");
        // A reader that goes away has read enough.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = site.command().args(words).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{words:?}");
    }
}

/// Prints more than a buffer holds, so that it fails long before the end.
fn long_plugin() -> String {
    "#include <stdio.h>\n#include \"cdist_preos.h\"\n\
     static int run(int argc, const char *const *argv, const cdist_preos_host *host)\n\
     { int i; (void)argc, (void)argv, (void)host; for (i = 0; i < 100000; i++) printf(\"%d\\n\", i); return 0; }\n\
     #define LIST(X) X(\"long\", run, \"Prints much\")\nCDIST_EXPORT_PREOSES(LIST)\n"
        .to_owned()
}
