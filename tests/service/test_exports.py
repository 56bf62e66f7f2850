"""A new export is taken up, and no request is lost."""

import shutil
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("onnxscript", reason='needs "recbole-mmdistill[export]"')

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.service.exports import Exports
from tests.service.builders import put


def wait_for(condition):
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.fixture
def told():
    return []


@pytest.fixture
def served(exports, told):
    put(exports / "one")
    served = Exports(
        Path("served"), interval=0.02, tell=lambda is_loaded, text: told.append((is_loaded, text))
    )
    served.load()
    served.start()
    yield served
    served.stop()


def test_a_new_export_takes_the_place_of_the_old_one_which_goes_on(served, exports, told):
    old = served.current
    before = old.runtime.recommend([["i1"]], 5).scores.tolist()
    put(exports / "two")
    wait_for(lambda: served.current is not old)
    new = served.current
    assert new.fingerprint != old.fingerprint
    assert not Path("served.old").exists()
    assert old.runtime.recommend([["i1"]], 5).scores.tolist() == before
    assert old.catalogue.picture(1) and new.catalogue.picture(1) is None
    assert [is_loaded for is_loaded, _ in told] == [True, True]


def test_the_same_export_is_not_loaded_again(served, exports):
    old = served.current
    put(exports / "one")
    time.sleep(0.2)
    served.load()
    assert served.current is old


def test_a_damaged_export_is_told_once_and_the_old_one_stays(served, exports, told):
    old = served.current
    shutil.copytree(exports / "two", "damaged")
    table = Path("damaged/table.npy")
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    put("damaged")
    wait_for(lambda: len(told) == 2)
    time.sleep(0.2)
    assert served.current is old
    assert [is_loaded for is_loaded, _ in told] == [True, False]
    assert "table.npy is not the file that the export was made with" in told[1][1]
    put(exports / "two")
    wait_for(lambda: served.current is not old)


def test_a_folder_that_goes_away_is_no_loss(served, exports, told):
    old = served.current
    shutil.rmtree("served")
    wait_for(lambda: len(told) == 2)
    assert served.current is old and "is no export" in told[1][1]


def test_what_is_no_export_is_refused():
    Path("served").mkdir()
    with pytest.raises(UserError, match="is no export"):
        Exports(Path("served")).load()


def test_requests_while_exports_come_and_go(served, exports):
    """Each answer is that of one of the two exports, whole."""
    right = set()
    for name in ("one", "two"):
        made = Exports(exports / name)
        made.load()
        right.add(str(made.current.runtime.recommend([["i1", "i5"]], 5).scores.tolist()))
    answers, ended = [], threading.Event()

    def ask():
        while not ended.is_set():
            found = served.current.runtime.recommend([["i1", "i5"]], 5)
            answers.append(str(found.scores.tolist()))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for name in ("two", "one", "two"):
        before = served.current
        put(exports / name)
        wait_for(lambda before=before: served.current is not before)
    ended.set()
    for thread in threads:
        thread.join()
    assert set(answers) == right


def test_files_that_are_written_over_do_not_end_the_service(served):
    """As ``cp -r new/. served/`` does: a mapped file that is cut short would end the process."""
    before = served.current.runtime.recommend([["i1"]], 5).scores.tolist()
    for path in Path("served").iterdir():
        path.write_bytes(b"")
    assert served.current.runtime.recommend([["i1"]], 5).scores.tolist() == before
    assert served.current.catalogue.picture(1)
