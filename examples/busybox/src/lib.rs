//! A PreOS that is no Debian: busybox, a kernel, and an `/init` of its own.
//!
//! The files of the PreOS are texts in the library, so that one file is all there is to install.

use cdist_plugin_api::{export_preos, Host, PluginError, PreOs, Recipe};

const HELP: &str = include_str!("help.txt");
const BOOTSTRAP: &str = include_str!("bootstrap.sh");
const INIT: &str = include_str!("init.sh");
const DHCP: &str = include_str!("dhcp.sh");
/// The shell gets the script as a word, and the script the files.
const COMMAND: [&str; 7] = ["sh", "-c", BOOTSTRAP, "bootstrap", "@ROOT@", INIT, DHCP];
/// Shell types work here too. The trigger is the recipe's: cdist adds it to the manifest.
const MANIFEST: &str = "__hostname --name preos\n";
/// What only the boot loader needs.
const LEFT_OUT: [&str; 3] = ["boot", "usr/lib/PXELINUX", "usr/lib/syslinux"];

struct Busybox;

impl PreOs for Busybox {
    const SUMMARY: &'static str = "busybox with a kernel, a small PreOS to boot over the network";

    fn commandline(args: &[String], host: &Host) -> Result<i32, PluginError> {
        if args.iter().any(|arg| arg == "-h" || arg == "--help") {
            print!("{}", HELP);
            return Ok(0);
        }
        host.build(&recipe(args)?)?;
        Ok(0)
    }
}

export_preos!(Busybox);

/// What `args` ask for. The target is the first word, so that the recipe can grow with each option.
fn recipe(args: &[String]) -> Result<Recipe, PluginError> {
    let usage = |what: String| PluginError::usage(format!("{}; see cdist preos busybox -h", what));
    let here = std::env::current_dir()?;
    let path = |name: &String| {
        let whole = here.join(name).into_os_string().into_string();
        whole.map_err(|whole| usage(format!("the path {:?} is not UTF-8", whole)))
    };
    let mut words = args.iter();
    let target = words.next().filter(|word| !word.is_empty() && !word.starts_with('-'));
    let target =
        target.ok_or_else(|| usage("the first word is the directory to make the PreOS in".into()))?;
    let mut recipe = Recipe::new("busybox", path(target)?).manifest(MANIFEST);
    while let Some(option) = words.next() {
        let missing = || usage(format!("{} needs a value", option));
        let mut value = || words.next().filter(|word| !word.is_empty()).ok_or_else(missing);
        recipe = match option.as_str() {
            "-b" => recipe.bootstrap().configure().bootstrap_command(COMMAND),
            "-t" => recipe.configure().trigger_command(value()?),
            "-p" => recipe.pxe_dir(path(value()?)?).leave_out(LEFT_OUT),
            _ => return Err(usage(format!("there is no option {}", option))),
        };
    }
    Ok(recipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdist_plugin_api::{Call, FakeHost, Record};

    fn run(line: &str) -> (Result<i32, PluginError>, Vec<Call>) {
        let fake = FakeHost::new();
        let words: Vec<&str> = line.split(' ').collect();
        (fake.commandline::<Busybox>(&words), fake.calls())
    }

    fn built(line: &str) -> Record {
        match run(line).1.as_slice() {
            [Call::Build(recipe)] => recipe.clone(),
            other => panic!("{:?}", other),
        }
    }

    #[test]
    fn a_command_fills_the_root_and_gets_the_files_as_words() {
        let recipe = built("/t -b -p /pxe -t true");
        assert_eq!(recipe.all("bootstrap.command").collect::<Vec<_>>(), COMMAND);
        // Linux takes 128 KiB in one argument.
        assert!([BOOTSTRAP, INIT, DHCP].iter().all(|text| text.len() < 1 << 16));
        assert_eq!(recipe.get("configure.trigger-command"), Some("true"));
        assert_eq!(recipe.get("pxe.dir"), Some("/pxe"));
    }

    #[test]
    fn another_trigger_needs_no_bootstrap() {
        let recipe = built("/t -t false -p /pxe");
        assert_eq!((recipe.get("bootstrap"), recipe.get("configure")), (None, Some("yes")));
        let packed = built("/t -p pxe");
        assert_eq!(packed.get("configure"), None);
        assert_eq!(packed.get("pxe.dir"), std::env::current_dir().unwrap().join("pxe").to_str());
    }

    /// The whole recipe, but for the texts that have files of their own.
    #[test]
    fn the_recipe_is_the_one_in_the_file() {
        let recipe = built("/t -b -p /pxe -t true");
        let fields = recipe.fields().filter(|(_, value)| !value.contains('\n'));
        let lines: String = fields.map(|(key, value)| format!("{} {}\n", key, value)).collect();
        assert_eq!(lines, include_str!("recipe.txt"), "\n{}", lines);
    }

    #[test]
    fn wrong_usage_is_said_and_nothing_is_built() {
        for (line, said) in [
            ("", "the first word"),
            ("-b", "the first word"),
            ("/t -t", "-t needs a value"),
            ("/t -p ", "-p needs a value"),
            ("/t -x", "no option -x"),
        ] {
            let (status, calls) = run(line);
            let error = status.unwrap_err();
            assert_eq!(error.exit_code, 2, "{}", line);
            assert!(error.message().contains(said), "{}: {}", line, error.message());
            assert!(calls.is_empty(), "{}", line);
        }
        assert_eq!(run("-h"), (Ok(0), Vec::new()));
    }
}
