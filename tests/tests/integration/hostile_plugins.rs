//! Plugins that misbehave while they run: one clear line, and cdist itself ends as it should.

use cdist_tests::plugins::{Outcome, Site, hostile, install};

fn site() -> Site {
    let site = Site::new();
    install(&hostile(), &site.home_plugins().join("hostile.so"));
    site
}

fn run(name: &str) -> (Site, Outcome) {
    let site = site();
    let outcome = site.preos([name]);
    (site, outcome)
}

/// Checks status, name, file and compiler; the error line without what differs between machines.
fn error(name: &str) -> String {
    let (site, outcome) = run(name);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{outcome:#?}");
    let line = outcome.error();
    assert!(line.contains(name), "{line}");
    assert!(line.contains("hostile.so, built with rustc 1."), "{line}");
    site.filtered(line)
}

#[test]
fn deaths() {
    let lines = ["panics", "aborts", "crashes", "exits"].map(error);
    assert!(lines[0].contains("panicked: no mirror 7"));
    assert!(lines[1].contains("SIGABRT"));
    assert!(lines[2].contains("SIGSEGV"));
    assert!(lines[3].contains("exit status 0"));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn an_error_is_told_in_the_plugins_words() {
    let (_, outcome) = run("fails");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (1, "error: fails: it does not work\n"));
}

#[test]
fn a_recipe_from_the_future() {
    let (site, outcome) = run("asks");
    assert_eq!(outcome.status, 1);
    let line = site.filtered(outcome.error());
    assert!(line.contains("from-the-future"), "{line}");
    insta::assert_snapshot!(line);
}

#[test]
fn a_status_that_is_no_exit_status() {
    let site = site();
    for (status, expected) in [("2", 2), ("255", 255)] {
        assert_eq!(site.preos(["statuses", status]).status, expected, "{status}");
    }
    for status in ["256", "-1"] {
        let outcome = site.preos(["statuses", status]);
        let expected = format!("statuses returned {status}, which is no exit status (");
        assert!(outcome.status == 1 && outcome.error().starts_with(&expected), "{outcome:#?}");
    }
}

#[test]
fn what_the_plugin_wrote_is_not_lost() {
    let site = site();
    let outcome = site.preos(["writes"]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "no line end"), "{outcome:#?}");
}
