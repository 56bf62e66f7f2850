"""Several processes, of which one fails."""

import os
import signal
from pathlib import Path

import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.processes import launched_group, run_in_processes

PART = """
import os, time
from recbole_mmdistill.errors import UserError

class Odd(Exception):
    def __init__(self, one, two): super().__init__(one)

def square(rank, add): return rank * rank + add
def killed(rank): os.kill(os.getpid(), 9) if rank else time.sleep(60)
def told_to_end(rank): os.kill(os.getpid(), 15) if rank else time.sleep(60)
def wrong(rank):
    if rank == 0: raise RuntimeError("the other is gone")  # what it causes may be seen first
    time.sleep(0.1)
    raise UserError("This is wrong.", "Change it.")
def odd(rank): raise Odd("both", "of them")
def gone(rank): os._exit(3)
"""


@pytest.fixture(autouse=True)
def part(monkeypatch):
    Path("part_of_a_group.py").write_text(PART)
    monkeypatch.syspath_prepend(os.getcwd())
    import part_of_a_group

    yield part_of_a_group
    del __import__("sys").modules["part_of_a_group"]


def test_results_are_given_by_rank(part):
    assert run_in_processes(part.square, 3, 5) == [5, 6, 9]


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("killed", UserError, r"Process 2 of 2 was ended by SIGKILL\. If memory was short"),
        ("told_to_end", UserError, r"Process 2 of 2 was ended by SIGTERM\. If memory was short"),
        ("gone", UserError, r"Process \d of 2 ended with exit code 3 and without a result"),
        ("wrong", UserError, r"This is wrong\. Change it\."),
        ("odd", RuntimeError, "Odd: both"),
    ],
)
def test_the_cause_of_a_failure_is_raised(part, function, error, message):
    with pytest.raises(error, match=message) as failure:
        run_in_processes(getattr(part, function), 2)
    if function in ("wrong", "odd"):
        assert f"in {function}" in str(failure.value.__cause__)  # its own traceback


def test_signals_are_handled_as_before(part):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    run_in_processes(part.square, 1, 0)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


LAUNCHED = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}


def test_a_process_that_torchrun_has_started_knows_its_group(monkeypatch):
    assert launched_group() is None
    for name, value in {**LAUNCHED, "MASTER_ADDR": "node0", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    assert launched_group() == {
        **{"world_size": 4, "nproc": 2, "offset": 2, "local_rank": 1},
        **{"ip": "node0", "port": "29500"},
    }


def test_a_part_of_torchruns_environment_is_refused(monkeypatch):
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"but MASTER_ADDR, MASTER_PORT not\. Start with torchrun"):
        launched_group()
