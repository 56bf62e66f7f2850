"""Checkpoints load whole, and run nothing."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.quick_start import load_data_and_model, run_recbole

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.evaluation.trial import run_trial
from recbole_mmdistill.integration import checkpoints
from recbole_mmdistill.integration.checkpoints import CheckpointUnpickler, load_checkpoint
from tests.integration.builders import N_USERS, SMALL, write_dataset
from tests.integration.hostile import HOSTILE, MARK, write_checkpoint


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
@pytest.mark.parametrize("load", [load_checkpoint, load_data_and_model])
def test_a_hostile_checkpoint_runs_nothing_and_is_refused_in_a_sentence(make, load):
    write_checkpoint("hostile.pth", make())
    with pytest.raises(UserError, match=r"hostile\.pth") as refused:
        load("hostile.pth")
    assert "\n" not in str(refused.value)
    assert not Path(MARK).exists()


@pytest.mark.parametrize("make", HOSTILE[:3], ids=lambda make: make.__name__)
def test_the_hostile_checkpoints_are_hostile_indeed(make):
    """What is refused would have run: torch's own loader, told to trust the file, runs it."""
    write_checkpoint("hostile.pth", make())
    try:
        torch.load("hostile.pth", weights_only=False)
    except Exception as error:  # what a run of it leads to does not matter
        assert not isinstance(error, UserError) or "epochs is" in error.what
    expected = make.__name__ != "evaluates_through_config"  # that way is mended: nothing evaluates
    assert Path(MARK).exists() == expected


ARGUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(
    name=st.sampled_from(sorted(checkpoints._CALLABLE)),
    arguments=st.lists(ARGUMENTS, max_size=3),
)
@settings(max_examples=400, deadline=None)
def test_whatever_may_be_named_may_be_called_with_anything(name, arguments):
    """Nothing but plain data comes of it: no file, no module, no function to call next."""
    before = set(os.listdir())
    target = CheckpointUnpickler(open(os.devnull, "rb")).find_class(*name)
    try:
        made = target(*arguments)
    except Exception as error:  # refusing is fine, whichever way
        assert not isinstance(error, (SystemExit, OSError))
        return
    finally:
        assert set(os.listdir()) == before
    assert not callable(made)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("recbole.config.configurator", "eval"),
        ("recbole.model.abstract_recommender", "np.load"),
        ("recbole.utils.enum_type", "Enum.__init__"),
        ("torch", "load"),
        ("torch.serialization", "load"),
        ("torch.nn.modules.module", "Module.apply"),
        ("numpy", "load"),
        ("scipy.sparse", "load_npz"),
        ("pandas.io.pickle", "read_pickle"),
        ("yaml", "unsafe_load"),
        ("yaml.loader", "UnsafeLoader"),
        ("logging", "config"),
    ],
)
def test_names_that_do_things_are_refused(module, name):
    import pickle

    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        CheckpointUnpickler(open(os.devnull, "rb")).find_class(module, name)


@pytest.mark.parametrize("model", ["IDMMDistill", "SASRec", "SASRecF", "LightGCN", "EASE"])
def test_a_real_checkpoint_loads_whole(model):
    write_dataset()
    fields = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "class"]}
    run_recbole(
        model, "small", config_dict={**SMALL, "load_col": fields, "selected_features": ["class"]}
    )
    (path,) = Path("saved").glob(f"{model}-*.pth")
    safe, trusting = load_checkpoint(str(path)), torch.load(path, weights_only=False)
    for name, weights in trusting["state_dict"].items():
        assert torch.equal(safe["state_dict"][name], weights)
    assert safe["epoch"] == trusting["epoch"]
    theirs = trusting["config"].final_config_dict
    assert safe["config"].final_config_dict == theirs
    _, network, _, _, _, test_data = load_data_and_model(str(path))
    assert type(network).__name__ == model and len(test_data) > 0


@pytest.mark.parametrize("model", ["SASRecF", "FDSA"])
def test_a_model_that_keeps_our_dataset_is_tested_at_its_best_epoch(model):
    """Their embedding layer holds the dataset, and so does their checkpoint; none of it is read."""
    write_dataset()
    fields = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "class"]}
    settings = {**SMALL, "load_col": fields, "selected_features": ["class"], "epochs": 2}
    record = run_trial(model, "small", settings, grouped_by=["text"])
    assert len(record["epochs"]) == 2
    assert len(record["ranks"]["all"]) == N_USERS


def test_a_checkpoint_of_a_gpu_loads_where_there_is_none():
    write_dataset()
    run_recbole("SASRec", "small", config_dict=SMALL)
    (path,) = Path("saved").glob("SASRec-*.pth")
    checkpoint = load_checkpoint(str(path))
    checkpoint["config"].final_config_dict["device"] = torch.device("cuda:3")
    torch.save(checkpoint, path, pickle_protocol=4)
    assert load_checkpoint(str(path))["config"].final_config_dict["device"].type == "cpu"
    _, network, *_ = load_data_and_model(str(path))
    assert next(network.parameters()).device.type == "cpu"


def test_other_peoples_torch_load_is_left_alone():
    class Theirs:
        pass

    torch.save({"a": np.arange(3)}, "theirs.pt")
    assert torch.load("theirs.pt", weights_only=False)["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"hello"])
def test_a_damaged_checkpoint_is_told_from_a_hostile_one(content):
    Path("damaged.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"damaged\.pth"):
        load_checkpoint("damaged.pth")


def test_a_missing_checkpoint():
    with pytest.raises(UserError, match=r"There is no checkpoint nowhere\.pth"):
        load_data_and_model("nowhere.pth")


def test_a_failed_save_leaves_the_old_checkpoint(monkeypatch):
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.trainer import Trainer
    from recbole.utils import get_model

    write_dataset()
    config = Config(model="SASRec", dataset="small", config_dict=SMALL)
    train_data, _, _ = data_preparation(config, create_dataset(config))
    trainer = Trainer(config, get_model("SASRec")(config, train_data.dataset))
    trainer._save_checkpoint(0)
    before = Path(trainer.saved_model_file).read_bytes()

    def half(state, path, **kwargs):
        Path(path).write_bytes(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space"):
        trainer._save_checkpoint(1)
    assert Path(trainer.saved_model_file).read_bytes() == before
    assert len(list(Path("saved").iterdir())) == 1


def test_a_cache_that_somebody_else_made_is_refused():
    from recbole.config import Config
    from recbole.data import create_dataset

    write_dataset()
    config = Config(model="SASRec", dataset="small", config_dict={**SMALL, "save_dataset": True})
    create_dataset(config)
    (cache,) = Path("saved").glob("small-*Dataset.pth")
    good = cache.read_bytes()
    for bad in (HOSTILE[0](), good[:-1] + b"x", b""):
        cache.write_bytes(bad)
        with pytest.raises(UserError, match="was not written by you"):
            create_dataset(config)
        assert not Path(MARK).exists()
    cache.write_bytes(good)
    create_dataset(config)


def test_the_key_of_caches_is_its_owners_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    checkpoints._key.cache_clear()
    key = checkpoints._key()
    checkpoints._key.cache_clear()
    assert checkpoints._key() == key and len(key) == 32
    path = tmp_path / "elsewhere" / "recbole_mmdistill" / "cache.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    checkpoints._key.cache_clear()
