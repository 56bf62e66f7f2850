"""The journal: a batch is in it as a whole or not at all, and it is never taken for another."""

import os
import resource
import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features.extraction.encoder import Failure
from recbole_mmdistill.features.extraction.journal import Journal
from tests.features.extraction.builders import forked

A, B, C = (letter * 16 for letter in (b"a", b"b", b"c"))
ONE = np.array([[1.5, 2.5]], dtype=np.float16)
TWO = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float16)
PATH = Path(".shop.text.safetensors.partial")


def content():
    """What a journal holds, with the vectors."""
    with Journal(PATH) as journal:
        return {
            key: outcome if isinstance(outcome, Failure) else journal.read(key).tolist()
            for key, outcome in journal.outcomes()
        }


def test_what_was_appended_comes_back():
    with Journal(PATH) as journal:
        assert journal.append([A, B], [ONE, Failure("is no pïcture")]) == [
            1,
            Failure("is no pïcture"),
        ]
        journal.append([C], [TWO])
        assert dict(journal.outcomes()) == {A: 1, B: Failure("is no pïcture"), C: 3}
    assert content() == {A: ONE.tolist(), B: Failure("is no pïcture"), C: TWO.tolist()}
    assert os.listdir() == [PATH.name]


def test_a_journal_of_nothing_leaves_no_file():
    with Journal(Path("folder") / PATH):
        assert (Path("folder") / PATH).exists()
    assert os.listdir("folder") == []


def test_a_removed_journal_leaves_no_file():
    with Journal(PATH) as journal:
        journal.append([A], [ONE])
        journal.remove()
    assert os.listdir() == []


def test_killed_it_keeps_the_whole_batches():
    def work():
        with Journal(PATH) as journal:
            journal.append([A], [ONE])
            journal._database.execute("BEGIN")
            journal._database.execute("INSERT INTO encoded VALUES (?, 1, 0, 'x')", [B])
            os.kill(os.getpid(), signal.SIGKILL)

    assert forked(work) == -signal.SIGKILL
    assert content() == {A: ONE.tolist()}


def test_a_file_of_another_kind_is_left_alone():
    for kind in (b"my thesis", b"SQLite format 3\0" + bytes(200)):
        PATH.write_bytes(kind)
        with pytest.raises(UserError, match="no journal of an interrupted extraction"):
            Journal(PATH)
        assert PATH.read_bytes() == kind


def test_a_database_of_another_kind_is_left_alone():
    with sqlite3.connect(PATH) as database:
        database.execute("CREATE TABLE thesis (page)")
    database.close()
    before = PATH.read_bytes()
    with pytest.raises(UserError, match="no journal of an interrupted extraction"):
        Journal(PATH)
    assert PATH.read_bytes() == before


def test_a_changed_byte_is_noticed():
    with Journal(PATH) as journal:
        journal.append([A], [TWO])
    data = PATH.read_bytes()
    PATH.write_bytes(data.replace(TWO.tobytes(), TWO[::-1].tobytes()))
    with pytest.raises(UserError, match=r"is damaged\. Remove it, and say the same again"):
        content()


def test_a_second_process_is_refused_as_long_as_the_first_has_it():
    with Journal(PATH):
        assert forked(lambda: Journal(Path("other"))) == 0
        assert forked(lambda: Journal(PATH)) == 2
        told = Path("said").read_text()
        assert told.startswith("Another process is making shop.text.safetensors in . right now.")
    assert forked(lambda: Journal(PATH)) == 0


def test_the_lock_is_not_inherited_by_a_forked_child():
    """A child that decodes pictures may outlive a killed parent by seconds."""
    read_end, write_end = os.pipe()

    def work():
        journal = Journal(PATH)
        journal.append([A], [ONE])
        if os.fork() == 0:
            os.close(write_end)
            os.read(read_end, 1)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    assert forked(work) == -signal.SIGKILL
    assert content() == {A: ONE.tolist()}
    os.close(write_end)  # the child reads its end


def test_a_full_disk_keeps_what_was_whole():
    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        with Journal(PATH) as journal:
            for number in range(100):
                vectors = np.full((1, 1000), number, dtype=np.float16)
                journal.append([bytes([number]) * 16], [vectors])

    assert forked(work) == 2
    assert "cannot be written" in Path("said").read_text()
    assert "Make room" in Path("said").read_text()
    found = content()
    assert 0 < len(found) < 100
    assert found == {bytes([n]) * 16: [[float(n)] * 1000] for n in range(len(found))}


def test_a_folder_that_may_not_be_written_to():
    Path("file").write_text("")
    with pytest.raises(UserError, match=r"file/j cannot be written: .*File exists"):
        Journal(Path("file") / "j")
