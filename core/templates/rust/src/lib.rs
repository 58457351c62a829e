//! The PreOS {{name}}: busybox, and a script that starts it.

use cdist_plugin_api::{export_preos, Host, PluginError, PreOs, Recipe};

const USAGE: &str = "\
usage: cdist preos {{name}} [-h] [-p PXE_DIR] TARGET_DIR

Makes the PreOS {{name}} in TARGET_DIR, which is made, or must be empty.

options:
  -h, --help   show this text
  -p PXE_DIR   also write a directory from which machines boot over the network
";

/// A script for `sh -e`, which gets the directory to fill, and the word `boot` if a machine shall boot from it.
const BOOTSTRAP: &str = include_str!("bootstrap.sh");

/// What the command line asks for; paths are absolute.
struct Options {
    target: String,
    pxe_dir: Option<String>,
}

impl Options {
    /// `None` if it asks for help.
    fn parse(args: &[String]) -> Result<Option<Self>, PluginError> {
        let (mut target, mut pxe_dir) = (None, None);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "-h" | "--help" => return Ok(None),
                "-p" => {
                    let dir = args.next().ok_or_else(|| usage("-p needs a directory"))?;
                    pxe_dir = Some(absolute(dir)?);
                }
                option if option.starts_with('-') => {
                    return Err(usage(&format!("unknown option {option}")))
                }
                dir if target.is_none() => target = Some(absolute(dir)?),
                more => return Err(usage(&format!("{more} is too much"))),
            }
        }
        let target = target.ok_or_else(|| usage("TARGET_DIR is missing"))?;
        Ok(Some(Self { target, pxe_dir }))
    }

    fn recipe(&self) -> Recipe {
        let boot = if self.pxe_dir.is_some() { "boot" } else { "" };
        let recipe = Recipe::new("{{name}}", self.target.as_str())
            .bootstrap()
            .bootstrap_command(["/bin/sh", "-e", "-c", BOOTSTRAP, "sh", "@ROOT@", boot]);
        match &self.pxe_dir {
            Some(dir) => recipe.pxe_dir(dir.as_str()),
            None => recipe,
        }
    }
}

fn usage(what: &str) -> PluginError {
    PluginError::usage(format!("{what}; `cdist preos {{name}} -h` shows the usage"))
}

fn absolute(path: &str) -> Result<String, PluginError> {
    let path = std::env::current_dir()?.join(path);
    path.into_os_string().into_string().map_err(|path| {
        PluginError::new(format!("{path:?} is not UTF-8; choose another directory"))
    })
}

pub struct {{type}};

impl PreOs for {{type}} {
    const PREOS_NAME: Option<&'static str> = Some("{{name}}");
    const SUMMARY: &'static str = "{{name}}, a minimal OS to boot over the network";

    fn commandline(args: &[String], host: &Host) -> Result<i32, PluginError> {
        match Options::parse(args)? {
            Some(options) => {
                host.build(&options.recipe())?;
            }
            None => print!("{USAGE}"),
        }
        Ok(0)
    }
}

export_preos!({{type}});

#[cfg(test)]
mod tests {
    use super::*;
    use cdist_plugin_api::{Call, FakeHost};

    /// What the arguments make of `host`: the exit status, and what it was asked for.
    fn run(host: &FakeHost, args: &[&str]) -> (i32, Vec<Call>) {
        let status = host
            .commandline::<{{type}}>(args)
            .unwrap_or_else(|error| error.exit_code);
        (status, host.calls())
    }

    #[test]
    fn asks_for_a_build() {
        let (status, calls) = run(&FakeHost::new(), &["/root", "-p", "/pxe"]);
        assert_eq!(status, 0);
        match calls.as_slice() {
            [Call::Build(recipe)] => {
                assert_eq!(recipe.get("target"), Some("/root"));
                assert_eq!(recipe.get("pxe.dir"), Some("/pxe"));
                assert_eq!(recipe.all("bootstrap.command").last(), Some("boot"));
            }
            other => panic!("not one build: {other:?}"),
        }
    }

    #[test]
    fn wrong_usage_asks_for_nothing() {
        for args in [
            &[][..],
            &["-x", "/root"],
            &["/root", "-p"],
            &["/root", "/more"],
        ] {
            assert_eq!(run(&FakeHost::new(), args), (2, vec![]), "{args:?}");
        }
        assert_eq!(run(&FakeHost::new(), &["/root", "-h"]), (0, vec![]));
    }

    #[test]
    fn a_failed_build_is_a_failure() {
        let host = FakeHost::new().answer_build(Err(PluginError::new("the disk is full")));
        assert_eq!(run(&host, &["/root"]).0, 1);
    }
}
