"""A step is done once, and again when what it depends on changes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.poc.steps import OutOfTime, Steps


def steps(budget=60.0):
    return Steps(Path("steps"), budget, lambda line: None)


def test_a_finished_step_is_read():
    assert steps().do("one", {"of": 1}, lambda: {"found": [1, 2]}) == {"found": [1, 2]}
    again = steps()
    assert again.do("one", {"of": 1}, lambda: 1 / 0) == {"found": [1, 2]}


def test_time_of_earlier_starts_counts():
    steps().do("one", {}, lambda: 1)
    path = Path("steps/one.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": 25.0}))
    again = steps()
    again.do("one", {}, lambda: 2)
    assert (again.spent, again.left, again.seconds("one")) == (25.0, 35.0, 25.0)


def test_time_of_a_start_that_was_killed_counts():
    program = """
import sys, time
from pathlib import Path
from recbole_mmdistill.poc.steps import Steps
Steps(Path("steps"), 60.0, print).do("one", {}, lambda: time.sleep(60))
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    while not Path("steps/one.begun").exists():
        time.sleep(0.05)
    process.kill()
    process.wait()
    again, spent = steps(), []
    again.do("one", {}, lambda: spent.append(again.spent))
    assert spent[0] >= 1.0
    assert again.spent == pytest.approx(spent[0] + again.seconds("one"))
    once_more = steps()
    once_more.do("one", {}, lambda: 1 / 0)
    assert once_more.spent == again.spent and not Path("steps/one.begun").exists()


def test_other_inputs_or_another_basis_are_another_step():
    assert steps().do("one", {"of": 1}, lambda: "first") == "first"
    assert steps().do("one", {"of": 2}, lambda: "second") == "second"
    other = steps()
    other.basis = {"file": "changed"}
    assert other.do("one", {"of": 2}, lambda: "third") == "third"


def test_what_gave_up_is_tried_again_only_with_a_larger_budget():
    def give_up():
        raise OutOfTime("nothing")

    assert steps(60.0).do("one", {}, give_up) == "nothing"
    assert steps(60.0).do("one", {}, lambda: "done") == "nothing"
    assert steps(90.0).do("one", {}, lambda: "done") == "done"
    assert steps(60.0).do("one", {}, lambda: 1 / 0) == "done"


def test_a_damaged_file_is_done_again():
    steps().do("one", {}, lambda: 1)
    Path("steps/one.json").write_text('{"fingerprint": "')
    assert steps().do("one", {}, lambda: 2) == 2


def test_a_step_that_fails_leaves_nothing():
    try:
        steps().do("one", {}, lambda: 1 / 0)
    except ZeroDivisionError:
        pass
    assert not Path("steps/one.json").exists()


def test_each_step_is_told_with_the_time():
    told = []
    Steps(Path("steps"), 90.0, told.append).do("one", {}, lambda: 1)
    assert told == ["[00:00 of 01:30] one: 0 s"]


def test_no_work_is_done_whose_result_cannot_be_kept(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(UserError, match="No space left on device"):
        steps().do("one", {}, lambda: pytest.fail("the work was done"))
