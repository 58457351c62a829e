//! A virtual machine without KVM, its serial console in a file.
//!
//! Start-up is slow (half a minute to two), so limits given to [`Vm::wait_for`] should be generous.

use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    netns::Network,
    process::{Process, tail, tool, wait_until},
};

/// What a machine is made of. Without a network it has no NIC at all.
#[derive(Debug, Clone)]
pub struct Machine {
    memory_mib: u32,
    args: Vec<OsString>,
    ssh_port: Option<u16>,
    nics: u8,
    namespace: Option<Vec<OsString>>,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// Two CPUs and 2 GiB of memory, nothing to boot from.
    #[must_use]
    pub fn new() -> Self {
        Self { memory_mib: 2048, args: Vec::new(), ssh_port: None, nics: 0, namespace: None }
    }

    /// Another amount of memory, in MiB.
    #[must_use]
    pub fn memory_mib(mut self, memory: u32) -> Self {
        self.memory_mib = memory;
        self
    }

    /// Boots `kernel` with `initramfs`, as a boot loader would. The serial console is `ttyS0`.
    #[must_use]
    pub fn kernel(self, kernel: &Path, initramfs: &Path, parameters: &str) -> Self {
        let initramfs = initramfs.as_os_str().to_owned();
        self.args([
            "-kernel".into(),
            kernel.into(),
            "-initrd".into(),
            initramfs,
            "-append".into(),
            parameters.into(),
        ])
    }

    /// Boots from the network by BIOS and the NIC's boot ROM.
    #[must_use]
    pub fn network_boot(self) -> Self {
        self.args(["-boot", "n"])
    }

    /// Attaches `image` as a raw disk; the machine boots from the first one if nothing else is said.
    #[must_use]
    pub fn disk(self, image: &Path) -> Self {
        let mut drive = OsString::from("if=virtio,format=raw,file=");
        drive.push(image);
        self.args(["-drive".into(), drive])
    }

    /// A NIC behind address translation: the guest reaches this host's loopback as `10.0.2.2`, and [`Vm::ssh_port`] leads
    /// to its port 22.
    #[must_use]
    pub fn user_network(mut self) -> Self {
        let port = free_port();
        self.ssh_port = Some(port);
        let backend = format!("user,id=net{},hostfwd=tcp:127.0.0.1:{port}-:22", self.nics);
        self.nic(backend, "virtio-net-pci")
    }

    /// A NIC on the bridge of `network`; the machine then runs in that namespace.
    #[must_use]
    pub fn network(mut self, network: &Network) -> Self {
        let backend = format!("tap,id=net{},ifname={},script=no,downscript=no", self.nics, network.add_tap());
        self.namespace = Some(network.enter());
        self.nic(backend, "virtio-net-pci")
    }

    /// Runs the machine in the namespace of `network`. With [`user_network`](Self::user_network) the guest then reaches that
    /// namespace's loopback as `10.0.2.2`, where every port is free.
    #[must_use]
    pub fn inside(mut self, network: &Network) -> Self {
        self.namespace = Some(network.enter());
        self
    }

    /// A NIC with a link to an empty network.
    #[must_use]
    pub fn silent_nic(self) -> Self {
        let backend = format!("hubport,id=net{0},hubid={0}", self.nics);
        self.nic(backend, "e1000")
    }

    /// More arguments for QEMU.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    fn nic(mut self, backend: String, model: &str) -> Self {
        let device = format!("{model},netdev=net{0},mac={1}", self.nics, mac(self.nics));
        self.nics += 1;
        self.args(["-netdev".into(), backend, "-device".into(), device])
    }

    /// Switches the machine on.
    ///
    /// # Panics
    ///
    /// If QEMU is not installed or cannot be started.
    #[must_use]
    pub fn start(self) -> Vm {
        let dir = tempfile::tempdir().expect("making a directory for the machine");
        let serial = dir.path().join("serial");
        let mut argv = self.namespace.unwrap_or_default();
        argv.push(tool("qemu-system-x86_64", "qemu-system-x86").into());
        argv.extend(
            ["-accel", "tcg,thread=multi", "-smp", "2", "-display", "none", "-no-reboot", "-m"]
                .map(Into::into),
        );
        argv.push(self.memory_mib.to_string().into());
        argv.push("-serial".into());
        argv.push(format!("file:{}", serial.display()).into());
        if self.nics == 0 {
            argv.extend(["-nic", "none"].map(Into::into));
        }
        argv.extend(self.args);
        let process = Process::start(&argv, &dir.path().join("qemu.log"));
        Vm { process, serial, ssh_port: self.ssh_port, _dir: dir }
    }
}

/// A running machine, switched off on drop.
#[derive(Debug)]
pub struct Vm {
    process: Process,
    serial: PathBuf,
    ssh_port: Option<u16>,
    _dir: TempDir,
}

impl Vm {
    /// What the serial console has shown so far.
    #[must_use]
    pub fn serial(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.serial).unwrap_or_default()).into_owned()
    }

    /// The port of `127.0.0.1` that leads to the machine's ssh server.
    ///
    /// # Panics
    ///
    /// If the machine was made without [`Machine::user_network`].
    #[must_use]
    pub fn ssh_port(&self) -> u16 {
        self.ssh_port.expect("a machine with user_network() has a forwarded port")
    }

    /// Waits until the serial console shows `text`.
    ///
    /// # Panics
    ///
    /// If `limit` passes, QEMU ends or the kernel panics; the message has the end of the console.
    pub fn wait_for(&mut self, text: &str, limit: Duration) {
        let what = format!("{text:?} on the console");
        self.wait_until(&what, limit, |serial| serial.contains(text).then_some(()));
    }

    /// Waits until `ready`, which gets the console so far, gives a value. `what` is for the message.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let found = wait_until(limit, || {
            let serial = self.serial();
            let found = ready(&serial);
            if found.is_none() {
                assert!(!serial.contains("Kernel panic"), "the guest's kernel panicked:\n{}", tail(&serial));
                self.process.assert_running();
            }
            found
        });
        found.unwrap_or_else(|| {
            panic!(
                "{what} did not come within {} s; end of the console:\n{}",
                limit.as_secs(),
                tail(&self.serial())
            )
        })
    }
}

/// The MAC address of the machine's NIC number `nic`, from 0.
#[must_use]
pub fn mac(nic: u8) -> String {
    format!("52:54:00:cd:15:{nic:02x}")
}

/// A port without a listener. Another program may take it before its user does; that is rare enough for a test.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("binding a port of the loopback");
    listener.local_addr().expect("reading the address of a listener").port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "did not come within")]
    fn a_missing_text_shows_the_console() {
        Machine::new().memory_mib(64).start().wait_for("no such text", Duration::from_secs(2));
    }

    #[test]
    #[should_panic(expected = "ended early")]
    fn a_machine_that_does_not_start_says_why() {
        Machine::new().args(["-no-such-option"]).start().wait_for("anything", Duration::from_secs(30));
    }
}
