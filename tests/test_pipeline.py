"""From a request to its closing table."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from recbole.quick_start import load_data_and_model, run_recbole
from recbole.utils import get_trainer

from recbole_mmdistill import checkpoint
from recbole_mmdistill.errors import UserError
from recbole_mmdistill.integration.config import make_config
from recbole_mmdistill.launch import run_request
from recbole_mmdistill.pipeline import prepare, run
from recbole_mmdistill.settings import Request, read_request
from tests.integration.builders import SMALL, write_dataset


@pytest.fixture(autouse=True)
def small():
    write_dataset()
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))


def request(**given) -> Request:
    return read_request({"dataset": "small", "config_files": "small.yaml", **given})


@pytest.mark.parametrize("model", ["IDMMDistill", "SASRec", "BPR"])
def test_it_measures_what_recboles_own_entry_point_does(model, monkeypatch):
    settings = {**SMALL, "epochs": 2, "metric_decimal_place": 6}
    theirs = run_recbole(model, "small", config_dict=settings)
    monkeypatch.setattr("sys.argv", ["recbole-mm", "--epochs=7", "stray"])  # is not read again
    made = run(model, "small", settings)
    assert made.test == pytest.approx(dict(theirs["test_result"]), abs=0)
    assert made.best_valid == pytest.approx(dict(theirs["best_valid_result"]), abs=0)
    assert made.epochs == 2


def test_a_run_has_everything_a_caller_may_ask_for():
    made = run("IDMMDistill", "small", {"seed": 3}, ["small.yaml"])
    assert made.config["seed"] == 3
    assert made.dataset.user_num == 13
    assert len(made.train_data.dataset.inter_feat) == 6 * 12
    assert made.checkpoint.is_file() and made.log.is_file()
    best, name = checkpoint.read(made.checkpoint)["state_dict"], "network.id_embedding.weight"
    assert torch.equal(best[name], made.model.state_dict()[name])
    again = made.trainer.evaluate(made.test_data, load_best_model=False)
    assert dict(again) == pytest.approx(made.test)


def test_nothing_is_saved_if_nobody_wants_it():
    made = run("SASRec", "small", {**SMALL, "saved": False})
    assert made.checkpoint is None and not list(Path("saved").iterdir())
    assert set(made.test) == {"ndcg@5", "hit@5"}


def test_a_training_ends_with_the_epoch_that_its_time_is_over_in():
    write_dataset()
    config = make_config("IDMMDistill", "small", {**SMALL, "epochs": 50})
    prepared = prepare(config)
    best = prepared.fit(seconds=0)
    assert list(prepared.trainer.train_loss_dict) == [0]
    assert best["ndcg@5"] == prepared.trainer.best_valid_score
    assert prepared.measure()["ndcg@5"] > 0  # of the best epoch, which was saved


def test_the_summary_has_the_metrics_of_the_whole_and_of_each_branch():
    summary = run_request(request(metrics_file="out/metrics.json"), say=lambda line: None)
    assert set(summary["test"]) == {"ndcg@5", "hit@5"}
    assert list(summary["branches"]) == ["id", "text"]
    assert summary["branches"]["id"] != summary["branches"]["text"]
    assert summary["epochs"] == 1
    assert json.loads(Path("out/metrics.json").read_text()) == summary


def test_branches_are_measured_on_the_best_model_and_leave_it_whole():
    made = run("IDMMDistill", "small", {**SMALL, "epochs": 3, "metric_decimal_place": 6})
    config, model, _, _, _, test_data = load_data_and_model(str(made.checkpoint))
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    with model.scoring_with(["text"]):
        text = trainer.evaluate(test_data, load_best_model=False)
    assert dict(text) == pytest.approx(made.branches["text"])


def test_what_is_said(capsys):
    run_request(request(state="INFO", show_progress=True, epochs=2))
    out, err = capsys.readouterr()
    title, *rest = out.splitlines()
    assert title == "IDMMDistill on small; settings that differ from the defaults:"
    assert "  epochs=2" in out and "topk=[5]" in out and "kd_weight" not in out
    data = "The number of users: 13, The number of items: 16, The number of inters: 108"
    assert data in out and "text features of 15 items" in out
    assert re.match(r"Best model: saved/IDMMDistill-.*\.pth$", rest[-7])
    assert re.match(r"Log: log/IDMMDistill/IDMMDistill-small-.*\.log$", rest[-6])
    assert rest[-5].startswith("Test of IDMMDistill on small, 2 epochs")
    epoch = r"Epoch {}/2: loss \d+\.\d{{4}}, ndcg@5 \d\.\d{{4}}, best \d\.\d{{4}}, \d+\.\d s"
    first, second = err.splitlines()
    assert re.fullmatch(epoch.format(1), first) and re.fullmatch(epoch.format(2), second)
    assert max(map(len, out.splitlines())) <= 100


def test_that_a_model_is_untrained_is_said(capsys):
    said = []
    run("SASRec", "small", {**SMALL, "epochs": 0}, say=said.append)
    assert "epochs is 0: the model is untrained" in said[-1]


def test_the_whole_log_is_in_its_file(capsys):
    made = run("SASRec", "small", {**SMALL, "state": "INFO"})
    assert capsys.readouterr() == ("", "")
    log = made.log.read_text()
    for part in ("Hyper Parameters", "The number of items", "epoch 0 training", "test result"):
        assert part in log


def test_verbose_brings_the_log_to_the_console(capsys):
    run_request(request(model="SASRec", state="INFO"), verbose=True)
    assert "epoch 0 training" in capsys.readouterr().err


def test_each_run_has_a_log_of_its_own():
    first, second = (run("Pop", "small", {**SMALL, "seed": seed}) for seed in (1, 2))
    assert first.log != second.log
    assert "seed = 2" not in first.log.read_text()


@pytest.mark.parametrize(
    ("taken", "settings"),
    [
        ("log", {}),
        ("log_tensorboard", {}),
        ("kept", {"checkpoint_dir": "kept"}),
        ("kept", {"checkpoint_dir": "kept/deeper/still"}),
        ("metrics", {"metrics_file": "metrics/of/all.json"}),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_training(taken, settings):
    Path(taken).write_text("a file")
    with pytest.raises(UserError, match=rf"{taken} is no folder"):
        run_request(request(**settings))
    assert not Path("saved").exists() and Path(taken).read_text() == "a file"


def test_metrics_do_not_take_the_place_of_a_folder():
    with pytest.raises(UserError, match="metrics_file is dataset, which is a folder"):
        run_request(request(metrics_file="dataset"))


def test_nproc_does_not_go_with_torchrun(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises(UserError, match="nproc is 2, but the processes were started by torchrun"):
        run_request(request(nproc=2))


def test_wandb_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(UserError, match="wandb is not installed: `pip install wandb`"):
        run_request(request(log_wandb=True))


def test_a_checkpoint_that_is_not_there_is_said_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr("recbole_mmdistill.pipeline.prepare", None)
    with pytest.raises(UserError, match=r"There is no checkpoint none\.pth"):
        run("IDMMDistill", "small", SMALL, resume="none.pth")
