"""What every test runs under: a folder of its own, no command line, one thread, no GPU."""

import gc
import logging
import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch counts devices

import pytest
import torch

import recbole_mmdistill  # noqa: F401  (fixes RecBole before a test imports from it)


def pytest_collection_finish():
    """What is imported by now stays: statsmodels and others collect garbage at every call."""
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
