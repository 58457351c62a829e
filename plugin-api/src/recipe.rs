//! What a plugin wants built.

use crate::Record;

/// A description of a PreOS build: which steps, and what each needs. [`Host::build`](crate::Host::build) does it.
///
/// Steps run in this order, each only if asked for: bootstrap, configure, PXE directory, removal of the target.
/// Every value is plain text; paths are absolute. It crosses as a [`Record`] of the kind `recipe`; each method names its
/// key there, which is what a plugin in C writes. What is asked for without more has the value `yes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe(Record);

macro_rules! single {
    ($($(#[$doc:meta])* $method:ident => $key:literal;)+) => {
        $($(#[$doc])*
        ///
        #[doc = concat!("The key of the record: `", $key, "`.")]
        #[must_use]
        pub fn $method(mut self, value: impl Into<String>) -> Self {
            self.0.set($key, value);
            self
        })+
    };
}

macro_rules! repeated {
    ($($(#[$doc:meta])* $method:ident => $key:literal;)+) => {
        $($(#[$doc])*
        ///
        #[doc = concat!("The key of the record: `", $key, "`.")]
        #[must_use]
        pub fn $method<S: Into<String>>(mut self, values: impl IntoIterator<Item = S>) -> Self {
            for value in values {
                self.0.push($key, value);
            }
            self
        })+
    };
}

macro_rules! switch {
    ($($(#[$doc:meta])* $method:ident => $key:literal;)+) => {
        $($(#[$doc])*
        ///
        #[doc = concat!("The key of the record: `", $key, "`.")]
        #[must_use]
        pub fn $method(mut self) -> Self {
            self.0.set($key, "yes");
            self
        })+
    };
}

impl Recipe {
    /// The version of the recipe that this crate writes.
    pub const VERSION: u32 = 1;

    /// A recipe for the PreOS `name` in the directory `target`, with nothing to do yet. The keys of the record are
    /// `name` and `target`.
    pub fn new(name: &str, target: impl Into<String>) -> Self {
        let mut record = Record::new("recipe", Self::VERSION);
        record.push("name", name);
        record.push("target", target);
        Self(record)
    }

    switch! {
        /// Bootstrap: make the root file system in the target, which must be absent or empty.
        bootstrap => "bootstrap";
        /// Configure the root file system with the config engine.
        configure => "configure";
        /// Remove the target at the end.
        remove_target => "remove-target";
    }

    single! {
        /// The suite to bootstrap with a Debian-like bootstrap program.
        suite => "bootstrap.suite";
        /// The archive; without it the bootstrap program's own default.
        mirror => "bootstrap.mirror";
        /// The architecture in the distribution's terms, such as `amd64`; default: the host's.
        arch => "bootstrap.arch";
        /// A debootstrap script, which forces debootstrap.
        script => "bootstrap.script";
        /// The keyring that signs the archive.
        keyring => "bootstrap.keyring";
        /// The text of the initial manifest.
        manifest => "configure.manifest";
        /// What the trigger runs once the network is up.
        trigger_command => "configure.trigger-command";
        /// The URL that the trigger agent calls once the network is up.
        trigger_url => "configure.trigger-url";
        /// A file with the token that the trigger agent shows; readable for its owner only.
        trigger_token_file => "configure.trigger-token-file";
        /// The root password, in clear; it is handed on through standard input only.
        root_password => "configure.root-password";
        /// A custom remote-exec command instead of the built-in chroot.
        remote_exec => "configure.remote-exec";
        /// A custom remote-copy command instead of the built-in chroot.
        remote_copy => "configure.remote-copy";
        /// The netboot directory to write.
        pxe_dir => "pxe.dir";
        /// Compression of the initramfs: `zstd|gzip|xz|none[:LEVEL]`.
        compress => "pxe.compress";
        /// The group of the TFTP server: only it and root can then read the initramfs.
        pxe_group => "pxe.group";
    }

    repeated! {
        /// Words of a command that fills the new root instead of a Debian-like bootstrap program. A word that is
        /// `@ROOT@` stands for the directory to fill; inside a longer word it stands for itself.
        bootstrap_command => "bootstrap.command";
        /// Components of the archive, such as `main`.
        components => "bootstrap.component";
        /// Packages installed in the one transaction of the bootstrap.
        packages => "bootstrap.package";
        /// Patterns of paths that dpkg does not unpack, such as `/usr/share/man/*`.
        path_excludes => "bootstrap.path-exclude";
        /// Patterns of paths that dpkg unpacks although an exclusion matches.
        path_includes => "bootstrap.path-include";
        /// Files with ssh public keys for root.
        key_files => "configure.key-file";
        /// Further parameters of the config run, as in `cdist config`.
        config_parameters => "configure.parameter";
        /// Kernel command line of the netboot entry, one parameter each.
        kernel_parameters => "pxe.kernel-parameter";
        /// Paths, relative to the root, that do not go into the initramfs.
        leave_out => "pxe.leave-out";
    }

    /// Adds a value of a key that this version of the crate has no method for. An older cdist refuses it, unless the key
    /// begins with `?`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.push(key, value);
        self
    }

    /// The record behind it.
    pub fn record(&self) -> &Record {
        &self.0
    }

    /// The text form. It may hold the root password: never log it.
    pub fn to_text(&self) -> String {
        self.0.to_text()
    }
}
