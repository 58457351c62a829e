"""The machines of the bench: real sshds on loopback, each with a place of its own, and links with a delay."""
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time


class Failed(Exception):
    """The bench cannot go on; the text says why."""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_for(port, log):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Failed(f"nothing listens on port {port}; see {log}")


class Host:
    """A name under which every program reaches one sshd. `place` is where its files really are."""

    def __init__(self, name, port, place, log, turns=None):
        self.name, self.port, self.place, self.log, self.turns = name, port, place, log, turns

    def sessions(self):
        """How many commands and file transfers sshd has been asked for so far."""
        with open(self.log, encoding="utf-8", errors="replace") as text:
            return len(re.findall("Starting session: ", text.read()))


    def round_trips(self):
        """How many round trips of the link have been waited for so far."""
        if self.turns is None:
            return 0
        with open(self.turns, "rb") as number:
            return struct.unpack("=q", number.read())[0]


class Lab:
    """`here` is one path that leads to another place on every machine: sshds run in mount namespaces of their own."""

    def __init__(self, base):
        self.sshd = shutil.which("sshd", path="/usr/sbin:/sbin:" + os.environ["PATH"])
        missing = [tool for tool in ("ssh", "scp", "ssh-keygen", "unshare") if not shutil.which(tool)]
        if missing or not self.sshd:
            raise Failed(f"missing: {' '.join(missing) or 'sshd'}; make install-test-packages")
        os.makedirs(base, exist_ok=True)
        self.tmp = tempfile.mkdtemp(prefix="bench.", dir=base)
        # Paths of sockets are short, whatever the checkout is called.
        self.sockets = tempfile.mkdtemp(prefix="cb.")
        self.here = os.path.join(self.tmp, "here")
        self.processes = []
        self.config = os.path.join(self.tmp, "ssh_config")
        os.makedirs(self.here)
        self.key = os.path.join(self.tmp, "key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key + ".host"], check=True)
        self.make_place(self.here)

    def path(self, *names):
        return os.path.join(self.tmp, *names)

    def make_place(self, place):
        for name in ("files", "remote", "tmp"):
            shutil.rmtree(os.path.join(place, name), ignore_errors=True)
            os.makedirs(os.path.join(place, name), mode=0o700)

    def start(self, argv, **options):
        """Lives until the bench ends."""
        process = subprocess.Popen(argv, start_new_session=True, stdin=subprocess.DEVNULL, **options)
        self.processes.append(process)
        return process

    def hosts(self, prefix, count):
        """Starts `count` sshds."""
        os.makedirs("/run/sshd", exist_ok=True)
        server = self.path("sshd_config")
        with open(server, "w", encoding="utf-8") as text:
            text.write(
                "ListenAddress 127.0.0.1\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\n"
                "PidFile none\nLogLevel VERBOSE\nMaxStartups 1000\nMaxSessions 1000\nSubsystem sftp internal-sftp\n"
                f"HostKey {self.key}.host\nAuthorizedKeysFile {self.key}.pub\n")
        hosts = []
        for i, port in enumerate(free_ports(count), 1):
            name = f"{prefix}{i}"
            place, log = self.path("places", name), self.path(f"{name}.log")
            self.make_place(place)
            enter = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
            self.start(["unshare", "--mount", "--propagation", "private", "sh", "-c", enter, "sh", place, self.here,
                        self.sshd, "-D", "-f", server, "-p", str(port), "-E", log],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            hosts.append(Host(name, port, place, log))
        for host in hosts:
            wait_for(host.port, host.log)
        return hosts

    def link(self, host, milliseconds):
        """The host once more, behind a link with a delay in each direction."""
        (port,) = free_ports(1)
        proxy = os.path.join(os.path.dirname(os.path.abspath(__file__)), "delay_proxy.py")
        name = f"{host.name}-{milliseconds}ms"
        log, turns = self.path("proxy.log"), self.path(name + ".turns")
        with open(log, "a", encoding="utf-8") as err:
            self.start([sys.executable, proxy, str(port), str(host.port), str(milliseconds), turns],
                       stdout=err, stderr=err)
        wait_for(port, log)
        return Host(name, port, host.place, host.log, turns)

    def write_ssh_config(self, hosts):
        """What ssh and scp have to know. Sharing connections is the business of each program."""
        with open(self.config, "w", encoding="utf-8") as text:
            for host in hosts:
                text.write(f"Host {host.name}\n  HostName 127.0.0.1\n  Port {host.port}\n")
            text.write(
                f"Host *\n  User root\n  IdentityFile {self.key}\n  IdentitiesOnly yes\n  BatchMode yes\n"
                "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n")

    def disconnect(self):
        """Ends the connections that programs have left open for their next run."""
        for directory, _, names in os.walk(self.sockets):
            for path in (os.path.join(directory, name) for name in names):
                try:
                    is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
                except FileNotFoundError:
                    continue
                if is_socket:
                    subprocess.run(["ssh", "-F", "/dev/null", "-o", f"ControlPath={path}", "-O", "exit", "any"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def close(self):
        self.disconnect()
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.sockets, ignore_errors=True)
        if os.environ.get("KEEP"):
            print(f"bench: kept {self.tmp}", file=sys.stderr)
        else:
            shutil.rmtree(self.tmp, ignore_errors=True)
