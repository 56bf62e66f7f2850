"""A command ends at any moment in a word, with the right code, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.builders import write_dataset

# A verb whose work is given, run as the command line runs it.
VERB = """
import os, sqlite3, sys, time, types
from pathlib import Path
from recbole_mmdistill import cli, files, signals
from recbole_mmdistill.processes import run_in_processes
def work(words):
    {work}
if __name__ == "__main__":
    sys.modules["recbole_mmdistill.cli.run"] = types.SimpleNamespace(main=work)
    cli.program(["run"])
"""
WRITING = """
    with files.replacing(Path("out")) as file:
        file.write(b"half")
        file.flush()
        print("ready", flush=True)
        {then}
"""
WORDS = [
    *("-m", "recbole_mmdistill.cli", "run", "--model=SASRec", "--dataset=small", "--epochs=5000"),
    *(
        "--stopping_step=5000",
        "--show_progress=False",
        "--MAX_ITEM_LIST_LENGTH=5",
        "--use_gpu=False",
    ),
]


def start(*words):
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def start_work(work):
    Path("verb.py").write_text(VERB.format(work=work))
    process = start("verb.py")
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def others_of(process):
    """Processes of the session that it began, without itself."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (path / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == process.pid and int(path.name) != process.pid and state != "Z":
            found.append(int(path.name))
    return found


def left_of(process, seconds=5):
    """Processes of its session that are there after some seconds."""
    end = time.monotonic() + seconds
    while others_of(process) and time.monotonic() < end:
        time.sleep(0.05)
    return others_of(process)


def ended(process, code, word, seconds=20):
    _, said = process.communicate(timeout=seconds)
    assert process.returncode == code, said
    assert said.splitlines() == [word]
    assert not left_of(process)
    assert [*Path().rglob("*.tmp"), *Path().rglob("out")] == []


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_work_is_unwound(number, code, word):
    process = start_work(
        """
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        Path("unwound").touch()
"""
    )
    process.send_signal(number)
    ended(process, code, word)
    assert Path("unwound").exists()


@pytest.mark.parametrize("ends", ["by itself", "by a second signal"])
def test_code_that_swallows_the_interruption_is_ended(ends):
    swallow = "\n            ".join(["try: time.sleep(60)", "except BaseException: pass"])
    grace = 0.5 if ends == "by itself" else 60
    process = start_work(
        WRITING.format(then=f"signals.GRACE = {grace}\n        while True:\n            {swallow}")
    )
    process.send_signal(signal.SIGINT)
    if ends == "by a second signal":
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    ended(process, 130, "interrupted")


def test_a_long_call_of_c_code_is_ended():
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n"
    query = f"sqlite3.connect(':memory:').execute('{forever}').fetchone()"
    process = start_work(WRITING.format(then=f"signals.GRACE = 0.5; {query}"))
    process.send_signal(signal.SIGTERM)
    ended(process, 143, "terminated")


def test_an_import_is_ended_at_once():
    Path("slow.py").write_text("import time\ntry: time.sleep(60)\nexcept BaseException: pass\n")
    process = start_work(WRITING.format(then="import slow"))
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    ended(process, 130, "interrupted")


def test_processes_that_were_forked_die_with_their_parent():
    process = start_work('if os.fork(): print("ready", flush=True)\n    time.sleep(60)')
    assert len(others_of(process)) == 1
    process.kill()
    process.communicate(timeout=20)
    assert not left_of(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_processes_of_a_group_die_with_their_parent(number):
    Path("part.py").write_text("import time\ndef sleep(rank): time.sleep(60)\n")
    process = start_work('import part; print("ready", flush=True); run_in_processes(part.sleep, 2)')
    time.sleep(0.6)  # some way into the start of both
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    if number == signal.SIGKILL:
        process.communicate(timeout=20)
        assert not left_of(process)
    else:
        word = "interrupted" if number == signal.SIGINT else "terminated"
        ended(process, 128 + number, word)


def wait_until_signals_are_handled(process):
    """Python's own start is not ours: a Ctrl-C in the first hundredth of a second is Python's."""
    term = 1 << signal.SIGTERM - 1
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        if int(status.partition("SigCgt:")[2].split()[0], 16) & term:
            return
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("seconds", "number"),
    [
        *((0, signal.SIGINT), (0.1, signal.SIGTERM), (0.5, signal.SIGINT)),
        *((1.5, signal.SIGTERM), (2.5, signal.SIGINT), (4.5, signal.SIGTERM)),
    ],
)
def test_a_run_ends_at_any_moment(seconds, number):
    write_dataset()
    process = start(*WORDS)
    wait_until_signals_are_handled(process)
    time.sleep(seconds)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert said.splitlines() == ["interrupted" if number == signal.SIGINT else "terminated"]
    assert not list(Path().rglob("*.tmp"))
