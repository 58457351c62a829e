"""The programs that are compared, and how each of them is told to do the same work."""
import os
import resource
import shutil
import subprocess
import sys
import time

from lab import Failed

ORIGINAL_CONF = "/usr/lib/python3/dist-packages/cdist/conf"


class Work:
    """Files to put on hosts: `hosts` is None for this machine itself."""

    def __init__(self, lab, files, hosts=None, parallel=1):
        self.lab, self.files, self.hosts, self.parallel = lab, files, hosts, parallel
        self.source = lab.path("source")
        os.makedirs(self.source, exist_ok=True)
        for i in range(files):
            with open(os.path.join(self.source, str(i)), "w", encoding="utf-8") as text:
                text.write(f"# file {i} of the bench\n" + f"setting{i} = value\n" * 10)
        self.target = os.path.join(lab.here, "files")

    def clean(self):
        """Nothing is there before a first run."""
        for place in [self.lab.here] if self.hosts is None else [h.place for h in self.hosts]:
            self.lab.make_place(place)

    def check(self, who):
        """That all of it is there after a run: a program that is fast because it does nothing would win."""
        for place in [self.lab.here] if self.hosts is None else [h.place for h in self.hosts]:
            for i in range(self.files):
                path = os.path.join(place, "files", f"f{i}")
                with open(os.path.join(self.source, str(i)), "rb") as wanted:
                    try:
                        with open(path, "rb") as found:
                            same = found.read() == wanted.read() and os.fstat(found.fileno()).st_mode & 0o777 == 0o640
                    except OSError:
                        same = False
                    if not same:
                        raise Failed(f"{who} has not made {path}; see {self.lab.path(who + '.log')}")


def processor_time():
    """Seconds that all children have used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Peer:
    """One program. `name` is also that of its log. `cpu` is the processor time of its last run in seconds."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.cpu = 0
        # If set, called with the process id again and again while the program runs.
        self.watch = None
        self.home = lab.path("home-" + name)
        self.log = lab.path(name + ".log")
        os.makedirs(self.home, exist_ok=True)
        # The usual environment, without any user's settings.
        self.env = {"PATH": os.environ["PATH"], "HOME": self.home, "LC_ALL": "C.UTF-8", "TMPDIR": lab.sockets}

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.home, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, mode)
        return path

    def run(self, argv, fails=False):
        """Seconds. A failure ends the bench."""
        with open(self.log, "ab") as log:
            log.write((" ".join(argv) + "\n").encode())
            log.flush()
            before, start = processor_time(), time.monotonic()
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, cwd=self.home)
            while self.watch and process.poll() is None:
                self.watch(process.pid)
                time.sleep(0.2)
            status = process.wait()
            seconds = time.monotonic() - start
            self.cpu = processor_time() - before
        if status != 0 and not fails:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                print(*log.readlines()[-15:], sep="", file=sys.stderr)
            raise Failed(f"{self.name} failed with status {status}; KEEP=1 keeps {self.log}")
        return seconds

    def put_files(self, work):
        """Does the work; seconds."""
        raise NotImplementedError


class Cdist(Peer):
    """Both cdists: they take the same command line."""

    def __init__(self, lab, name, program, conf):
        super().__init__(lab, name)
        self.program, self.conf = program, conf
        if not os.access(program, os.X_OK):
            raise Failed(f"{program} is missing")
        # Their names are short for the sake of the socket's path; %C is a hash of the connection.
        self.control = os.path.join(lab.sockets, name[0] + "-%C")
        options = f"-F {lab.config} -o ControlMaster=auto -o ControlPath={self.control} -o ControlPersist=2h"
        self.custom = ["--remote-exec", f"ssh {options}", "--remote-copy", f"scp -q {options}"]

    def local(self):
        raise NotImplementedError

    def config(self, manifest, target, fails=False):
        """`cdist config` with a manifest; seconds."""
        path = self.write("manifest", manifest, 0o755)
        out = ["-r", os.path.join(self.lab.here, "remote", "cdist")]
        return self.run([self.program, "config", *self.conf, "-i", path, *out, *target], fails)

    def put_files(self, work):
        manifest = (f'#!/bin/sh -e\ni=0\nwhile [ "$i" -lt {work.files} ]; do\n'
                    f'    __file "{work.target}/f$i" --source "{work.source}/$i" --mode 0640\n'
                    '    i=$((i + 1))\ndone\n')
        if work.hosts is None:
            return self.config(manifest, self.local())
        many = ["-p", str(work.parallel)] if len(work.hosts) > 1 else []
        return self.config(manifest, [*many, *self.remote(), *(host.name for host in work.hosts)])

    def remote(self):
        return self.custom


class Ours(Cdist):
    """The staged program."""

    def __init__(self, lab, program, is_custom=bool(os.environ.get("CUSTOM"))):
        super().__init__(lab, "custom" if is_custom else "ours", program, [])
        self.is_custom = is_custom

    def local(self):
        if self.is_custom:
            return Original.local(self)
        return ["--local", "localhost"]

    def share(self):
        """Where the files are that belong to the program."""
        return os.path.join(os.path.dirname(os.path.dirname(self.program)), "share", "cdist")

    def remote(self):
        return self.custom if self.is_custom else ["--ssh-config", self.lab.config]


class Original(Cdist):
    """Debian's package. It has no local connector; two scripts make this machine its target, as its users do."""

    def __init__(self, lab):
        if not os.path.isdir(ORIGINAL_CONF):
            raise Failed("Debian's package cdist is missing; make install-bench-packages")
        super().__init__(lab, "cdist", "/usr/bin/cdist", [])

    def local(self):
        execute = self.write("execute", '#!/bin/sh\nshift\nexec /bin/sh -c "$*"\n', 0o755)
        copy = self.write("copy", '#!/bin/sh\nfor last; do :; done\nn=$(($# - 1)) i=0\n'
                          'while [ $i -lt $n ]; do set -- "$@" "$1"; shift; i=$((i + 1)); done\n'
                          'shift\nexec cp -- "$@" "${last#*:}"\n', 0o755)
        return ["--remote-exec", execute, "--remote-copy", copy, "localhost"]


def venv(base):
    """A virtual environment with both Python peers. Its path; it is made once."""
    path = os.path.join(base, "venv")
    if not os.access(os.path.join(path, "bin", "ansible-playbook"), os.X_OK):
        print("bench: installing pyinfra and ansible-core", file=sys.stderr)
        shutil.rmtree(path, ignore_errors=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", path], check=True)
            subprocess.run([path + "/bin/pip", "install", "--quiet", "--disable-pip-version-check",
                            "pyinfra>=3.10,<4", "ansible-core>=2.19,<2.20"], check=True)
        except subprocess.CalledProcessError as error:
            raise Failed(f"no virtual environment: {error}; make install-bench-packages") from error
    return path


class Pyinfra(Peer):
    """`files.put` with a connection of its own Python ssh."""

    def __init__(self, lab, env):
        super().__init__(lab, "pyinfra")
        self.program = os.path.join(env, "bin", "pyinfra")

    def put_files(self, work):
        deploy = self.write("deploy.py", (
            "from pyinfra import config\nfrom pyinfra.operations import files\n"
            f"config.TEMP_DIR = {os.path.join(self.lab.here, 'tmp')!r}\n"
            f"for i in range({work.files}):\n"
            f"    files.put(name=f'file {{i}}', src=f'{work.source}/{{i}}', dest=f'{work.target}/f{{i}}',\n"
            "              mode='640', create_remote_dir=False)\n"))
        inventory = "@local"
        if work.hosts is not None:
            data = {"ssh_hostname": "127.0.0.1", "ssh_user": "root", "ssh_key": self.lab.key,
                    "ssh_strict_host_key_checking": "no", "ssh_known_hosts_file": "/dev/null"}
            hosts = [(h.name, {**data, "ssh_port": h.port}) for h in work.hosts]
            inventory = self.write("inventory.py", f"hosts = {hosts!r}\n")
        many = ["--parallel", str(work.parallel)] if work.hosts and len(work.hosts) > 1 else []
        return self.run([self.program, "-y", *many, inventory, deploy])


class Ansible(Peer):
    """`copy` with pipelining and without facts."""

    def __init__(self, lab, env):
        super().__init__(lab, "ansible")
        self.program = os.path.join(env, "bin", "ansible-playbook")
        self.env.update(ANSIBLE_PIPELINING="True", ANSIBLE_HOST_KEY_CHECKING="False", ANSIBLE_NOCOWS="1",
                        ANSIBLE_SSH_CONTROL_PATH_DIR=lab.sockets + "/a")

    def put_files(self, work):
        play = self.write("play.yml", (
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy:\n"
            f"        src: '{work.source}/{{{{ item }}}}'\n        dest: '{work.target}/f{{{{ item }}}}'\n"
            f"        mode: '0640'\n      loop: '{{{{ range(0, {work.files}) | list }}}}'\n"))
        python = f"ansible_python_interpreter={sys.executable}"
        if work.hosts is None:
            lines = [f"localhost ansible_connection=local {python}"]
        else:
            lines = [f"{h.name} ansible_ssh_common_args='-F {self.lab.config}' {python}" for h in work.hosts]
        inventory = self.write("inventory.ini", "\n".join(lines) + "\n")
        return self.run([self.program, "-f", str(work.parallel), "-i", inventory, play])
