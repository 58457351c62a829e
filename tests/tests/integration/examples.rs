//! The plugins in `examples/`, built and checked as an outsider would, and asked for help by the real program.

use cdist_tests::plugins::{Site, build, check_crate, install};

/// Every crate there has its own tests, which use nothing but the fake host of the plugin API.
#[test]
fn every_example_passes_its_own_checks() {
    for (name, passed) in [("dummies", "1 passed"), ("devuan", "4 passed"), ("busybox", "4 passed")] {
        let output = check_crate(&format!("examples/{name}"));
        assert!(output.contains(passed), "{name}: {output}");
    }
}

fn site() -> Site {
    let site = Site::new();
    for name in ["devuan", "busybox"] {
        let library = build(&format!("examples/{name}"));
        install(&library, &site.home_plugins().join(format!("{name}.so")));
    }
    site
}

#[test]
fn help_of_the_examples() {
    let site = site();
    for name in ["devuan", "busybox"] {
        let help = site.preos([name, "-h"]);
        assert_eq!((help.status, help.stderr.as_str()), (0, ""), "{help:#?}");
        insta::assert_snapshot!(format!("help_of_{name}"), help.stdout);
    }
}

#[test]
fn wrong_usage_is_one_line() {
    let site = site();
    for (words, said) in [
        (["devuan", "root", "-b"].as_slice(), "devuan: -b needs a mirror, -m URL; see cdist preos devuan -h"),
        (
            &["devuan", "root", "-t", "true", "-p", "pxe"],
            "devuan: -k and -t need -C; see cdist preos devuan -h",
        ),
        (&["busybox", "root", "-m", "x"], "busybox: there is no option -m; see cdist preos busybox -h"),
    ] {
        let outcome = site.preos(words);
        assert_eq!((outcome.status, outcome.error()), (2, said), "{outcome:#?}");
    }
    // What the plugin leaves to cdist.
    let nothing = site.preos(["busybox", "root"]);
    assert_eq!(nothing.status, 1);
    assert!(nothing.error().contains("bootstrap it first with -b"), "{nothing:#?}");
}
