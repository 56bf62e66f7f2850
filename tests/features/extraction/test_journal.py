import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features.extraction.journal import MAGIC, Failure, Journal

A, B, C = (letter * 16 for letter in (b"a", b"b", b"c"))
ONE = np.array([[1.5, 2.5]], dtype=np.float16)
TWO = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float16)


def content(path):
    """The records of a journal, with their vectors."""
    with Journal(path) as journal:
        return {
            key: outcome if isinstance(outcome, Failure) else journal.read(outcome).tolist()
            for key, outcome in journal.records()
        }


def test_what_was_appended_comes_back(tmp_path):
    with Journal(tmp_path / "j") as journal:
        journal.append([A, B], [ONE, Failure("is no pïcture")])
        (place,) = journal.append([C], [TWO])
        assert journal.read(place).tolist() == TWO.tolist()
    assert content(tmp_path / "j") == {
        A: ONE.tolist(),
        B: Failure("is no pïcture"),
        C: TWO.tolist(),
    }


def test_a_journal_without_records_leaves_no_file(tmp_path):
    with Journal(tmp_path / "folder" / "j"):
        assert (tmp_path / "folder" / "j").exists()
    assert not (tmp_path / "folder" / "j").exists()


def test_opened_and_not_read_it_is_kept(tmp_path):
    with Journal(tmp_path / "j") as journal:
        journal.append([A], [ONE])
    with Journal(tmp_path / "j"):
        pass
    assert content(tmp_path / "j") == {A: ONE.tolist()}


@given(cut=st.integers(0, 200), garbage=st.binary(max_size=50))
def test_whatever_a_killed_process_leaves_at_the_end_is_cut_off(tmp_path_factory, cut, garbage):
    path = tmp_path_factory.getbasetemp() / "cut.journal"
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        journal.append([A], [ONE])
        end = path.stat().st_size
        journal.append([B, C], [TWO, Failure("gone")])
    whole = path.read_bytes()
    kept = max(end, len(whole) - cut)
    path.write_bytes(whole[:kept] + garbage)
    found = content(path)
    assert found[A] == ONE.tolist()
    assert found.get(B, TWO.tolist()) == TWO.tolist()
    assert set(found) <= {A, B, C}
    with Journal(path) as journal:
        list(journal.records())
        journal.append([C], [ONE])
    assert content(path) == {**found, C: ONE.tolist()}


@pytest.mark.parametrize("at", [0, 20, 30, 39])
def test_a_changed_byte_is_noticed(tmp_path, at):
    with Journal(tmp_path / "j") as journal:
        journal.append([A], [TWO])
    data = bytearray((tmp_path / "j").read_bytes())
    data[len(MAGIC) + at] ^= 1
    (tmp_path / "j").write_bytes(data)
    assert content(tmp_path / "j") == {}


def test_a_head_cut_short_is_begun_anew(tmp_path):
    (tmp_path / "j").write_bytes(MAGIC[:7])
    with Journal(tmp_path / "j") as journal:
        journal.append([A], [ONE])
    assert content(tmp_path / "j") == {A: ONE.tolist()}


def test_a_file_of_another_kind_is_left_alone(tmp_path):
    (tmp_path / "j").write_text("my thesis")
    with pytest.raises(UserError, match="no journal of an interrupted extraction"):
        Journal(tmp_path / "j")
    assert (tmp_path / "j").read_text() == "my thesis"


OPEN = "import sys; from recbole_mmdistill.features.extraction.journal import Journal; "


def in_another_process(code, path):
    command = [sys.executable, "-c", OPEN + code, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_second_process_is_refused_as_long_as_the_first_has_it(tmp_path):
    with Journal(tmp_path / ".shop.text.safetensors.partial"):
        done = in_another_process("Journal(__import__('pathlib').Path(sys.argv[1]))", "x")
        assert done.returncode == 0  # another file
        path = tmp_path / ".shop.text.safetensors.partial"
        done = in_another_process("Journal(__import__('pathlib').Path(sys.argv[1]))", path)
        assert "Another process is making shop.text.safetensors in" in done.stderr
    done = in_another_process("Journal(__import__('pathlib').Path(sys.argv[1]))", path)
    assert done.returncode == 0


def test_the_lock_is_not_inherited_by_a_forked_child(tmp_path):
    """A child that decodes pictures may outlive a killed parent by seconds."""
    code = (
        "import os, pathlib, time\n"
        "journal = Journal(pathlib.Path(sys.argv[1]))\n"
        "if os.fork() == 0: time.sleep(30)\n"
        "else: os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", OPEN + "\n" + code, str(tmp_path / "j")]
    subprocess.run(command, timeout=60, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with Journal(tmp_path / "j"):
        pass


def test_a_journal_removed_between_opening_and_locking_is_made_anew(tmp_path, monkeypatch):
    path = tmp_path / "j"
    real = os.fstat
    stats = []

    def removed_first(file):
        if not stats:
            path.unlink()
        stats.append(real(file))
        return stats[-1]

    monkeypatch.setattr("recbole_mmdistill.features.extraction.journal.os.fstat", removed_first)
    with Journal(path) as journal:
        assert len(stats) == 2
        journal.append([A], [ONE])
    assert path.exists()


def test_a_full_disk_keeps_what_was_whole(tmp_path):
    code = """
import resource, pathlib, numpy as np
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
with Journal(pathlib.Path(sys.argv[1])) as journal:
    for number in range(100):
        journal.append([bytes([number]) * 16], [np.full((1, 300), number, dtype=np.float16)])
"""
    done = in_another_process("\n" + code, tmp_path / "j")
    assert "cannot be written: File too large. Make room and say the same again" in done.stderr
    found = content(tmp_path / "j")
    assert len(found) == 4
    assert found[b"\x03" * 16] == [[3.0] * 300]


def test_a_folder_that_may_not_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        Journal(tmp_path / "file" / "j")
