"""RecBole's own trainer and loader use checkpoints of tensors and plain data."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.quick_start import load_data_and_model, run_recbole
from recbole.trainer import Trainer
from recbole.utils import get_model, get_trainer

from recbole_mmdistill import checkpoint
from recbole_mmdistill.cli import main
from recbole_mmdistill.errors import UserError
from recbole_mmdistill.evaluation.trial import run_trial
from recbole_mmdistill.integration.loading import load
from recbole_mmdistill.integration.resuming import contents
from tests.integration.builders import N_ITEMS, N_USERS, SMALL, write_dataset
from tests.integration.hostile import CODE, MARK, OTHERS, PICKLES

FIELDS = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "class"]}


@pytest.fixture(autouse=True)
def small():
    write_dataset()


def trainer_of(model="SASRec", **settings):
    config = Config(model=model, dataset="small", config_dict={**SMALL, **settings})
    train_data, _, _ = data_preparation(config, create_dataset(config))
    trainer = get_trainer(config["MODEL_TYPE"], model)
    return trainer(config, get_model(model)(config, train_data.dataset))


def saved(model="SASRec", **settings):
    trainer = trainer_of(model, **settings)
    trainer._save_checkpoint(0, verbose=False)
    return trainer.saved_model_file


@pytest.mark.parametrize("branch_width", [{"text": 12}, "auto"])
def test_a_model_of_unequal_widths_comes_back(branch_width):
    trainer = trainer_of("IDMMDistill", branch_width=branch_width, hidden_size=4, imt_width=6)
    trainer._save_checkpoint(0, verbose=False)
    loaded = load_data_and_model(trainer.saved_model_file)[1].state_dict()
    state = trainer.model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    widths = {"id": 4, "text": 8 if branch_width == "auto" else 12}
    assert loaded["network.id_embedding.weight"].size(1) == widths["id"]
    assert len(loaded["network.source_embedding.text.placeholder"]) == widths["text"]


@pytest.mark.parametrize("make", [*PICKLES, *OTHERS], ids=lambda make: make.__name__)
def test_a_hostile_file_runs_nothing_and_is_refused(make):
    make("hostile.pth")
    with pytest.raises(UserError, match=r"hostile\.pth"):
        load_data_and_model("hostile.pth")
    assert not Path(MARK).exists()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """What a checkpoint holds, to be changed by a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("sound"))
        patch.setattr("sys.argv", ["pytest"])
        write_dataset()
        return contents(trainer_of(), 0)


TOKENS = ["[PAD]", *(f"i{n}" for n in range(N_ITEMS))]
NAN = torch.full((N_ITEMS + 1, 8), torch.nan)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["model"], "../pwned", "model is '../pwned'"),
        (["model"], "os", "there is no model 'os'"),
        (["model"], 5, "no sound model"),
        (["dataset"], "../small", "dataset is '../small'"),
        (["dataset"], "..", "dataset is '..'"),
        (["dataset"], "nowhere", "no dataset 'nowhere'"),
        (["options"], [], "no sound options"),
        (["options", "hidden_size"], 10**9, "hidden_size=1000000000, which its weights"),
        (["options", "n_layers"], 10**6, "n_layers=1000000, which its weights"),
        (["options", "teacher"], f"{CODE} or CrossNet", "teacher is"),
        (["options", "local_rank"], 1, "the option local_rank"),
        (["options", "hidden_size"], torch.zeros(2), "hidden_size is"),
        (["options", "hidden_size"], "abc", "hidden_size is 'abc'"),
        (["options", "metrics"], ["XYZ"], "metrics is 'XYZ'"),
        (["options", "dataset_save_path"], "pickle.pth", "dataset_save_path"),
        (["epoch"], "1", "no sound epoch"),
        (["epoch"], True, "no sound epoch"),
        (["epoch"], -2, "no sound epoch"),
        (["vocabulary", "item_id"], np.array([*TOKENS, "i3"]), "twice"),
        (["vocabulary", "item_id"], np.array([*TOKENS, "a\0b"]), "NUL"),
        (["vocabulary", "item_id"], np.array(TOKENS[1:]), "no sound tokens of 'item_id'"),
        (["vocabulary", "item_id"], TOKENS, "no sound tokens of 'item_id'"),
        (["vocabulary"], {}, "knows no tokens of the field"),
        (["state_dict", "item_embedding.weight"], NAN, "values in item_embedding.weight"),
        (["state_dict", "item_embedding.weight"], "x", "no tensor for item_embedding.weight"),
        (["state_dict", "item_embedding.weight"], torch.zeros(2), "does not fit its model"),
        (["state_dict"], {}, "does not fit its model"),
    ],
)
def test_each_part_is_checked(sound, place, value, message):
    changed = copy.deepcopy(sound)
    *way, last = place
    part = changed
    for key in way:
        part = part[key]
    part[last] = value
    checkpoint.write("changed.pth", changed)
    with pytest.raises(UserError, match=message) as refused:
        load_data_and_model("changed.pth")
    assert "\n" not in str(refused.value)
    assert not Path(MARK).exists() and not list(Path().rglob("*pwned*"))


@pytest.mark.parametrize("model", ["IDMMDistill", "SASRec", "SASRecF", "LightGCN", "EASE"])
def test_a_saved_model_is_loaded_whole(model):
    settings = {**SMALL, "load_col": FIELDS, "selected_features": ["class"]}
    result = run_recbole(model, "small", config_dict=settings)
    (path,) = Path("saved").glob(f"{model}-*.pth")
    config, network, _, _, _, test_data = load_data_and_model(str(path))
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, network)
    again = trainer.evaluate(test_data, load_best_model=False)
    assert dict(again) == pytest.approx(dict(result["test_result"]))


def test_the_config_is_what_it_was():
    trainer = trainer_of(epochs=7, learner="sgd")
    trainer._save_checkpoint(0, verbose=False)
    config = load_data_and_model(trainer.saved_model_file)[0]
    assert config.final_config_dict == trainer.config.final_config_dict
    held = load(trainer.saved_model_file)
    assert held["settings"]["learner"] == "sgd" and "weight_decay" not in held["settings"]


def test_words_of_a_script_are_no_options_of_a_loaded_model(monkeypatch):
    path = saved()
    monkeypatch.setattr("sys.argv", ["serve.py", "--hidden_size=16", "--port=80"])
    assert load_data_and_model(path)[0]["hidden_size"] == 8


@pytest.mark.parametrize("model", ["SASRecF", "FDSA"])
def test_a_model_that_keeps_layers_beside_its_weights_is_tested_at_its_best_epoch(model):
    settings = {**SMALL, "load_col": FIELDS, "selected_features": ["class"], "epochs": 2}
    record = run_trial(model, "small", settings, grouped_by=["text"])
    assert len(record["epochs"]) == 2
    assert len(record["ranks"]["all"]) == N_USERS


def test_a_pretrained_model_is_finetuned():
    fields = {**FIELDS, "item": ["item_id", "class"]}
    settings = {**SMALL, "load_col": fields, "item_attribute": "class", "save_step": 1}
    pretrain = {**settings, "train_stage": "pretrain", "pretrain_epochs": 1}
    trainer = trainer_of("S3Rec", **pretrain)
    trainer.save_pretrained_model(0, "saved/S3Rec-small-1.pth")
    finetuned = trainer_of(
        "S3Rec", **settings, train_stage="finetune", pre_model_path="saved/S3Rec-small-1.pth"
    )
    before, after = (t.model.item_embedding.weight for t in (trainer, finetuned))
    assert torch.equal(before, after)


def test_weights_of_other_items_are_not_taken():
    path = saved()
    inter = Path("dataset/small/small.inter")
    header, *rows = inter.read_text().splitlines()
    inter.write_text("\n".join([header, *rows[::-1]]) + "\n")
    with pytest.raises(UserError, match="numbers the tokens of 'user_id' otherwise"):
        trainer_of().resume_checkpoint(path)


def test_weights_alone_are_no_whole_checkpoint():
    torch.save({"state_dict": {"weight": torch.ones(2)}}, "weights.pth")
    assert set(load("weights.pth", whole=False)) == {"state_dict"}
    with pytest.raises(UserError, match="no sound model"):
        load_data_and_model("weights.pth")


def test_other_peoples_torch_load_is_left_alone():
    class Theirs:
        pass

    torch.save({"a": np.arange(3)}, "theirs.pt")
    assert torch.load("theirs.pt", weights_only=False)["a"].tolist() == [0, 1, 2]


def test_a_missing_checkpoint():
    with pytest.raises(UserError, match=r"There is no checkpoint nowhere\.pth"):
        load_data_and_model("nowhere.pth")


def test_two_runs_of_one_second_have_two_checkpoints(monkeypatch):
    from recbole.trainer import trainer as module

    monkeypatch.setattr(module, "get_local_time", lambda: "Jan-01-2030_00-00-00")
    names = {trainer_of().saved_model_file for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("saved/SASRec-Jan-01-2030_00-00-00-") for name in names)


def test_a_model_of_a_users_own_is_tested_at_its_best_epoch():
    from recbole.model.sequential_recommender import GRU4Rec

    class Mine(GRU4Rec):
        pass

    options = {**SMALL, "num_layers": 1, "dropout_prob": 0.1, "loss_type": "CE"}
    config = Config(model=Mine, dataset="small", config_dict=options)
    train_data, valid_data, test_data = data_preparation(config, create_dataset(config))
    trainer = Trainer(config, Mine(config, train_data.dataset))
    trainer.fit(train_data, valid_data, verbose=False)
    assert trainer.evaluate(test_data)["ndcg@5"] >= 0
    with pytest.raises(UserError, match="there is no model 'Mine'"):
        load_data_and_model(trainer.saved_model_file)


def test_an_old_checkpoint_that_is_trusted_can_be_converted(capsys):
    trainer = trainer_of()
    state = {
        "config": trainer.config,
        "epoch": 3,
        "cur_step": 0,
        "best_valid_score": 0.5,
        "state_dict": trainer.model.state_dict(),
        "other_parameter": trainer.model.other_parameter(),
        "optimizer": trainer.optimizer.state_dict(),
    }
    torch.save(state, "old.pth", pickle_protocol=4)  # as RecBole does
    with pytest.raises(UserError, match="recbole-mm unpickle"):
        load_data_and_model("old.pth")
    assert main(["unpickle", "old.pth", "new.pth"]) == 0
    model = load_data_and_model("new.pth")[1]
    assert torch.equal(model.item_embedding.weight, trainer.model.item_embedding.weight)
    assert main(["unpickle", "new.pth", "newer.pth"]) == 2
    assert "new.pth is no checkpoint that RecBole pickled" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(monkeypatch):
    trainer = trainer_of()
    assert isinstance(trainer, Trainer)
    trainer.saved_model_file = "dataset/small/small.inter/x.pth"
    with pytest.raises(UserError, match="cannot be written"):
        trainer._save_checkpoint(0)


@pytest.mark.parametrize("option", ["dataset_save_path", "dataloaders_save_path"])
def test_pickled_datasets_are_refused(option):
    config = Config(model="SASRec", dataset="small", config_dict={**SMALL, option: "x.pth"})
    with pytest.raises(UserError, match=f"{option} is 'x.pth'"):
        create_dataset(config)


def test_no_dataset_is_saved_and_none_that_lies_there_is_read(caplog):
    settings = {**SMALL, "save_dataset": True, "save_dataloaders": True}
    config = Config(model="SASRec", dataset="small", config_dict=settings)
    Path("saved").mkdir()
    for name in ("small-SequentialDataset.pth", "small-for-SASRec-dataloader.pth"):
        PICKLES[3](f"saved/{name}")
    with caplog.at_level("INFO"):
        data_preparation(config, create_dataset(config))
    assert not Path(MARK).exists() and len(list(Path("saved").iterdir())) == 2
    assert "save_dataset: nothing is saved" in caplog.text
    assert "save_dataloaders: nothing is saved" in caplog.text
