"""Two processes without a GPU, started in each way, measure what one does."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.quick_start import load_data_and_model
from recbole.trainer import Trainer
from recbole.utils import get_model, get_trainer
from torch.utils.data.distributed import DistributedSampler

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.integration.distributed import group_to_start
from tests.integration.builders import SMALL, write_dataset

SETTINGS = {
    **SMALL,
    "epochs": 2,
    "train_batch_size": 16,
    "eval_batch_size": 8,
    "metrics": ["NDCG", "Hit", "ItemCoverage"],
    "metric_decimal_place": 6,
}
RECBOLES_RUN = """
import json, sys
import recbole_mmdistill
from recbole.quick_start import run
if __name__ == "__main__":
    model, settings = sys.argv.pop(1), json.loads(sys.argv.pop(1))
    result = run(model, "small", config_dict=settings, nproc=2)
    print(json.dumps({key: float(value) for key, value in result["test_result"].items()}))
"""
TORCHRUN = ("-m", "torch.distributed.run", "--nproc_per_node=2")
COMMAND = ("-m", "recbole_mmdistill.cli", "run", "--dataset=small", "--config_files=small.yaml")


@pytest.fixture(autouse=True)
def small():
    write_dataset()
    leave_out("u0")  # of 11 users one process ranks 6, in two batches, the other 5
    Path("small.yaml").write_text(yaml.safe_dump(SETTINGS))


def run_python(*words):
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def leave_out(user):
    path = Path("dataset/small/small.inter")
    lines = [line for line in path.read_text().splitlines() if not line.startswith(f"{user}\t")]
    path.write_text("\n".join(lines) + "\n")


def measured_alone():
    """Test metrics of the one checkpoint that is saved, in this process."""
    (checkpoint,) = Path("saved").glob("*.pth")
    config, network, _, _, _, test_data = load_data_and_model(str(checkpoint))
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, network)
    trainer.eval_collector.data_collect(test_data)
    alone = trainer.evaluate(test_data, load_best_model=False)
    return pytest.approx({key: float(value) for key, value in alone.items()})


@pytest.mark.slow
def test_recboles_own_entry_point():
    Path("two.py").write_text(RECBOLES_RUN)
    printed = run_python("two.py", "SASRec", json.dumps(SETTINGS))
    assert json.loads(printed.splitlines()[-1]) == measured_alone()


@pytest.mark.slow
def test_torchs_launcher():
    printed = run_python(*TORCHRUN, *COMMAND, "--metrics_file=metrics.json")
    assert printed.count("Test of IDMMDistill on small, 2 epochs") == 1
    assert json.loads(Path("metrics.json").read_text())["test"] == measured_alone()


@pytest.mark.parametrize("user", ["utils.logger", "trainer.trainer", "data.utils"])
def test_a_folder_that_another_process_has_just_made_is_fine(user, monkeypatch):
    Path("log").mkdir()
    monkeypatch.setattr("os.path.exists", lambda path: False)  # it was not there a moment ago
    vars(importlib.import_module(f"recbole.{user}"))["ensure_dir"]("log")


def test_fewer_rows_than_processes_are_refused():
    config = Config(model="SASRec", dataset="small", config_dict=SMALL)
    train_data, _, _ = data_preparation(config, create_dataset(config))
    trainer = Trainer(config, get_model("SASRec")(config, train_data.dataset))
    rows = DistributedSampler([0, 1], num_replicas=3, rank=2)
    with pytest.raises(UserError, match="3 processes cannot share 2 rows"):
        trainer.evaluate(SimpleNamespace(sampler=rows), load_best_model=False)


def test_two_groups_on_a_machine_have_two_ports():
    first, second = group_to_start(2), group_to_start(2)
    assert first["port"] != second["port"]
    assert first["world_size"] == first["nproc"] == 2


@pytest.mark.parametrize(
    ("given", "n_gpus", "message"),
    [
        ({}, 1, "2 processes need a GPU each, but of gpu_id '0,1' this machine has 1"),
        ({"gpu_id": "3"}, 1, "2 processes need a GPU each, but of gpu_id '3' this machine has 1"),
        ({"gpu_id": (0, 5)}, 1, "but of gpu_id '0,5' this machine has 1"),
    ],
)
def test_fewer_gpus_than_processes_are_refused(given, n_gpus, message, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    group = {**group_to_start(2), "local_rank": 1}
    with pytest.raises(UserError, match=message):
        Config(model="SASRec", dataset="small", config_dict={**SMALL, **group, **given})
