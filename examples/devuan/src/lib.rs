//! Devuan as a PreOS: arguments in, recipe out. All the work is cdist's.

use cdist_plugin_api::{export_preos, Host, PluginError, PreOs, Recipe};

const HELP: &str = include_str!("help.txt");
/// What the words of the recipe cannot say: network and ssh host keys without systemd.
const MANIFEST: &str = include_str!("manifest.sh");

/// Machines that boot by PXE are PCs.
const KERNEL: &str = if cfg!(target_arch = "x86") { "linux-image-686-pae" } else { "linux-image-amd64" };
/// Names that Debian has too. `dhcpcd` asks on every wired interface, whatever its name, also hours later.
const PACKAGES: [&str; 24] = [
    KERNEL,
    "sysvinit-core",
    "udev",
    "kmod",
    "procps",
    "ifupdown",
    "dhcpcd",
    "iproute2",
    "openssh-server",
    "curl",
    "ca-certificates",
    "debootstrap",
    "fdisk",
    "parted",
    "lvm2",
    "mdadm",
    "e2fsprogs",
    "dosfstools",
    "rsync",
    "xz-utils",
    "zstd",
    "less",
    "pxelinux",
    "syslinux-common",
];
/// Not for a machine that lives for an installation.
const LEFT_OUT: [&str; 9] = [
    "boot/*",
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/locale/*",
    "var/cache/apt/*",
    "lib/modules/*/kernel/drivers/gpu",
    "lib/modules/*/kernel/sound",
    "usr/lib/modules/*/kernel/drivers/gpu",
    "usr/lib/modules/*/kernel/sound",
];

struct Devuan;

impl PreOs for Devuan {
    const SUMMARY: &'static str = "Devuan, a minimal OS without systemd to boot over the network";

    fn commandline(args: &[String], host: &Host) -> Result<i32, PluginError> {
        if args.iter().any(|arg| arg == "-h" || arg == "--help") {
            print!("{}", HELP);
            return Ok(0);
        }
        host.build(&recipe(args)?)?;
        Ok(0)
    }
}

export_preos!(Devuan);

/// What `args` ask for. The target is the first word, so that the recipe can grow with each option.
fn recipe(args: &[String]) -> Result<Recipe, PluginError> {
    let usage = |what: String| PluginError::usage(format!("{}; see cdist preos devuan -h", what));
    let here = std::env::current_dir()?;
    let path = |name: &String| {
        let whole = here.join(name).into_os_string().into_string();
        whole.map_err(|whole| usage(format!("the path {:?} is not UTF-8", whole)))
    };
    let mut words = args.iter();
    let target = words.next().filter(|word| !word.is_empty() && !word.starts_with('-'));
    let target =
        target.ok_or_else(|| usage("the first word is the directory to make the PreOS in".into()))?;
    let mut recipe = Recipe::new("devuan", path(target)?).suite("stable").leave_out(LEFT_OUT);
    while let Some(option) = words.next() {
        let missing = || usage(format!("{} needs a value", option));
        let mut value = || words.next().filter(|word| !word.is_empty()).ok_or_else(missing);
        recipe = match option.as_str() {
            "-b" => recipe.bootstrap().packages(PACKAGES),
            "-C" => recipe.configure().manifest(MANIFEST),
            "-s" => recipe.suite(value()?),
            "-m" => recipe.mirror(value()?),
            "--keyring" => recipe.keyring(path(value()?)?),
            "-k" => recipe.key_files([path(value()?)?]),
            "-t" => recipe.trigger_command(value()?),
            "-p" => recipe.pxe_dir(path(value()?)?),
            _ => return Err(usage(format!("there is no option {}", option))),
        };
    }
    let has = |key: &str| recipe.record().get(key).is_some();
    if has("bootstrap") && !has("bootstrap.mirror") {
        return Err(usage("-b needs a mirror, -m URL".into()));
    }
    if !has("configure") && (has("configure.key-file") || has("configure.trigger-command")) {
        return Err(usage("-k and -t need -C".into()));
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
        (fake.commandline::<Devuan>(&words), fake.calls())
    }

    fn built(line: &str) -> Record {
        match run(line).1.as_slice() {
            [Call::Build(recipe)] => recipe.clone(),
            other => panic!("{:?}", other),
        }
    }

    #[test]
    fn options_become_a_recipe() {
        let recipe = built(
            "/t -b -C -m http://mirror.example/devuan -s daedalus --keyring /k.gpg \
                                   -k /a.pub -k /b.pub -p /pxe -t true",
        );
        let all = |key: &str| recipe.all(key).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(all("bootstrap.suite"), ["daedalus"]);
        assert_eq!(all("bootstrap.mirror"), ["http://mirror.example/devuan"]);
        assert_eq!(all("bootstrap.keyring"), ["/k.gpg"]);
        assert_eq!(all("configure.key-file"), ["/a.pub", "/b.pub"]);
        assert_eq!(all("configure.trigger-command"), ["true"]);
        assert_eq!(all("pxe.dir"), ["/pxe"]);
        assert!(all("bootstrap.package").contains(&KERNEL.to_owned()));
        assert!(all("configure.manifest").concat().contains("__link /init"));
        assert!(!all("bootstrap.package").iter().any(|name| name.contains("systemd")));
    }

    #[test]
    fn relative_paths_are_made_absolute() {
        let (recipe, here) = (built("t -p pxe"), std::env::current_dir().unwrap());
        assert_eq!(recipe.get("target"), here.join("t").to_str());
        assert_eq!(recipe.get("pxe.dir"), here.join("pxe").to_str());
    }

    /// The whole recipe, but for the texts that have files of their own.
    #[test]
    fn the_recipe_is_the_one_in_the_file() {
        let recipe = built("/t -b -C -m http://mirror.example/devuan -k /a.pub -p /pxe -t true");
        let fields = recipe.fields().filter(|(_, value)| !value.contains('\n'));
        let lines: String = fields.map(|(key, value)| format!("{} {}\n", key, value)).collect();
        let lines = lines.replace(KERNEL, "KERNEL");
        assert_eq!(lines, include_str!("recipe.txt"), "\n{}", lines);
    }

    #[test]
    fn wrong_usage_is_said_and_nothing_is_built() {
        for (line, said) in [
            ("", "the first word"),
            ("-b", "the first word"),
            ("/t -b", "-b needs a mirror"),
            ("/t -b -m", "-m needs a value"),
            ("/t -k /key.pub -p /pxe", "-k and -t need -C"),
            ("/t -p ", "-p needs a value"),
            ("/t -x 1", "no option -x"),
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
