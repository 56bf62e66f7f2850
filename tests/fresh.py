"""Scripts in processes that have imported neither RecBole nor this package.

One process imports the libraries that take seconds, such as torch, and is forked for each script.
What a script does with an import of these libraries is for a process of its own to show.
"""

import atexit
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

LIBRARIES = ["torch.utils.tensorboard", "pandas", "scipy.stats", "sklearn.metrics", "tqdm"]


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the working folder, as ``python -c`` does."""
    server = _server()
    with tempfile.TemporaryDirectory() as folder:
        out, err = (Path(folder, name) for name in ("out", "err"))
        request = {"code": code, "folder": os.getcwd(), "out": str(out), "err": str(err)}
        print(json.dumps(request), file=server.stdin, flush=True)
        returncode = json.loads(server.stdout.readline())
        return subprocess.CompletedProcess(code, returncode, out.read_text(), err.read_text())


@cache
def _server() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.fresh"]
    root = Path(__file__).parents[1]
    server = subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(server.communicate)  # which closes its stdin, and so ends it
    return server


def _serve() -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_execute(**request))
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


def _execute(code: str, folder: str, out: str, err: str) -> int:
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv, sys.path[0] = ["-c"], ""
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        return 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    _serve()
