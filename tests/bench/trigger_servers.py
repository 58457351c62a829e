"""The servers of the bench: ours, and its peer; and the generator that calls them."""
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

from lab import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
# How long a server may take to listen.
PATIENCE = 20


class Server:
    """A program that listens on `port`, in a session of its own."""

    def __init__(self, argv, port, log):
        self.port, self.log = port, log
        with open(log, "ab") as err:
            begin = time.perf_counter()
            self.process = subprocess.Popen(argv, start_new_session=True, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
            go_first(self.process.pid)
        try:
            # Milliseconds until it listened, and until it has answered.
            self.listened, self.answered = self.first_answer(begin)
        except BaseException:
            self.kill()
            raise

    def first_answer(self, begin):
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
                break
            except ConnectionRefusedError:
                if self.process.poll() is not None:
                    raise Failed(f"it ended at once: {end_of(self.log)}") from None
                if time.perf_counter() - begin > PATIENCE:
                    raise Failed(f"nothing listens on port {self.port}; see {self.log}") from None
                time.sleep(0.0002)
        listened = time.perf_counter()
        with connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            if not connection.recv(4096).startswith(b"HTTP/1."):
                raise Failed(f"no answer from port {self.port}; see {self.log}")
        return (listened - begin) * 1e3, (time.perf_counter() - begin) * 1e3

    def processes(self):
        """The server, and what runs the same program below it."""
        found, parents = [self.process.pid], {self.process.pid}
        for entry in sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int):
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as text:
                    parent = int(text.read().rsplit(")", 1)[1].split()[1])
                if parent in parents and os.readlink(f"/proc/{entry}/exe") == os.readlink(f"/proc/{self.process.pid}/exe"):
                    parents.add(int(entry))
                    found.append(int(entry))
            except OSError:
                continue
        return found

    def mebibytes(self):
        """What is resident of all its processes."""
        return sum(status(pid, "VmRSS:") for pid in self.processes()) / 1024

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8", errors="replace") as text:
            fields = text.read().rsplit(")", 1)[1].split()
        return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def kill(self):
        """As a machine that loses its power."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Ours:
    """Starts our server. Its jobs wait without an end: what is measured is the way to them."""

    name = "ours"

    def __init__(self, tmp, program):
        if not os.access(program, os.X_OK):
            raise Failed(f"{program} is not there: make build")
        self.tmp, self.program = tmp, program
        self.manifest = os.path.join(tmp, "manifest")
        self.stub = os.path.join(tmp, "stub")
        conf = self.conf = os.path.join(tmp, "conf")
        os.makedirs(os.path.join(conf, "manifest"))
        fifo = os.path.join(tmp, "never")
        os.mkfifo(fifo)
        # Nothing is written there, so a reader sleeps until the bench ends.
        self.never = os.open(fifo, os.O_RDWR)
        script(self.manifest, ":")
        script(self.stub, f"read nothing <'{fifo}'")

    def start(self, state):
        port = free_port()
        argv = [self.program, "trigger", "-b", "-v", "-c", self.conf, "-i", self.manifest, "-H", str(port), "-j", "1",
                "--state-dir", self.state(state), "--queue", "100000000", "--machines", "100000000",
                "--remote-exec", self.stub, "--remote-copy", self.stub]
        return Server(argv, port, os.path.join(self.tmp, "ours.log"))

    def state(self, name):
        return os.path.join(self.tmp, "state", name)

    def forget(self, name):
        shutil.rmtree(self.state(name), ignore_errors=True)

    def jobs(self, name):
        """How many jobs are on the disk, read from the database file alone."""
        with sqlite3.connect(f"file:{self.state(name)}/trigger.db?mode=ro", uri=True) as base:
            (whole,) = base.execute("PRAGMA quick_check").fetchone()
            if whole != "ok":
                raise Failed(f"the database of {name} is damaged: {whole}")
            return base.execute("SELECT count(*) FROM job").fetchone()[0]


class Peer:
    """Starts a server of the original's shape."""

    name = "peer"

    def __init__(self, tmp):
        self.tmp = tmp

    def start(self, _=None):
        port = free_port()
        return Server([sys.executable, os.path.join(HERE, "trigger_peer.py"), str(port)], port, os.path.join(self.tmp, "peer.log"))


class Disk:
    """Writes a block now and then, and measures until it is on the disk: what the machine itself costs a server."""

    def __init__(self, tmp):
        self.path, self.times = os.path.join(tmp, "block"), []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def work(self):
        with open(self.path, "wb", buffering=0) as file:
            while not self.over.wait(0.02):
                file.seek(0)
                begin = time.perf_counter()
                file.write(bytes(4096))
                os.fdatasync(file.fileno())
                self.times.append((time.perf_counter() - begin) * 1e3)

    def __str__(self):
        times = sorted(self.times) or [0]
        return f"{times[len(times) // 2]:.1f} ms (p99 {times[len(times) * 99 // 100]:.1f})"


class Generator:
    def __init__(self, program):
        if not os.access(program, os.X_OK):
            raise Failed(f"{program} is not there: cargo build --release -p cdist-tests --bin trigger_load")
        self.program = program

    def command(self, server, *options):
        return [self.program, *map(str, options), f"127.0.0.1:{server.port}"]

    def call(self, server, *options):
        """Calls a server, and adds what it has used of the machine, and what others had of it meanwhile, in percent."""
        before, busy, all_ = server.cpu_seconds(), *machine()
        with subprocess.Popen(self.command(server, *options), stdout=subprocess.PIPE, start_new_session=True) as calls:
            go_first(calls.pid)
            answer = calls.stdout.read()
        if not answer:
            raise Failed(f"the generator failed; the server says: {end_of(server.log)}")
        report = json.loads(answer)
        used, busy, all_ = server.cpu_seconds() - before, *(now - then for now, then in zip(machine(), (busy, all_)))
        report["server_cpu_seconds"] = used
        report["others"] = max(busy - used - report["cpu_seconds"], 0) / all_ * 100
        return report


def go_first(pid):
    """Gives a process the priority NICE. Where the kernel shares CPUs between sessions, it is the session's that counts."""
    nice = os.environ.get("NICE")
    if nice:
        os.setpriority(os.PRIO_PROCESS, pid, int(nice))
        try:
            with open(f"/proc/{pid}/autogroup", "w", encoding="utf-8") as group:
                group.write(nice)
        except OSError:
            pass


def free_port():
    """A free port outside of the range of ephemeral ports, of which the generator leaves thousands in TIME_WAIT."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="utf-8") as text:
        first = int(text.read().split()[0])
    for port in random.sample(range(min(10_000, first - 1), first), 100):
        try:
            with socket.create_server(("", port)):
                return port
        except OSError:
            continue
    raise Failed("no free port below those of the kernel")


def script(path, line):
    with open(path, "w", encoding="utf-8") as text:
        text.write(f"#!/bin/sh\n{line}\n")
    os.chmod(path, 0o755)


def machine():
    """Seconds of CPU: those that were used or taken away, and all."""
    with open("/proc/stat", encoding="utf-8") as text:
        ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in text.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def status(pid, name):
    """A number of /proc/PID/status; 0 if the process is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def end_of(log):
    with open(log, encoding="utf-8", errors="replace") as text:
        return text.read()[-600:].strip() or f"nothing in {log}"
