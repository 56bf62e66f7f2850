"""What every test runs under: a folder of its own, no command line, one thread, no GPU."""

import gc
import logging
import os
import threading

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch counts devices

import pytest
import torch
from hypothesis import HealthCheck, settings
from tqdm import tqdm

import recbole_mmdistill  # noqa: F401  (fixes RecBole before a test imports from it)

# Time tells nothing of a test on a machine that does other work, too.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# A bar's lock is shared with forked processes: one that a test kills may hold it for ever.
tqdm.monitor_interval = 0
os.register_at_fork(after_in_child=lambda: tqdm.set_lock(threading.RLock()))


def pytest_collection_finish():
    """What is imported by now stays: libraries collect garbage at every call."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """RecBole reads ``sys.argv``, writes into the working directory, and sets the log's level."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["pytest"])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # RecBole's run_recbole watches the CPU for a second to log its load.
    monkeypatch.setattr("psutil.cpu_percent", lambda interval=None: 0.0)
    level, threads = logging.getLogger().level, torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    logging.getLogger().setLevel(level)
