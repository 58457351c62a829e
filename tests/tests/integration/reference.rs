//! The staged completions and man pages, in the programs that read them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cdist_tests::{
    lab::process::{run, tool},
    plugins::staged,
};

fn completion(name: &str) -> PathBuf {
    let path = staged().join("share").join(name);
    assert!(path.is_file(), "{} is missing; run make build", path.display());
    path
}

/// What a shell prints that reads the completions and then `script`.
fn printed(shell: &str, options: &[&str], script: &str, file: &Path) -> String {
    let mut command = Command::new(tool(shell, shell));
    run(command.args(options).arg("-c").arg(script).arg("completions").arg(file))
}

#[test]
fn bash_completes() {
    let file = completion("bash-completion/completions/cdist");
    let complete = |words: &str| {
        let script = format!(
            ". \"$1\" && complete -p cdist >/dev/null || exit 1\n\
             COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _cdist cdist \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        printed("bash", &["--norc", "--noprofile"], &script, &file).trim().to_owned()
    };
    assert_eq!(complete("cdist con"), "config");
    assert_eq!(complete("cdist inventory add-"), "add-host add-tag");
    assert_eq!(complete("cdist config --dry"), "--dry-run");
    assert_eq!(complete("cdist config --colors al"), "always");
    let all = complete("cdist ''");
    assert!(["preos", "shell", "new-type"].iter().all(|command| all.contains(command)), "{all}");
    assert!(!all.contains("--write-reference") && !all.contains("--plugin"), "{all}");
}

#[test]
fn zsh_completes() {
    let file = completion("zsh/site-functions/_cdist");
    let script = "fpath=(\"${1:h}\" $fpath); autoload -Uz compinit && compinit -D -u; autoload +X -Uz _cdist; echo ${_comps[cdist]}";
    assert_eq!(printed("zsh", &["-f"], script, &file).trim(), "_cdist");
}

#[test]
fn fish_completes() {
    let file = completion("fish/vendor_completions.d/cdist.fish");
    let script = "source $argv[2]; complete --do-complete 'cdist check-type --st'; complete --do-complete 'cdist inven'";
    let text = printed("fish", &["--no-config"], script, &file);
    let words: Vec<&str> = text.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(words, ["--strict", "inventory"]);
}

#[test]
fn man_pages_have_nothing_to_complain_about() {
    let pages_in = |section: &str| -> Vec<PathBuf> {
        let dir = staged().join("share/man").join(section);
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let (commands, types) = (pages_in("man1"), pages_in("man7"));
    assert!(commands.len() > 10, "{commands:?}");
    let staged_types = fs::read_dir(staged().join("share/cdist/conf/type")).unwrap().count();
    assert_eq!(types.len(), staged_types, "every type has a page");
    let pages = commands.iter().map(|page| (page, "SYNOPSIS"));
    let pages = pages.chain(types.iter().map(|page| (page, "NAME")));
    for (page, section) in pages {
        let mut groff = Command::new(tool("groff", "groff-base"));
        let output = groff.args(["-Kutf8", "-man", "-ww", "-Tutf8", "-P-cbou"]).arg(page).output().unwrap();
        assert!(output.status.success(), "{}", page.display());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", page.display());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(section) && text.contains("DESCRIPTION"), "{text}");
        assert!(!text.contains("``"), "{text}");
        if page.ends_with("cdist.1") {
            assert!(text.contains("CDIST_REMOTE_EXEC") && text.contains("EXIT STATUS"), "{text}");
        }
    }
}
