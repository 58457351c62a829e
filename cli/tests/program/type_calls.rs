//! Type calls where the engine differs from the original on purpose, and what they leave for other scripts.

use std::{fs, path::PathBuf, sync::Arc};

use cdist_core::{
    config::{self, ConfigError, Manifest, Run, RunReport},
    connector::Local,
};

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        lab.write("type/__n/parameter/optional", "text\n");
        lab.write("type/__n/parameter/optional_multiple", "many\n");
        lab.write("type/__s/singleton", "");
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path("conf").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs a manifest to which `show OBJECT FILE` prints a file of an object.
    fn run(&self, manifest: &str) -> Result<RunReport, ConfigError> {
        let show = r#"show() { cat "$__global/object/$1/$__cdist_object_marker/$2" >> "@" 2>/dev/null || echo none >> "@"; }"#;
        let text = format!("{}\n{manifest}", show.replace('@', self.path("shown").to_str().unwrap()));
        let program = env!("CARGO_BIN_EXE_cdist");
        let manifest = Manifest::Bytes(text.into());
        let mut run = Run::new("host", vec![self.path("conf")], manifest, Arc::new(Local::new()), program);
        run.remote_dir = self.path("remote");
        run.temporary = self.dir.path().to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(config::configure(run))
    }

    fn shown(&self, manifest: &str) -> String {
        self.run(manifest).unwrap_or_else(|e| panic!("{}", e.report()));
        fs::read_to_string(self.path("shown")).unwrap_or_default()
    }

    fn refused(&self, manifest: &str) -> String {
        self.run(manifest).unwrap_err().report()
    }
}

#[test]
fn a_word_that_is_no_type_is_told() {
    let report = Lab::new().refused("__nn x\n");
    assert!(report.starts_with("there is no type __nn, did you mean __n?"), "{report}");
    let lab = Lab::new();
    lab.write("type/__n/manifest", "__nonsense_of_another_kind x\n");
    let report = lab.refused("__n x\n");
    assert!(report.starts_with("there is no type __nonsense_of_another_kind\n"), "{report}");
    // A failure of another kind keeps its own reason.
    let report = Lab::new().refused("__nn x || :\nfalse\n");
    assert!(!report.starts_with("there is no type"), "{report}");
}

#[test]
fn an_equal_definition_is_no_conflict_whatever_the_value() {
    let value = "'a\n\nb\n'";
    Lab::new().shown(&format!("__n x --text {value} --many {value}\n__n x --many {value} --text {value}\n"));
}

#[test]
fn a_conflict_names_both_values() {
    let report = Lab::new().refused("__n x --text a\n__n x --text b\n");
    assert!(report.contains("Object __n/x already exists with conflicting parameters:"), "{report}");
    assert!(report.contains("{text: \"a\"}") && report.contains("{text: \"b\"}"), "{report}");
}

#[test]
fn override_replaces_all_parameters() {
    let shown = Lab::new()
        .shown("__n x --text a --many b\nCDIST_OVERRIDE= __n x --text c\nshow __n/x parameter/text\nshow __n/x parameter/many\n");
    assert_eq!(shown, "c\nnone\n");
}

#[test]
fn stdin_survives_a_definition_without_any() {
    let shown = Lab::new().shown("echo one | __n x\n__n x </dev/null\nshow __n/x stdin\n__n y <&-\n");
    assert_eq!(shown, "one\n");
}

#[test]
fn a_type_call_may_feed_another_one() {
    let lab = Lab::new();
    lab.shown("{ __n a; echo from a; } | __n b\n");
}

#[test]
fn an_id_does_not_leave_its_type() {
    for id in ["..", "../x", "a/../../b", "a/./b"] {
        let report = Lab::new().refused(&format!("__n {id}\n"));
        assert!(report.contains("object_id may not contain the path component"), "{report}");
    }
    let report = Lab::new().refused(&format!("__n {}\n", "x".repeat(300)));
    assert!(report.contains("longer than 255 bytes"), "{report}");
}

#[test]
fn a_predecessor_is_required_even_if_its_name_is_part_of_another() {
    let shown = Lab::new().shown(
        "__n ab\nexport CDIST_ORDER_DEPENDENCY=1\n__n a\nrequire=__n/ab __n z\nunset CDIST_ORDER_DEPENDENCY\n__s\nshow __n/z require\nshow __s require\n",
    );
    assert_eq!(shown, "__n/ab\n__n/a\nnone\n");
}

#[test]
fn each_order_context_of_a_type_manifest_begins_anew() {
    let lab = Lab::new();
    let shown = lab.path("order").display().to_string();
    lab.write(
        "type/__outer/manifest",
        &format!(
            "export CDIST_ORDER_DEPENDENCY=1; __n 1; __n 2; unset CDIST_ORDER_DEPENDENCY; __n 3\n\
             export CDIST_ORDER_DEPENDENCY=1; __n 4; __n 5\n\
             for i in 2 4 5; do cat \"$__global/object/__n/$i/$__cdist_object_marker/require\" >> '{shown}' 2>/dev/null || echo none >> '{shown}'; done\n"
        ),
    );
    lab.shown("__outer o\n");
    assert_eq!(fs::read_to_string(shown).unwrap(), "__n/1\nnone\n__n/4\n");
}

#[test]
fn a_requirement_of_an_unknown_type_is_told_at_once() {
    let report = Lab::new().refused("require=__nope/x __n a\n");
    assert!(report.contains("__n/a requires object __nope/x, but type __nope does not exist."), "{report}");
    let report = Lab::new().refused("require=__n __n a\n");
    assert!(report.contains("Type __n requires object id"), "{report}");
}

#[test]
fn a_child_that_requires_its_parent_is_not_waited_for() {
    let lab = Lab::new();
    lab.write("type/__outer/manifest", "require=\"$__object_name\" __n after\n__n before\n");
    lab.write(
        "type/__outer/gencode-local",
        "cat \"$__object/autorequire\" >&2; echo \"cat '$__object/autorequire'\"",
    );
    let report = lab.run("__outer o\n").unwrap();
    assert_eq!(report.objects, 3);
    assert_eq!(report.changed.len(), 1);
}
