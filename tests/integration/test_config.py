"""RecBole's Config: what it reads, checks and presets."""

from pathlib import Path

import pytest
from recbole.config import Config

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.settings import Checked
from tests.integration.builders import SMALL, write_dataset


def test_recboles_own_command_line_is_read_so(monkeypatch):
    write_dataset()
    monkeypatch.setattr(
        "sys.argv", ["x", "--benchmark_filename=None", "--note=a=b", "--epochs", "7"]
    )
    settings = Config(model="SASRec", dataset="small", config_dict=SMALL)
    assert settings["note"] == "a=b" and settings["epochs"] == 7


def test_a_dict_is_not_evaluated_either():
    write_dataset()
    code = "open('run', 'w').close()"
    settings = Config(model="SASRec", dataset="small", config_dict={**SMALL, "wandb_project": code})
    assert settings["wandb_project"] == code and not Path("run").exists()


def test_later_sources_have_the_last_word(monkeypatch):
    write_dataset()
    Path("mine.yaml").write_text("n_layers: 3\nkd_weight: 0.5\nimt_heads: 4\n")
    monkeypatch.setattr("sys.argv", ["x", "--imt_heads=1"])
    settings = Config(
        model="IDMMDistill",
        dataset="small",
        config_file_list=["mine.yaml"],
        config_dict={**SMALL, "kd_weight": 0.7},
    )
    assert settings["kd_temperature"] > 0  # of the model's property file
    assert (settings["n_layers"], settings["kd_weight"], settings["imt_heads"]) == (3, 0.7, 1)


def test_the_dataset_says_which_modalities_it_has():
    settings = Config(model="IDMMDistill", dataset="ml-100k")
    assert settings["modalities"] == ["text"]
    assert (
        Config(model="IDMMDistill", dataset="ml-100k", config_dict={"modalities": []})["modalities"]
        == []
    )


def test_models_with_cross_entropy_draw_no_negatives_unless_told():
    write_dataset()
    for model in ("SASRec", "BERT4Rec", "IDMMDistill"):
        plain = Config(model=model, dataset="small", config_dict=SMALL)
        assert plain["train_neg_sample_args"]["distribution"] == "none"
    told = {
        "loss_type": "BPR",
        "train_neg_sample_args": {"distribution": "uniform", "sample_num": 2},
    }
    settings = Config(model="SASRec", dataset="small", config_dict={**SMALL, **told})
    assert settings["train_neg_sample_args"]["sample_num"] == 2


def test_the_time_field_is_loaded_for_sequential_models():
    write_dataset()
    settings = Config(model="SASRec", dataset="small", config_dict=SMALL)
    assert settings["load_col"] == {"inter": ["user_id", "item_id", "timestamp"]}
    general = Config(model="BPR", dataset="small", config_dict=SMALL)
    assert general["load_col"] == {"inter": ["user_id", "item_id"]}


def test_what_is_wrong_is_told_with_its_source(monkeypatch):
    write_dataset()
    Path("plan.yaml").write_text("epochs: ten\n")
    monkeypatch.setattr("sys.argv", ["x", "--seed=abc"])
    with pytest.raises(UserError) as refused:
        Config("SASRec", "small", ["plan.yaml"], {**SMALL, "hidden_size": "wide"})
    message = str(refused.value)
    assert "plan.yaml: epochs is 'ten'" in message
    assert "config_dict: hidden_size is 'wide'" in message
    assert "the script's command line: seed is 'abc'" in message


@pytest.mark.parametrize("names", [("../pwned", "small"), ("SASRec", "../small"), ("SASRec", None)])
def test_a_name_that_is_none_is_refused(names):
    with pytest.raises(UserError):
        Config(*names)
    assert not Path("log").exists()


def test_tags_of_a_yaml_file_are_not_read():
    Path("plan.yaml").write_text("seed: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(UserError, match=r"plan\.yaml .*line 1: the tag .* is not read"):
        Config("SASRec", "small", ["plan.yaml"])


def test_a_class_of_one_s_own_has_options_of_its_own():
    from recbole.model.sequential_recommender import SASRec

    class Mine(SASRec):
        pass

    write_dataset()
    own = {**SMALL, "my_option": 1, "loss_type": "CE"}
    assert Config(Mine, "small", config_dict=own)["my_option"] == 1
    with pytest.raises(UserError, match="epochs is 'ten'"):
        Config(Mine, "small", config_dict={**own, "epochs": "ten"})


def test_settings_that_were_checked_are_taken_as_they_are(monkeypatch):
    write_dataset()
    monkeypatch.setattr("sys.argv", ["x", "--epochs=7", "--seed=abc"])
    checked = Checked({**SMALL, "wandb_project": "'quoted'"})
    settings = Config("SASRec", "small", config_dict=checked)
    assert (settings["wandb_project"], settings["epochs"]) == ("'quoted'", 1)
