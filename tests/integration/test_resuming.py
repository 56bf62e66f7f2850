"""A run that was stopped goes on as if it had not been."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.quick_start import load_data_and_model
from recbole.utils import get_model, get_trainer, init_seed

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import FeatureInfo, write_features
from recbole_mmdistill.integration.loading import load
from recbole_mmdistill.integration.resuming import newest, resume
from tests.integration.builders import N_ITEMS, SMALL, write_dataset

SETTINGS = {
    **SMALL,
    "train_batch_size": 16,
    "stopping_step": 3,
    "metric_decimal_place": 8,
    "learning_rate": 0.01,
}


@pytest.fixture(autouse=True)
def small():
    write_dataset()


def run(model, epochs, path=None, validate=True, **settings):
    """Train as RecBole does; from a checkpoint on if one is given."""
    given = {**SETTINGS, "epochs": epochs, **settings}
    config = Config(model=model, dataset="small", config_dict=given)
    init_seed(config["seed"], True)
    train_data, valid_data, test_data = data_preparation(config, create_dataset(config))
    network = get_model(model)(config, train_data.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, network)
    if path is not None:
        resume(trainer, train_data, path)
    best = trainer.fit(train_data, valid_data if validate else None, verbose=False)
    test = trainer.evaluate(test_data)
    return trainer, best, test


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (
            "IDMMDistill",
            {"hidden_dropout_prob": 0.3, "train_candidates": "sampled", "n_negatives": 4},
        ),
        ("SASRec", {"hidden_dropout_prob": 0.3}),
        ("SASRec", {"loss_type": "BPR", "train_neg_sample_args": {"distribution": "uniform"}}),
    ],
)
def test_a_stopped_run_goes_on_to_the_bit(model, settings, validate):
    whole, best, test = run(model, 6, validate=validate, **settings)
    stopped, *_ = run(model, 3, validate=validate, **settings)
    random.random()
    torch.rand(3)
    path = stopped.saved_model_file
    first = load(path)["epoch"] + 1
    again, best_again, test_again = run(model, 6, path, validate, **settings)
    assert 0 < first <= 3
    assert again.train_loss_dict == whole.train_loss_dict and len(whole.train_loss_dict) > first
    assert (best_again, test_again) == (best, test)
    mine, theirs = again.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert again.saved_model_file == path


def test_a_finished_run_is_only_tested_again():
    trainer, best, test = run("SASRec", 2, validate=False)
    path = trainer.saved_model_file
    _, best_again, test_again = run("SASRec", 2, path, validate=False)
    assert (best_again, test_again) == (best, test)
    assert load(path)["epoch"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.1}, "learning_rate is 0.1 and was 0.01"),
        ({"train_batch_size": 8}, "train_batch_size is 8 and was 16"),
    ],
)
def test_another_run_is_refused(settings, message):
    trainer, *_ = run("SASRec", 1)
    with pytest.raises(UserError, match=message):
        run("SASRec", 2, trainer.saved_model_file, **settings)
    with pytest.raises(UserError, match="model is GRU4Rec and was SASRec"):
        run("GRU4Rec", 2, trainer.saved_model_file)


def test_changed_data_is_refused():
    trainer, *_ = run("SASRec", 1)
    with open("dataset/small/small.inter", "a") as file:
        file.write("u1\ti3\t5\t1600000000\n")
    with pytest.raises(UserError, match="files of the dataset have changed"):
        run("SASRec", 2, trainer.saved_model_file)


def test_changed_features_are_refused():
    trainer, *_ = run("IDMMDistill", 1)
    values = torch.ones(N_ITEMS, 1, 4)
    features = Path("dataset/small/small.text.safetensors")
    write_features(features, values, [f"i{n}" for n in range(N_ITEMS)], FeatureInfo("text"))
    with pytest.raises(UserError, match="text features are not those"):
        run("IDMMDistill", 2, trainer.saved_model_file)


def test_the_newest_checkpoint_of_the_same_options_is_found():
    def config(**settings):
        given = {**SETTINGS, "epochs": 5, **settings}
        return Config(model="SASRec", dataset="small", config_dict=given)

    assert newest(config()) is None
    first, *_ = run("SASRec", 1)
    second, *_ = run("SASRec", 2)
    other, *_ = run("SASRec", 1, learning_rate=0.5)
    for number, trainer in enumerate((first, second, other)):
        os.utime(trainer.saved_model_file, (number, number))
    Path("saved/SASRec-broken.pth").write_bytes(b"no checkpoint")
    assert newest(config()) == Path(second.saved_model_file)
    assert newest(config(learning_rate=0.5)) == Path(other.saved_model_file)
    assert newest(config(n_layers=1)) is None
    with open("dataset/small/small.inter", "a") as file:
        file.write("u1\ti3\t5\t1600000000\n")
    assert newest(config()) is None


def test_a_run_that_is_killed_leaves_a_checkpoint_from_which_it_goes_on():
    for after in (0.1, 0.2, 0.3):
        child = os.fork()
        if child == 0:
            try:
                run("SASRec", 10**6, validate=False)
            finally:
                os._exit(1)
        deadline = time.monotonic() + 60
        while not list(Path("saved").glob("SASRec-*.pth")) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        (path,) = Path("saved").glob("SASRec-*.pth")
        load_data_and_model(path)
        done = load(path)["epoch"] + 1
        trainer, *_ = run("SASRec", done + 1, path, validate=False)
        assert sorted(trainer.train_loss_dict) == list(range(done + 1))
        path.unlink()
