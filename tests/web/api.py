#!/usr/bin/python3
"""The API of `cdist trigger` against its own description: schemathesis makes requests of all kinds, good and bad, and looks
whether the answers are those that openapi.json promises.

CDIST names the program, SCHEMATHESIS the tester (`make install-web-tools` installs it). Arguments are options of
`schemathesis run`, such as --max-examples 1000.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

from trigger_server import TriggerServer

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = os.environ.get("CDIST") or ROOT / "target/dist/bin/cdist"
TESTER = os.environ.get("SCHEMATHESIS") or ROOT / "target/venv-web/bin/schemathesis"
# How many requests are made up for each operation; more in `make soak`.
EXAMPLES = os.environ.get("CDIST_TEST_EXAMPLES", "15")
# The same requests each time: what fails once fails again.
OPTIONS = ["--checks", "all", "--max-examples", EXAMPLES, "--generation-deterministic", "--seed", "1",
           "--request-timeout", "30", "--warnings", "off", "--no-color"]


def main():
    server = TriggerServer(os.path.abspath(PROGRAM))
    try:
        for number, path in [(1, "/install/web?wait=30"), (2, "/config/x?wait=30"), (3, "/config/x?wait=30")]:
            server.call(number, path)
        command = [os.path.abspath(TESTER), "run", f"{server.url}/api/v1/openapi.json", *OPTIONS, *sys.argv[1:],
                   "--header", f"Authorization: Bearer {server.token()}"]
        print(f"covered: {EXAMPLES} requests for each operation", flush=True)
        # It leaves files where it runs.
        with tempfile.TemporaryDirectory(prefix="cdist-web-") as place:
            status = subprocess.run(command, cwd=place).returncode
        if status != 0 or server.process.poll() is not None:
            sys.exit(f"{server.said_so_far()[-2000:]}\nthe API does not keep to its description; above is the log of the server")
    finally:
        server.stop()


main()
