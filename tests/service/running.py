"""A service in a process of its own."""

import re
import signal
import subprocess
import sys
from contextlib import contextmanager

REFUSED = ("torch", "recbole", "pandas", "scipy", "duckdb", "transformers", "timm", "onnx")
_PROGRAM = """
import sys, time
class Refusing:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Refusing())
{first}
from recbole_mmdistill.cli import program
program()
"""


def command(*words, first=""):
    """The command line of ``recbole-mm serve`` where torch and RecBole cannot be imported."""
    program = _PROGRAM.format(refused=REFUSED, first=first)
    return [sys.executable, "-c", program, "serve", *map(str, words)]


@contextmanager
def running(*words, first=""):
    """Start a service at a free port; its address and its process, which is ended."""
    process = subprocess.Popen(
        command(*words, "--port=0", first=first),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        address = re.match(r"Listening: (http://\S+)/$", line)
        assert address, line + process.stderr.read()
        yield address[1], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
