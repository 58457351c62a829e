"""A trigger server with machines of its own: addresses of the loopback network that are configured by local stubs.

127.0.0.1 succeeds at once, 127.0.0.2 fails, 127.0.0.3 takes some seconds.
"""

import http.client
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

MANIFEST = """#!/bin/sh -e
case $__target_host in
127.0.0.2) __broken disk ;;
127.0.0.3) for n in 1 2 3 4 5 6 7 8; do __slow $n; done ;;
esac
"""
FILES = {
    "conf/manifest/init": MANIFEST,
    "conf/type/__broken/gencode-local": '#!/bin/sh\necho "echo \'no space left on <device>\' >&2; exit 3"\n',
    "conf/type/__slow/gencode-local": '#!/bin/sh\necho "sleep 0.5"\n',
    # Gets the host and the command.
    "stub-exec": '#!/bin/sh\nshift\nexec sh -c "$*"\n',
    # Gets files and HOST:PLACE.
    "stub-copy": '#!/bin/sh\nfor last; do :; done\nplace=${last#*:}\nwhile [ $# -gt 1 ]; do cp -R "$1" "$place"; shift; done\n',
}


class TriggerServer:
    """Runs until it is stopped; everything it makes is in one temporary directory."""

    def __init__(self, program):
        self.place = tempfile.TemporaryDirectory(prefix="cdist-web-")
        root = pathlib.Path(self.place.name)
        for name, text in FILES.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)
        self.state_dir = root / "state"
        self.log = open(root / "log", "w+", encoding="utf-8")
        command = [program, "trigger", "-b", "-v", "-H", "0", "--listen", "127.0.0.1",
                   "--status-listen", "127.0.0.1:0", "--state-dir", self.state_dir, "--retries", "0",
                   "--remote-exec", root / "stub-exec", "--remote-copy", root / "stub-copy",
                   "-r", root / "out", "-c", root / "conf"]
        environment = dict(os.environ, HOME=str(root), NO_COLOR="1")
        self.process = subprocess.Popen(command, stderr=self.log, stdin=subprocess.DEVNULL, env=environment)
        try:
            self.machines = int(self.said(r"listening on 127\.0\.0\.1:(\d+)"))
            self.url = self.said(r"status page on (http://[^/\s]+)/")
        except BaseException:
            self.stop()
            raise

    def said(self, pattern):
        """What the server says of itself on standard error."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(pattern, self.said_so_far())
            if found:
                return found[1]
            time.sleep(0.05)
        raise RuntimeError(f"the server does not say {pattern!r}; it says:\n{self.said_so_far()}")

    def said_so_far(self):
        return pathlib.Path(self.log.name).read_text(encoding="utf-8")

    def token(self):
        return (self.state_dir / "status-token").read_text(encoding="ascii").strip()

    def call(self, number, path):
        """The machine 127.0.0.NUMBER calls; the answer's line."""
        facts = {"mac": f"52:54:00:00:00:0{number}", "serial": f'"><b>{number}', "ssh_host_keys": ["ssh-ed25519 AAAA"]}
        machine = http.client.HTTPConnection("127.0.0.1", self.machines, 60, (f"127.0.0.{number}", 0))
        machine.request("POST", path, json.dumps(facts))
        answer = machine.getresponse().read().decode().strip()
        machine.close()
        return answer

    def job(self, number, path):
        """The same, for the number of the job."""
        return int(re.search(r"job (\d+)", self.call(number, path))[1])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.place.cleanup()
