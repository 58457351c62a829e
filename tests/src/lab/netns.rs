//! A network of its own: a namespace with a bridge, and dnsmasq on it as DHCP, DNS and TFTP server.
//!
//! The namespace belongs to a process and has no name, so the kernel takes it apart, with bridge and taps, when that
//! process ends. Nothing of this host's own network is touched.

use std::{
    cell::Cell,
    ffi::OsString,
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

use super::process::{Process, require_root, run, tool, wait_until};

/// The address of the bridge, where servers listen. It is the host's address in QEMU's user network, so that a PreOS
/// whose trigger calls it can be booted both ways.
pub const GATEWAY: &str = "10.0.2.2";
/// A name that the network's DNS server resolves to [`GATEWAY`].
pub const SERVER_NAME: &str = "server.lab.test";
/// A user and group without any rights of its own; Debian calls them `nobody` and `nogroup`.
const NOBODY: u32 = 65534;
const BRIDGE: &str = "br0";
const RANGE: &str = "10.0.2.50,10.0.2.99,1h";

/// The namespace; dropping it removes everything in it.
#[derive(Debug)]
pub struct Network {
    taps: Cell<u8>,
    holder: Process,
    dir: TempDir,
}

impl Network {
    /// Makes a namespace with a bridge that has the address [`GATEWAY`].
    ///
    /// # Panics
    ///
    /// Without root, or if `ip` or `unshare` is missing or fails.
    #[must_use]
    pub fn new() -> Self {
        require_root("a network namespace");
        let dir = tempfile::tempdir().expect("making a directory for the network");
        let holder = holder(&dir.path().join("holder.log"));
        let network = Self { taps: Cell::new(0), holder, dir };
        network.ip(&["link", "set", "lo", "up"]);
        network.ip(&["link", "add", BRIDGE, "type", "bridge"]);
        network.ip(&["address", "add", &format!("{GATEWAY}/24"), "dev", BRIDGE]);
        network.ip(&["link", "set", BRIDGE, "up"]);
        network
    }

    /// The beginning of an argv that runs the rest of it in the namespace.
    #[must_use]
    pub fn enter(&self) -> Vec<OsString> {
        enter(&self.holder)
    }

    /// Adds a tap to the bridge and returns its name; QEMU opens it.
    pub fn add_tap(&self) -> String {
        let tap = format!("tap{}", self.taps.get());
        self.taps.set(self.taps.get() + 1);
        self.ip(&["tuntap", "add", "dev", &tap, "mode", "tap"]);
        self.ip(&["link", "set", &tap, "master", BRIDGE, "up"]);
        tap
    }

    /// Adds a machine to the bridge: a namespace whose one card, `eth0`, has the hardware address `mac`.
    ///
    /// # Panics
    ///
    /// If `ip` or `unshare` fails.
    #[must_use]
    pub fn add_station(&self, mac: &str) -> Station {
        let number = self.taps.get();
        self.taps.set(number + 1);
        let holder = holder(&self.dir.path().join(format!("station{number}.log")));
        let (name, pid) = (format!("st{number}"), holder.id().to_string());
        self.ip(&["link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &pid]);
        self.ip(&["link", "set", &name, "master", BRIDGE, "up"]);
        let station = Station { holder };
        station.ip(&["link", "set", "eth0", "address", mac]);
        station.ip(&["link", "set", "eth0", "up"]);
        station
    }

    /// A listener on [`GATEWAY`], on any port. It can be used outside the namespace.
    ///
    /// # Panics
    ///
    /// If the namespace cannot be entered.
    #[must_use]
    pub fn listen(&self) -> TcpListener {
        self.listen_at(GATEWAY, 0)
    }

    /// A listener on `port` of an address in the namespace, where no other program has taken it.
    ///
    /// # Panics
    ///
    /// If the namespace cannot be entered or has no such address.
    #[must_use]
    pub fn listen_at(&self, address: &'static str, port: u16) -> TcpListener {
        let namespace = File::open(self.path()).expect("opening the network namespace");
        // Only the thread that enters is in the namespace; it ends here, the socket stays.
        let bound = thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("entering the network namespace");
            TcpListener::bind((address, port)).expect("binding a port in the namespace")
        });
        bound.join().expect("a thread that binds a port")
    }

    /// Starts dnsmasq: DHCP with `pxelinux.0` as boot file, TFTP of `pxe_dir`, and DNS that knows [`SERVER_NAME`].
    ///
    /// It is not root, as no TFTP server should be: `pxe_dir` and its files must be readable for all.
    ///
    /// # Panics
    ///
    /// If dnsmasq is missing or does not start.
    #[must_use]
    pub fn serve_pxe(&self, pxe_dir: &Path) -> Dnsmasq {
        let leases = self.dir.path().join("leases");
        File::create(&leases).expect("making the file of leases");
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o711)).expect("letting dnsmasq in");
        chown(&leases, Some(NOBODY), Some(NOBODY)).expect("giving the leases to dnsmasq");
        let mut argv = self.enter();
        argv.push(tool("setpriv", "util-linux").into());
        argv.extend(
            [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]
                .map(Into::into),
        );
        let capabilities = "+net_admin,+net_bind_service,+net_raw";
        argv.push(format!("--inh-caps=-all,{capabilities}").into());
        argv.push(format!("--ambient-caps=-all,{capabilities}").into());
        // Becoming another user has dropped the death signal that Process sets.
        argv.extend(["--pdeathsig", "KILL", "--"].map(Into::into));
        argv.push(tool("dnsmasq", "dnsmasq-base").into());
        // In debug mode it keeps the credentials that it has now, and with them the death signal.
        let fixed = ["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--log-dhcp"];
        argv.extend(fixed.map(Into::into));
        argv.extend(["--bind-interfaces", "--enable-tftp"].map(Into::into));
        argv.push(format!("--interface={BRIDGE}").into());
        argv.push(format!("--dhcp-range={RANGE}").into());
        argv.push("--dhcp-boot=pxelinux.0".into());
        argv.push(format!("--address=/{SERVER_NAME}/{GATEWAY}").into());
        argv.push(format!("--tftp-root={}", pxe_dir.display()).into());
        argv.push(format!("--dhcp-leasefile={}", leases.display()).into());
        let mut process = Process::start(&argv, &self.dir.path().join("dnsmasq.log"));
        let started = wait_until(Duration::from_secs(10), || {
            process.assert_running();
            process.output().contains("TFTP root is").then_some(())
        });
        assert!(started.is_some(), "dnsmasq did not start within 10 s:\n{}", process.output());
        Dnsmasq { process, leases }
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder.id()))
    }

    fn ip(&self, args: &[&str]) {
        ip(&self.enter(), args);
    }
}

/// A machine on a [`Network`]; dropping it takes it away.
#[derive(Debug)]
pub struct Station {
    holder: Process,
}

impl Station {
    /// The beginning of an argv that runs the rest of it on the machine.
    #[must_use]
    pub fn enter(&self) -> Vec<OsString> {
        enter(&self.holder)
    }

    /// `ip ARGS…` there.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn ip(&self, args: &[&str]) {
        ip(&self.enter(), args);
    }
}

/// A process with a network namespace of its own.
fn holder(log: &Path) -> Process {
    let argv = [
        tool("unshare", "util-linux").into(),
        "--net".into(),
        "--".into(),
        tool("sleep", "coreutils").into(),
        "infinity".into(),
    ];
    let mut holder = Process::start(&argv, log);
    // unshare becomes sleep only when the namespace exists.
    let comm = format!("/proc/{}/comm", holder.id());
    let ready = wait_until(Duration::from_secs(10), || {
        holder.assert_running();
        fs::read_to_string(&comm).ok().filter(|name| name == "sleep\n")
    });
    assert!(ready.is_some(), "the network namespace was not made within 10 s");
    holder
}

fn enter(holder: &Process) -> Vec<OsString> {
    let net = format!("--net=/proc/{}/ns/net", holder.id());
    vec![tool("nsenter", "util-linux").into(), net.into(), "--".into()]
}

fn ip(enter: &[OsString], args: &[&str]) {
    run(Command::new(&enter[0]).args(&enter[1..]).arg(tool("ip", "iproute2")).args(args));
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

/// The DHCP, DNS and TFTP server of a [`Network`], stopped on drop.
#[derive(Debug)]
pub struct Dnsmasq {
    process: Process,
    leases: PathBuf,
}

impl Dnsmasq {
    /// The address that the NIC `mac` has now.
    #[must_use]
    pub fn address_of(&self, mac: &str) -> Option<String> {
        let leases = fs::read_to_string(&self.leases).unwrap_or_default();
        // Each line: end of the lease, MAC, address, name, client id.
        leases
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|words| words.get(1) == Some(&mac))?
            .get(2)
            .map(|address| (*address).to_owned())
    }

    /// Everything it has logged: each DHCP message and each file sent.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output()
    }
}
