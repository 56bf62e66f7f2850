"""Two processes without a GPU."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.quick_start import load_data_and_model
from recbole.trainer import Trainer
from recbole.utils import get_model, get_trainer
from torch.utils.data.distributed import DistributedSampler

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.integration.distributed import settings_of_group
from tests.integration.builders import SMALL, write_dataset

SCRIPT = """
import json, sys
import recbole_mmdistill
from recbole.quick_start import run
if __name__ == "__main__":
    model, settings = sys.argv[1], json.loads(sys.argv[2])
    sys.argv = sys.argv[:1]
    result = run(model, "small", config_dict=settings, nproc=2)
    print(json.dumps({key: float(value) for key, value in result["test_result"].items()}))
"""


def train_in_two_processes(model, **settings):
    Path("two.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "two.py", model, json.dumps({**SMALL, **settings})],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def leave_out(user):
    path = Path("dataset/small/small.inter")
    lines = [line for line in path.read_text().splitlines() if not line.startswith(f"{user}\t")]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["IDMMDistill", "SASRec"])
def test_two_processes_measure_what_one_does(model):
    write_dataset()
    leave_out("u0")  # of 11 users one process ranks 6, in two batches, the other 5
    together = train_in_two_processes(
        model,
        epochs=2,
        train_batch_size=16,
        eval_batch_size=8,
        metrics=["NDCG", "Hit", "ItemCoverage"],
        metric_decimal_place=6,
    )
    (checkpoint,) = Path("saved").glob(f"{model}-*.pth")
    config, network, _, _, _, test_data = load_data_and_model(str(checkpoint))
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, network)
    trainer.eval_collector.data_collect(test_data)
    alone = trainer.evaluate(test_data, load_best_model=False)
    assert together == pytest.approx({key: float(value) for key, value in alone.items()})


@pytest.mark.parametrize("user", ["utils.logger", "trainer.trainer", "data.utils"])
def test_a_folder_that_another_process_has_just_made_is_fine(user, monkeypatch):
    Path("log").mkdir()
    monkeypatch.setattr("os.path.exists", lambda path: False)  # it was not there a moment ago
    vars(importlib.import_module(f"recbole.{user}"))["ensure_dir"]("log")


def test_fewer_rows_than_processes_are_refused():
    write_dataset()
    config = Config(model="SASRec", dataset="small", config_dict=SMALL)
    train_data, _, _ = data_preparation(config, create_dataset(config))
    trainer = Trainer(config, get_model("SASRec")(config, train_data.dataset))
    rows = DistributedSampler([0, 1], num_replicas=3, rank=2)
    with pytest.raises(UserError, match="3 processes cannot share 2 rows"):
        trainer.evaluate(SimpleNamespace(sampler=rows), load_best_model=False)


def test_two_groups_on_a_machine_have_two_ports():
    first, second = settings_of_group(2), settings_of_group(2)
    assert first["port"] != second["port"]
    assert first["world_size"] == first["nproc"] == 2
