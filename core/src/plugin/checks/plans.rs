//! The runs that the checks want, each in a process of its own, and what the checks see in them.

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    CheckError, Subject, Verdict,
    arguments::{self, LISTS},
    catalogue::Check,
    events::Event,
    host::Answers,
    probe::{Probe, STOP_LIMIT, Work},
    reading,
    starter::Seen,
};
use crate::{
    host::parent_of,
    plugin::{check::Checker, python, sandbox, text::PreosText},
};

/// An option that no plugin has.
const UNKNOWN_OPTION: &str = "--no-such-option-x";
/// Exceptions of Python that tell of a mistake in the program, not of one in what it was given.
const MISTAKES: [&str; 10] = [
    "AssertionError",
    "AttributeError",
    "ImportError",
    "IndexError",
    "KeyError",
    "ModuleNotFoundError",
    "NameError",
    "RecursionError",
    "TypeError",
    "UnboundLocalError",
];
/// Longer arguments are not shown whole.
const SHOWN_MAX: usize = 40;

/// A run that a check wants.
struct Plan {
    preos: String,
    work: Work,
    answers: Answers,
    data: bool,
    arguments: Arguments,
}

/// What the plugin gets.
enum Arguments {
    /// The arguments of a real use, from the command line.
    Real,
    These(Vec<String>),
}

impl Subject {
    /// Runs a check that executes the plugin.
    pub(super) fn run_check(&self, check: Check) -> Result<Verdict, CheckError> {
        match check {
            Check::Libraries | Check::Layout => self.loads(check, &self.preoses[..self.preoses.len().min(1)]),
            Check::Names => self.loads(check, &self.preoses),
            Check::Help => {
                let plans =
                    self.chosen().flat_map(|preos| ["-h", "--help"].map(|word| these(preos, &[word])));
                self.each(plans, |_, seen| {
                    let (status, _) = seen.returned()?;
                    if status != 0 {
                        Err(format!("it ends with {status} instead of 0{}", seen.last_words()))
                    } else if seen.stdout.trim_ascii().is_empty() && seen.stderr.trim_ascii().is_empty() {
                        Err("it prints nothing".to_owned())
                    } else {
                        Ok(Verdict::Passed)
                    }
                })
            }
            Check::NoArguments => self.each(self.chosen().map(|preos| these(preos, &[])), ended),
            Check::BadArguments => {
                let lists = (0..LISTS).map(|index| arguments::list(self.seed, index));
                let plans = lists.flat_map(|list| {
                    self.chosen().map(move |preos| Plan {
                        arguments: Arguments::These(list.clone()),
                        ..these(preos, &[])
                    })
                });
                self.each(plans, ended)
            }
            Check::NonUtf8 => {
                let plans = self.chosen().map(|preos| Plan { work: Work::CommandLine, ..these(preos, &[]) });
                self.each(plans, |_, seen| {
                    let (status, _) = seen.returned()?;
                    if status == 2 && String::from_utf8_lossy(&seen.stderr).contains("not UTF-8") {
                        Ok(Verdict::Passed)
                    } else {
                        Err(format!("cdist ends with {status} instead of 2{}", seen.last_words()))
                    }
                })
            }
            Check::Extensions => {
                let plans = self.chosen().map(|preos| Plan { data: false, ..real(preos, Answers::Done) });
                self.each(plans, |_, seen| {
                    seen.returned()?;
                    if seen.events.contains(&Event::KnowsEverything) {
                        return Err("it has an extension of a name that nobody has defined".to_owned());
                    }
                    Ok(Verdict::Passed)
                })
            }
            Check::ServiceErrors => {
                let plans = self.chosen().map(|preos| real(preos, Answers::Errors));
                self.each(plans, |_, seen| match (seen.returned()?.0, seen.called()) {
                    (0, Some(service)) => Err(format!("it ends with 0 though `{service}` failed")),
                    (_, Some(_)) => Ok(Verdict::Passed),
                    (_, None) => Ok(asked_for_nothing()),
                })
            }
            Check::Cancel => {
                let plans =
                    self.chosen().map(|preos| Plan { work: Work::Cancel, ..real(preos, Answers::Wait) });
                self.each(plans, |_, seen| cancelled(seen))
            }
            Check::ExitStatus => self.exit_status(),
            Check::Leaks => {
                let plans = self.chosen().flat_map(|preos| {
                    let cancel = Plan { work: Work::Cancel, ..real(preos, Answers::Wait) };
                    [real(preos, Answers::Done), real(preos, Answers::Errors), cancel]
                });
                self.each(plans, |plan, seen| {
                    // How it ends after errors and signals is judged by other checks.
                    if plan.answers == Answers::Done {
                        seen.returned()?;
                    }
                    let left: Vec<&str> = seen
                        .events
                        .iter()
                        .filter_map(|event| if let Event::Left(what) = event { Some(&**what) } else { None })
                        .collect();
                    let when = match plan.answers {
                        Answers::Done => "",
                        Answers::Errors => " after an error of the host",
                        Answers::Wait => " after SIGTERM",
                    };
                    if left.is_empty() {
                        Ok(Verdict::Passed)
                    } else {
                        Err(format!("it leaves {}{when}", left.join(", ")))
                    }
                })
            }
            Check::File
            | Check::Record
            | Check::Elf
            | Check::Text
            | Check::PanicStrategy
            | Check::Listing => Err(CheckError::Failed(format!("the check {} runs nothing", check.name()))),
        }
    }

    /// The PreOSes that are to be called.
    fn chosen(&self) -> impl Iterator<Item = &PreosText> {
        self.preoses.iter().filter(|preos| self.preos.as_ref().is_none_or(|name| *name == preos.name()))
    }

    /// Reads the file, in a process of its own: it may be damaged in a way that no check expects.
    pub(super) fn reads(&self, check: Check) -> Result<(Verdict, Vec<PreosText>), CheckError> {
        let seen = self.run(&no_preos(Work::Read(check)))?;
        let trouble = seen.returned().err().unwrap_or_default();
        let judged = seen.events.into_iter().find_map(|event| match event {
            Event::Judged { verdict, preoses } => Some((verdict, preoses)),
            _ => None,
        });
        let Some((verdict, preoses)) = judged else { return Ok((Verdict::Failed(trouble), Vec::new())) };
        let text = |(preos_name, type_name, summary)| PreosText { preos_name, type_name, summary };
        Ok((verdict, preoses.into_iter().map(text).collect()))
    }

    /// Executes a Python file as the list of PreOSes does.
    pub(super) fn listing(&self) -> Result<(Verdict, Vec<PreosText>), CheckError> {
        if python::is_helper(&self.file) {
            let reason = "its name begins with `_`: it is there for other files to import, and no plugin";
            return Ok((Verdict::Failed(reason.to_owned()), Vec::new()));
        }
        let seen = self.run(&no_preos(Work::Load))?;
        let failed = |reason| Ok((Verdict::Failed(reason), Vec::new()));
        if let Err(trouble) = seen.returned() {
            return failed(trouble);
        }
        let mut listing = python::parse(&seen.stdout, std::slice::from_ref(&self.file));
        match listing.files.pop() {
            Some(Ok(preoses)) => Ok((reading::preoses(&preoses), preoses)),
            Some(Err(reason)) => failed(reason),
            None => failed("it is not listed".to_owned()),
        }
    }

    fn loads(&self, check: Check, preoses: &[PreosText]) -> Result<Verdict, CheckError> {
        let plans = preoses.iter().map(|preos| Plan { work: Work::Load, ..these(preos, &[]) });
        self.each(plans, |_, seen| match seen.not_loaded() {
            Some((name, reason)) if name == check.name() => Err(reason.to_owned()),
            // Another check fails for this.
            Some(_) => Ok(Verdict::Passed),
            None if seen.events.contains(&Event::Loaded) => seen.ended().map(|()| Verdict::Passed),
            None => {
                Err(seen.trouble().unwrap_or_else(|| "it ends the process while it is loaded".to_owned()))
            }
        })
    }

    fn exit_status(&self) -> Result<Verdict, CheckError> {
        let plans =
            self.chosen().flat_map(|preos| [real(preos, Answers::Done), these(preos, &[UNKNOWN_OPTION])]);
        self.each(plans, |plan, seen| {
            let (status, _) = seen.returned()?;
            if !(0..=255).contains(&status) {
                return Err(format!("it returns {status}, which is no exit status"));
            }
            match plan.arguments {
                Arguments::These(_) if status == 0 => Ok(Verdict::Warning(format!(
                    "it ends with 0 for the option {UNKNOWN_OPTION}; wrong usage is 2"
                ))),
                _ => Ok(Verdict::Passed),
            }
        })
    }

    /// What the sandbox must not hide: cdist itself and the directory of the plugin. Of a directory that the sandbox hides for all, only
    /// what the plugin uses.
    fn keep(&self) -> Vec<PathBuf> {
        let directory = parent_of(&self.file);
        let mut keep = vec![self.starter.program.clone()];
        if sandbox::hidden(&self.temporary).iter().all(|hidden| hidden != directory) {
            keep.push(directory.to_owned());
            return keep;
        }
        keep.push(self.file.clone());
        if self.python {
            keep.extend(python::importable(&self.file, &mut Checker::default()));
        }
        let data = self.preoses.iter().map(|preos| directory.join(preos.type_name.to_lowercase()));
        keep.extend(data.filter(|data| data.is_dir()));
        keep.sort();
        keep.dedup();
        keep
    }

    fn run(&self, plan: &Plan) -> Result<Seen, CheckError> {
        let failed = |error| CheckError::io("making a directory for a run", &error);
        let dir = self.starter.new_dir().map_err(failed)?;
        let probe = Probe {
            work: plan.work,
            answers: plan.answers,
            data: plan.data,
            name: plan.preos.clone(),
            file: self.file.clone(),
            python: self.python,
            events: dir.with_extension("events"),
            temporary: self.temporary.clone(),
            keep: self.keep(),
            dir,
        };
        let arguments: Vec<OsString> = match &plan.arguments {
            Arguments::Real if self.arguments.is_empty() => vec![probe.target().into_os_string()],
            Arguments::Real => self.arguments.clone(),
            Arguments::These(words) => words.iter().map(OsString::from).collect(),
        };
        let seen = self.starter.run(&probe, &arguments);
        // What a plugin has written must not fill the disk until the end of the check.
        let _ = fs::remove_dir_all(&probe.dir);
        seen
    }

    /// Does all runs, several at a time, and judges each. The verdict is that of the first one in the list that fails.
    fn each(
        &self,
        plans: impl Iterator<Item = Plan>,
        judge: impl Fn(&Plan, &Seen) -> Result<Verdict, String> + Sync,
    ) -> Result<Verdict, CheckError> {
        let plans: Vec<Plan> = plans.collect();
        let next = AtomicUsize::new(0);
        let verdicts: Mutex<Vec<Option<Verdict>>> = Mutex::new(plans.iter().map(|_| None).collect());
        let one_after_another = || -> Result<(), CheckError> {
            // They are taken in order, so when one fails all before it are under way.
            loop {
                let at = next.fetch_add(1, Ordering::SeqCst);
                let Some(plan) = plans.get(at) else { break };
                let verdict =
                    judge(plan, &self.run(plan)?).unwrap_or_else(Verdict::Failed).about(&shown(plan));
                if matches!(verdict, Verdict::Failed(_)) {
                    next.store(plans.len(), Ordering::SeqCst);
                }
                verdicts.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(verdict);
            }
            Ok(())
        };
        let workers = thread::available_parallelism().map_or(1, |count| count.get().min(plans.len()));
        thread::scope(|scope| {
            let handles: Vec<_> = (0..workers).map(|_| scope.spawn(one_after_another)).collect();
            handles.into_iter().try_for_each(|handle| {
                handle.join().unwrap_or_else(|_| {
                    Err(CheckError::Failed("a thread of the check has panicked".to_owned()))
                })
            })
        })?;
        let verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Verdict::of_all(verdicts.into_iter().flatten()))
    }
}

/// Work on the file before its PreOSes are known.
fn no_preos(work: Work) -> Plan {
    let arguments = Arguments::These(Vec::new());
    Plan { preos: String::new(), work, answers: Answers::Errors, data: false, arguments }
}

fn these(preos: &PreosText, words: &[&str]) -> Plan {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Plan { arguments: Arguments::These(words), ..real(preos, Answers::Errors) }
}

fn real(preos: &PreosText, answers: Answers) -> Plan {
    Plan { preos: preos.name(), work: Work::Call, answers, data: true, arguments: Arguments::Real }
}

/// The PreOS, and its arguments if the check has chosen them.
fn shown(plan: &Plan) -> String {
    let Arguments::These(words) = &plan.arguments else { return plan.preos.clone() };
    let words = words.iter().map(|word| {
        let cut: String = word.chars().take(SHOWN_MAX).collect();
        let more = if cut.len() < word.len() { "…" } else { "" };
        format!(" {cut:?}{more}")
    });
    format!("{}{}", plan.preos, words.collect::<String>())
}

fn ended(_: &Plan, seen: &Seen) -> Result<Verdict, String> {
    seen.returned().map(|_| Verdict::Passed)
}

fn asked_for_nothing() -> Verdict {
    Verdict::Skipped("the host was asked for nothing; give the arguments of a real use after `--`".to_owned())
}

fn cancelled(seen: &Seen) -> Result<Verdict, String> {
    if seen.events.contains(&Event::Late) {
        return Err(format!("it does not end within {} s after SIGTERM", STOP_LIMIT.as_secs()));
    }
    let (status, _) = seen.returned()?;
    let signalled = seen.events.iter().position(|event| *event == Event::Signalled);
    match (signalled, seen.called()) {
        (Some(_), Some(service)) if status == 0 => {
            Err(format!("it ends with 0 though `{service}` was cancelled"))
        }
        (Some(_), _) => Ok(Verdict::Passed),
        (None, _) => Ok(Verdict::Skipped(
            "there was nothing to cancel; give the arguments of a real use after `--`".to_owned(),
        )),
    }
}

impl Seen {
    fn not_loaded(&self) -> Option<(&str, &str)> {
        self.events.iter().find_map(|event| match event {
            Event::NotLoaded { check, reason } => Some((&**check, &**reason)),
            _ => None,
        })
    }

    /// The first service that was called.
    fn called(&self) -> Option<&str> {
        self.events
            .iter()
            .find_map(|event| if let Event::Called(service) = event { Some(&**service) } else { None })
    }

    /// The status that it returned, and the message of its error; or what went wrong.
    fn returned(&self) -> Result<(i32, Option<&str>), String> {
        self.ended()?;
        let returned = self.events.iter().find_map(|event| match event {
            Event::Returned { status, error, .. } => Some((*status, error.as_deref())),
            _ => None,
        });
        returned.ok_or_else(|| match self.not_loaded() {
            Some((_, reason)) => reason.to_owned(),
            None => format!("its process ends without a word{}", self.last_words()),
        })
    }

    fn ended(&self) -> Result<(), String> {
        self.trouble().map_or(Ok(()), Err)
    }

    /// A panic, a death, no end: what no plugin may do in any check.
    fn trouble(&self) -> Option<String> {
        if let Some(limit) = self.late {
            return Some(format!("it does not end within {} s", limit.as_secs()));
        }
        let said = String::from_utf8_lossy(&self.stderr);
        let panic = panic_in(&said);
        for event in &self.events {
            match event {
                Event::Returned { panicked: true, error, .. } => {
                    return panic.or_else(|| error.clone());
                }
                Event::Died(reason) => {
                    return Some(match panic {
                        Some(panic) => format!("{panic}; {reason}"),
                        None => reason.clone(),
                    });
                }
                _ => {}
            }
        }
        // A panic in another thread of the plugin, which returned all the same.
        panic.or_else(|| exception_in(&said))
    }

    /// The last line that it wrote to standard error, as the end of a sentence.
    fn last_words(&self) -> String {
        let said = String::from_utf8_lossy(&self.stderr);
        match said.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!("; it said: {line}"),
            None => String::new(),
        }
    }
}

/// What the standard library of Rust writes at a panic: a line `thread 'NAME' panicked at PLACE:`, then the message.
fn panic_in(said: &str) -> Option<String> {
    let mut lines =
        said.lines().skip_while(|line| !(line.starts_with("thread '") && line.contains(" panicked at ")));
    let (_, place) = lines.next()?.split_once(" panicked at ")?;
    match place.strip_suffix(':') {
        Some(place) => Some(format!("it panics at {place}: {}", lines.next().unwrap_or_default())),
        // Compilers before 1.73: 'MESSAGE', PLACE
        None => Some(format!("it panics: {place}")),
    }
}

/// What the run of a Python file says of an exception that was not caught: `error: NAME: KIND: …`.
fn exception_in(said: &str) -> Option<String> {
    said.lines().find_map(|line| {
        let (_, raised) = line.strip_prefix("error: ")?.split_once(": ")?;
        let kind = raised.split([':', ' ']).next()?;
        MISTAKES.contains(&kind).then(|| format!("it does not catch {raised}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_found_in_what_was_said() {
        let new = "x\n\nthread 'main' (77) panicked at src/lib.rs:20:31:\nno mirror 7\nnote: run with\n";
        assert_eq!(panic_in(new).unwrap(), "it panics at src/lib.rs:20:31: no mirror 7");
        let old = "thread 'main' panicked at 'no mirror', src/lib.rs:2:3\n";
        assert_eq!(panic_in(old).unwrap(), "it panics: 'no mirror', src/lib.rs:2:3");
        assert_eq!(panic_in("the engine panicked at noon:\n"), None);
    }

    #[test]
    fn only_mistakes_of_a_program_are_exceptions() {
        let said = "error: netbsd: IndexError: list index out of range (line 7) in /x/netbsd.py\n";
        assert!(exception_in(said).unwrap().starts_with("it does not catch IndexError: list"));
        assert_eq!(exception_in("error: netbsd: RuntimeError: no mirror (line 7) in /x/netbsd.py\n"), None);
        assert_eq!(exception_in("error: no space"), None);
    }
}
