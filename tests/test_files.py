"""Files are whole or not there, and what a killed process has left is removed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.files import (
    alone_in,
    check_room,
    is_taken,
    replacing,
    write_json,
    write_text,
)

WRITES = """
import time
from pathlib import Path
from recbole_mmdistill.files import replacing
with replacing(Path("out/a.pth")) as file:
    file.write(b"half")
    file.flush()
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_file_is_replaced_once_the_new_one_is_whole():
    write_text(Path("a"), "old")
    with pytest.raises(ValueError), replacing(Path("a")) as file:
        file.write(b"new")
        raise ValueError
    assert Path("a").read_text() == "old"
    with replacing(Path("a")) as file:
        file.write(b"new")
        assert Path("a").read_text() == "old"
    assert Path("a").read_text() == "new" and [*Path().iterdir()] == [Path("a")]


def test_the_half_file_of_a_killed_process_is_removed_by_the_next_that_writes_there():
    writer = subprocess.Popen([sys.executable, "-c", WRITES], stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "ready\n"
    (half,) = Path("out").iterdir()
    write_text(Path("out/b"), "beside a process that is writing")
    assert half.exists()
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    write_text(Path("out/b"), "after its end")
    assert [*Path("out").iterdir()] == [Path("out/b")]


def test_other_hidden_files_are_left_alone():
    for name in (".tmp", ".a.tmp", "a.1.tmp", ".a.1.tmp.gz"):
        Path(name).touch()
    os.mkfifo(".pipe.1.tmp")
    write_text(Path("a"), "new")
    assert {path.name for path in Path().iterdir()} >= {".tmp", ".a.tmp", "a.1.tmp", ".a.1.tmp.gz"}


def test_two_files_are_written_side_by_side():
    with replacing(Path("a")) as first, replacing(Path("b")) as second:
        first.write(b"1")
        second.write(b"2")
    assert (Path("a").read_text(), Path("b").read_text()) == ("1", "2")


def test_room_is_asked_for_before_there_is_something_to_lose(tmp_path):
    check_room(tmp_path / "new")
    with pytest.raises(UserError, match="has no room for"):
        check_room(tmp_path, 1 << 62)
    assert not [*tmp_path.rglob("*")]


def test_values_that_json_does_not_know_lose_nothing(tmp_path):
    write_json(tmp_path / "a.json", {"of": np.float32(0.5), "many": np.arange(2), "at": tmp_path})
    assert json.loads((tmp_path / "a.json").read_text()) == {
        **{"of": 0.5, "many": [0, 1]},
        "at": str(tmp_path),
    }


def test_one_process_at_a_time_works_in_a_folder():
    with alone_in(Path("poc"), is_taken(Path("poc"), "--output")):
        write_text(Path("poc/report.json"), "{}")
        with (
            pytest.raises(UserError, match=r"--output is poc, where another process is at work"),
            alone_in(Path("poc"), is_taken(Path("poc"), "--output")),
        ):
            pass
    with alone_in(Path("poc"), is_taken(Path("poc"), "--output")):
        assert Path("poc/report.json").exists()


def test_a_folder_in_which_nothing_was_made_is_not_left():
    with pytest.raises(UserError), alone_in(Path("a/poc"), is_taken(Path("a/poc"), "--output")):
        raise UserError("The orders cannot be read.", "Give others.")
    assert not Path("a/poc").exists()


def test_who_comes_second_leaves_the_first_s_empty_folder():
    taken = is_taken(Path("poc"), "--output")
    with alone_in(Path("poc"), taken):
        with pytest.raises(UserError), alone_in(Path("poc"), taken):
            pass
        assert Path("poc").is_dir()
