//! From options to a recipe.

use std::{
    io::{Read, stdin},
    path::Path,
};

use cdist_plugin_api::{PluginError, Recipe};

use crate::{Distribution, manifest, options::Options};

/// Packages of every PreOS, besides the kernel and what a distribution names differently.
pub(crate) const PACKAGES: [&str; 32] = [
    // init
    "init",
    "systemd-sysv",
    "dbus",
    "udev",
    "kmod",
    // network
    "iproute2",
    "iputils-ping",
    // access
    "openssh-server",
    "curl",
    "ca-certificates",
    // what types and explorers use
    "file",
    "lsb-release",
    "util-linux",
    "fdisk",
    // disks
    "dosfstools",
    "gdisk",
    "parted",
    "lvm2",
    "mdadm",
    "btrfs-progs",
    "e2fsprogs",
    "jfsutils",
    "xfsprogs",
    // installing an OS
    "debootstrap",
    "rsync",
    "zstd",
    "xz-utils",
    "tar",
    "gzip",
    "less",
    "pciutils",
    "ethtool",
];
/// Boot loader of the netboot directory, where PXE is: only on PCs.
const PC_PACKAGES: [&str; 2] = ["pxelinux", "syslinux-common"];

/// What dpkg does not unpack unless `--keep-docs` is given.
const DOCS: [&str; 7] = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
    "/usr/share/linda/*",
    "/usr/share/bug/*",
];
/// Kernel modules for what a machine that is being installed does not use, below `/lib/modules/VERSION/kernel`.
/// Storage, wired network, input, file systems and everything these depend on stay.
const MODULES: [&str; 22] = [
    "sound",
    "drivers/accel",
    "drivers/android",
    "drivers/bluetooth",
    "drivers/comedi",
    "drivers/gnss",
    "drivers/gpu",
    "drivers/greybus",
    "drivers/iio",
    "drivers/input/joystick",
    "drivers/input/tablet",
    "drivers/input/touchscreen",
    "drivers/isdn",
    "drivers/media",
    "drivers/net/wireless",
    "drivers/nfc",
    "drivers/staging",
    "net/bluetooth",
    "net/mac80211",
    "net/nfc",
    "net/wireless",
    "drivers/net/can",
];
/// What a booted machine does not need, or must not have from another one. Directories themselves stay.
const LEFT_OUT: [&str; 20] = [
    "boot/*",
    "vmlinuz",
    "vmlinuz.old",
    "initrd.img",
    "initrd.img.old",
    "dev/*",
    "proc/*",
    "sys/*",
    "run/*",
    "tmp/*",
    "var/tmp/*",
    "var/lib/apt/lists/*",
    "var/cache/apt/*",
    "var/cache/debconf/*-old",
    "var/lib/dpkg/*-old",
    "var/cache/ldconfig/aux-cache",
    "etc/passwd-",
    "etc/shadow-",
    "etc/group-",
    "etc/gshadow-",
];
/// Without `root=`: the initramfs is the root. Names of network interfaces are the kernel's and udev's business.
const KERNEL_PARAMETERS: [&str; 2] = ["console=tty0", "console=ttyS0,115200"];

/// The recipe that the options describe.
///
/// # Errors
///
/// The initial manifest cannot be read.
pub(crate) fn describe(distribution: &Distribution, options: &Options) -> Result<Recipe, PluginError> {
    let mut recipe = Recipe::new(distribution.name, text(&options.target_dir)?);
    if options.bootstrap {
        recipe = bootstrap(recipe, distribution, options)?;
    }
    if options.configure {
        recipe = configure(recipe, distribution, options)?;
    }
    if let Some(dir) = &options.pxe_boot_dir {
        let parameters: Vec<String> = match options.kernel_params.as_slice() {
            [] => KERNEL_PARAMETERS.map(str::to_owned).into(),
            own => own.to_vec(),
        };
        recipe = recipe.pxe_dir(text(dir)?).kernel_parameters(parameters).leave_out(LEFT_OUT);
        if let Some(compression) = &options.compress {
            recipe = recipe.compress(compression);
        }
        if let Some(group) = &options.pxe_group {
            recipe = recipe.pxe_group(group);
        }
    }
    if options.rm_bootstrap_dir {
        recipe = recipe.remove_target();
    }
    Ok(recipe)
}

fn bootstrap(recipe: Recipe, distribution: &Distribution, options: &Options) -> Result<Recipe, PluginError> {
    let modules = MODULES.iter().flat_map(|directory| {
        // The first before /usr was merged in the package, the second after.
        ["/lib", "/usr/lib"].map(|lib| format!("{lib}/modules/*/kernel/{directory}/*"))
    });
    let docs = DOCS.iter().filter(|_| !options.keep_docs).map(|&path| path.to_owned());
    let mut recipe = recipe
        .bootstrap()
        .suite(suite(distribution, options))
        .components(distribution.components.iter().copied())
        .packages(packages(distribution, options))
        .path_excludes(docs.chain(modules));
    if !options.keep_docs {
        recipe = recipe.path_includes(["/usr/share/doc/*/copyright"]);
    }
    if let Some(mirror) = &options.mirror {
        recipe = recipe.mirror(mirror);
    }
    if let Some(arch) = &options.arch {
        recipe = recipe.arch(arch);
    }
    if let Some(script) = &options.script {
        recipe = recipe.script(script);
    }
    match (&options.keyring, distribution.default_keyring) {
        (Some(keyring), _) => recipe = recipe.keyring(text(keyring)?),
        (None, Some(keyring)) if Path::new(keyring).is_file() => recipe = recipe.keyring(keyring),
        (None, _) => {}
    }
    Ok(recipe)
}

fn configure(recipe: Recipe, distribution: &Distribution, options: &Options) -> Result<Recipe, PluginError> {
    let manifest = match &options.init_manifest {
        None => manifest::built_in(&packages(distribution, options)),
        Some(path) if path == Path::new("-") => {
            let mut text = String::new();
            stdin().lock().read_to_string(&mut text).map_err(|error| {
                PluginError::new(format!("reading the initial manifest from standard input: {error}"))
            })?;
            text
        }
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            PluginError::new(format!("reading the initial manifest {}: {error}", path.display()))
        })?,
    };
    let keys = options.keyfiles.iter().map(|path| text(path)).collect::<Result<Vec<_>, _>>()?;
    let mut recipe = recipe
        .configure()
        .manifest(manifest)
        .key_files(keys)
        .config_parameters(options.cdist_params.iter().map(String::as_str));
    if let Some(command) = &options.trigger_command {
        recipe = recipe.trigger_command(command);
    }
    if let Some(url) = &options.trigger_url {
        recipe = recipe.trigger_url(url);
    }
    if let Some(file) = &options.trigger_token_file {
        recipe = recipe.trigger_token_file(text(file)?);
    }
    if let Some(password) = &options.root_password {
        recipe = recipe.root_password(password);
    }
    if let (Some(exec), Some(copy)) = (&options.remote_exec, &options.remote_copy) {
        recipe = recipe.remote_exec(text(exec)?).remote_copy(text(copy)?);
    }
    Ok(recipe)
}

fn suite(distribution: &Distribution, options: &Options) -> String {
    options.suite.clone().unwrap_or_else(distribution.default_suite)
}

/// All packages, for the bootstrap's transaction and for the manifest alike.
fn packages(distribution: &Distribution, options: &Options) -> Vec<String> {
    let arch = options.arch.as_deref().unwrap_or(own_arch());
    let pc = PC_PACKAGES.iter().filter(|_| matches!(arch, "amd64" | "i386"));
    let extra = (distribution.extra_packages)(&suite(distribution, options));
    let named = PACKAGES.iter().chain(extra).chain(pc).map(|&name| name.to_owned());
    let kernel = options.kernel_package.clone().unwrap_or_else(|| (distribution.kernel)(arch));
    std::iter::once(kernel).chain(named).collect()
}

/// This machine's architecture in Debian's terms.
fn own_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "i386",
        "aarch64" => "arm64",
        "arm" => "armhf",
        "powerpc64" => "ppc64el",
        other => other,
    }
}

fn text(path: &Path) -> Result<&str, PluginError> {
    path.to_str().ok_or_else(|| PluginError::usage(format!("the path {} is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use cdist_plugin_api::{Call, FakeHost, Host, PreOs};

    use super::*;

    struct Test;

    impl PreOs for Test {
        fn commandline(args: &[String], host: &Host) -> Result<i32, PluginError> {
            let distribution = Distribution {
                name: "test",
                title: "Test",
                default_suite: || "stable".to_owned(),
                default_keyring: None,
                components: &["main"],
                kernel: |arch| format!("linux-image-{arch}"),
                extra_packages: |_| &["test-keyring"],
            };
            crate::commandline(&distribution, args, host)
        }
    }

    fn recipe(args: &[&str]) -> cdist_plugin_api::Record {
        let fake = FakeHost::new();
        assert_eq!(fake.commandline::<Test>(args), Ok(0));
        match fake.calls().as_slice() {
            [Call::Build(record)] => record.clone(),
            calls => panic!("{calls:?}"),
        }
    }

    #[test]
    fn the_walk_of_the_seed() {
        let walk = [
            "/preos/root",
            "-b",
            "-C",
            "-k",
            "/keys/id.pub",
            "-p",
            "/preos/pxe",
            "-t",
            "/usr/bin/curl http://192.0.2.5:3000/install/",
            "-s",
            "bookworm",
            "-m",
            "http://mirror.example/debian",
            "-a",
            "amd64",
        ];
        let record = recipe(&walk);
        let text: String = record
            .fields()
            .filter(|(key, _)| {
                !matches!(
                    *key,
                    "bootstrap.package" | "bootstrap.path-exclude" | "pxe.leave-out" | "configure.manifest"
                )
            })
            .map(|(key, value)| format!("{key} {value}\n"))
            .collect();
        insta::assert_snapshot!(text);
        let packages: Vec<_> = record.all("bootstrap.package").collect();
        assert!(packages.contains(&"linux-image-amd64") && packages.contains(&"pxelinux"));
        let other = recipe(&["/t", "-b", "--kernel-package", "linux-image-cloud-amd64"]);
        assert_eq!(other.all("bootstrap.package").next(), Some("linux-image-cloud-amd64"));
        for package in packages {
            assert!(record.get("configure.manifest").unwrap().contains(package), "{package}");
        }
    }

    #[test]
    fn steps_in_separate_calls_are_the_parts_of_one() {
        let one = recipe(&["/t", "-b", "-C", "-p", "/pxe", "-a", "amd64"]);
        let fields = |args: &[&str]| {
            recipe(args).fields().map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<Vec<_>>()
        };
        let mut parts = fields(&["/t", "-B", "-a", "amd64"]);
        for field in fields(&["/t", "-C", "-a", "amd64"]).into_iter().chain(fields(&["/t", "-p", "/pxe"])) {
            if !matches!(field.0.as_str(), "name" | "target") {
                parts.push(field);
            }
        }
        assert_eq!(parts, one.fields().map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<Vec<_>>());
    }

    #[test]
    fn the_token_stays_in_its_file() {
        let record = recipe(&[
            "/t",
            "-C",
            "--trigger-url",
            "http://192.0.2.5/",
            "--trigger-token-file",
            "/keys/token",
        ]);
        assert_eq!(record.get("configure.trigger-url"), Some("http://192.0.2.5/"));
        assert_eq!(record.get("configure.trigger-token-file"), Some("/keys/token"));
    }

    #[test]
    fn wrong_usage_ends_with_status_2() {
        let fake = FakeHost::new();
        let status = |args: &[&str]| match fake.commandline::<Test>(args) {
            Ok(status) => status,
            Err(error) => error.exit_code,
        };
        assert_eq!(status(&["/t"]), 2, "nothing to do");
        assert_eq!(status(&["/t", "-b", "-D", "/dev/sdz"]), 2, "no disks yet");
        assert_eq!(status(&["/t", "-b", "-S", "script"]), 2, "a script needs a mirror");
        assert_eq!(status(&["/t", "-b", "-k", "x.pub"]), 2, "a key needs -C");
        assert_eq!(status(&["/t", "-C", "-t", "x", "--trigger-url", "http://y"]), 2, "one trigger");
        assert_eq!(status(&["/t", "-C", "--trigger-token-file", "x"]), 2, "a token needs a URL");
        assert_eq!(
            status(&["/t", "-C", "-t", "x", "--trigger-token-file", "x"]),
            2,
            "a command has no token"
        );
        assert_eq!(status(&["-b"]), 2, "no target");
        assert_eq!(status(&["-h"]), 0);
        assert!(fake.calls().is_empty());
    }
}
