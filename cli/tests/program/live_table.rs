//! The table of running hosts on a terminal, looked at as a terminal would show it.

use std::process::{Command, Stdio};

use crate::lab::{Ended, Lab};
use cdist_core::host::quote;

const WIDTH: usize = 120;

/// What is on the screen, and has been scrolled off it, after these bytes. Knows what a table of lines needs.
fn screen(bytes: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![vec![]];
    let (mut row, mut column) = (0, 0);
    let mut chars = bytes.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                if row == lines.len() {
                    lines.push(vec![]);
                }
            }
            '\x1b' => {
                assert_eq!(chars.next(), Some('['), "an escape sequence that this terminal does not know");
                let mut number = String::new();
                let last = loop {
                    match chars.next().unwrap() {
                        c @ ('0'..='9' | ';' | '?') => number.push(c),
                        c => break c,
                    }
                };
                let count = number.parse().unwrap_or(1);
                match last {
                    'A' => row = row.checked_sub(count).expect("above the first line"),
                    'B' => row += count,
                    'K' => lines[row].clear(),
                    'm' | 'h' | 'l' => {}
                    other => panic!("{number}{other}"),
                }
            }
            c => {
                if column == WIDTH {
                    (row, column) = (row + 1, 0);
                    lines.resize(lines.len().max(row + 1), vec![]);
                }
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
    }
    lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
}

fn on_a_terminal(lab: &Lab, words: &[&str]) -> (String, Vec<String>) {
    let command = lab.config(words);
    let line = quote::posix_line(std::iter::once(command.get_program()).chain(command.get_args()));
    let line = format!("stty cols {WIDTH} rows 30; exec {}", line.to_string_lossy());
    let mut script = Command::new("script");
    script.args(["-qefc", &line, "/dev/null"]).env_clear().env("TERM", "xterm").env("SHELL", "/bin/sh");
    for (key, value) in command.get_envs() {
        script.env(key, value.unwrap());
    }
    let ended = Ended::from(script.stdin(Stdio::null()).output().unwrap());
    assert_eq!(ended.status, Some(1), "{}", ended.out);
    let lines = screen(&ended.out);
    (ended.out, lines)
}

#[test]
fn log_lines_and_the_table_do_not_tear_each_other() {
    let lab = Lab::new();
    lab.write(
        "conf/manifest/init",
        "for i in 1 2 3 4 5; do __x $i; done\n[ \"$__target_host\" != h3 ] || exit 3\n",
    );
    lab.write("conf/type/__x/manifest", "sleep 0.1");
    lab.write("conf/type/__x/gencode-local", "echo :");
    let hosts = ["h1", "h2", "h3", "h4"];
    // A dry run has a directory of its own for each host on this one target.
    let (raw, lines) =
        on_a_terminal(&lab, &[&["-n", "-v", "--colors", "never", "-p", "3"], &hosts[..]].concat());
    assert!(raw.contains("of 5 objects") && raw.contains("h1: global explorers"), "{raw}");
    for host in hosts.iter().filter(|host| **host != "h3") {
        for i in 1..=5 {
            let end = format!("]: {host}: Processing __x/{i}");
            let whole = |line: &&String| line.starts_with("INFO: [") && line.ends_with(&end);
            assert_eq!(lines.iter().filter(whole).count(), 1, "{end}: {lines:#?}");
            let title = format!("# {host}: __x/{i}, on this machine:");
            assert_eq!(lines.iter().filter(|line| **line == title).count(), 1, "{title}: {lines:#?}");
        }
        assert!(
            lines.iter().any(|line| line.starts_with(&format!("{host}: 5 objects, 5 would change, "))),
            "{lines:#?}"
        );
    }
    assert!(lines.iter().any(|line| line.starts_with("h3: FAILED after ")), "{lines:#?}");
    // Nothing of the table is left.
    let of_table = |line: &&String| line.contains(" of 5 objects") && !line.contains("FAILED");
    assert_eq!(lines.iter().filter(of_table).count(), 0, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("global explorers")), "{lines:#?}");
}

/// Orders to a terminal: its title, a clear screen by ESC and by C1, text that turns, and a byte that is no character.
const ORDERS: &str = "\\033]0;title\\007\\033[2J\\302\\2332J\\342\\200\\256\\377";
/// How they are shown.
const SHOWN: &str = "\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{9b}2J\\u{202e}";

fn has_orders(text: &str) -> bool {
    ["\x1b]0", "\x1b[2J", "\u{7}", "\u{9b}", "\u{202e}"].iter().any(|order| text.contains(order))
}

#[test]
fn what_scripts_say_gives_no_orders_to_a_terminal() {
    let lab = Lab::new();
    lab.write("conf/manifest/init", "__x a\n");
    lab.write("conf/type/__x/explorer/e", format!("printf '{ORDERS}\\n' >&2\nexit 3\n"));
    // The failure of a script on the target, told in the log: on a terminal and in a file.
    for (words, shown) in [
        (&["web1"][..], true),
        (&["--disable-saving-output-streams", "web1"], true),
        (&["-p", "2", "web1", "web2"], true),
    ] {
        let command = lab.config(words);
        let line = quote::posix_line(std::iter::once(command.get_program()).chain(command.get_args()));
        let mut script = Command::new("script");
        let line = format!("stty cols {WIDTH} rows 30; exec {}", line.to_string_lossy());
        script.args(["-qefc", &line, "/dev/null"]).env_clear().env("TERM", "xterm").env("SHELL", "/bin/sh");
        for (key, value) in command.get_envs() {
            script.env(key, value.unwrap());
        }
        let ended = Ended::from(script.stdin(Stdio::null()).output().unwrap());
        assert!(!has_orders(&ended.out), "{words:?}: {:?}", ended.out);
        assert_eq!(ended.out.contains(SHOWN), shown, "{words:?}: {:?}", ended.out);
    }
    let ended = Ended::of(lab.config(["web1"])).expect(1, SHOWN);
    assert!(!has_orders(&ended.err), "{:?}", ended.err);
    let ended = Ended::of(lab.config(["--json", "web1"]));
    assert!(!has_orders(&ended.out) && ended.out.contains("\\u009b2J\\u202e"), "{}", ended.out);
}

/// Both streams are shown, whichever of them is a terminal, and nothing of them is lost.
#[test]
fn output_that_is_not_saved_is_whole_on_a_terminal() {
    let lab = Lab::new();
    lab.write("conf/manifest/init", format!("printf '{ORDERS}'\nseq 20000\necho to-stderr >&2\n"));
    let command = lab.config(["--disable-saving-output-streams", "web1"]);
    let line = quote::posix_line(std::iter::once(command.get_program()).chain(command.get_args()));
    for (redirection, out) in [("", true), (" >'@OUT@'", false)] {
        let file = lab.path("out");
        let line =
            format!("{}{}", line.to_string_lossy(), redirection.replace("@OUT@", file.to_str().unwrap()));
        let mut script = Command::new("script");
        script.args(["-qefc", &line, "/dev/null"]).env_clear().env("TERM", "dumb").env("SHELL", "/bin/sh");
        for (key, value) in command.get_envs() {
            script.env(key, value.unwrap());
        }
        let ended = Ended::from(script.stdin(Stdio::null()).output().unwrap());
        assert!(!has_orders(&ended.out) && ended.out.contains("to-stderr"), "{:?}", ended.out);
        let said = if out { ended.out.into_bytes() } else { std::fs::read(&file).unwrap() };
        let said = String::from_utf8_lossy(&said).replace('\r', "");
        assert!(said.contains("\n19999\n20000\n"), "{}", said.len());
        // A file has it as it is.
        assert_eq!(has_orders(&said), !out);
    }
}

#[test]
fn without_a_terminal_and_when_quiet_there_is_no_table() {
    let lab = Lab::new();
    lab.write("conf/manifest/init", "[ \"$__target_host\" != h2 ] || exit 3\n");
    let run = |words: &[&str]| Ended::of(lab.config([words, &["-n", "-p", "2", "h1", "h2"]].concat()));
    let ended = run(&[]).expect(1, "h2: failed (");
    assert!(!ended.err.contains('\x1b') && !ended.err.contains("h1: "), "{}", ended.err);
    run(&["-v"]).expect(1, "h1: done (").expect(1, "h1: 0 objects, 0 would change");
    assert_eq!(run(&["-q"]).expect(1, "").err, "");
    let (raw, lines) = on_a_terminal(&lab, &["-q", "-n", "-p", "2", "h1", "h2"]);
    assert!(!raw.contains('\x1b'), "{raw}");
    assert_eq!(lines, ["# h1: nothing would run", ""]);
}
