"""Settings are data."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recbole.config import Config

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.integration.config import literal, parse_command_line
from tests.integration.builders import SMALL, write_dataset


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("True", True),
        ("false", False),
        ("None", None),
        ("~", None),
        ("SASRec", "SASRec"),
        ("[text, image]", ["text", "image"]),
        ("['text']", ["text"]),
        ("{'LS': 'test_only'}", {"LS": "test_only"}),
        ("{id: 1, text: 2}", {"id": 1, "text": 2}),
        ("a=b=c", "a=b=c"),
        ("max", "max"),  # the name of a function is a word like any other
        ("__import__('os').system('touch run')", "__import__('os').system('touch run')"),
    ],
)
def test_values_are_read_as_they_are_typed(typed, read):
    assert literal(typed) == read and type(literal(typed)) is type(read)
    assert not Path("run").exists()


@given(st.text(max_size=30))
def test_whatever_is_typed_is_read(text):
    literal(text)


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_the_value_is_all_that_follows_the_first_equals_sign(value):
    assert parse_command_line([f"--key={value}"])[0]["key"] == literal(value)


def test_both_ways_to_write_an_option():
    settings, rest = parse_command_line(["--a=1", "--b", "2", "odd", "--c=x=y", "--flag"])
    assert settings == {"a": 1, "b": 2, "c": "x=y"}
    assert rest == ["odd", "--flag"]


def test_one_option_with_two_values_is_refused():
    assert parse_command_line(["--a=1", "--a", "1"])[0] == {"a": 1}
    with pytest.raises(UserError, match="--a is given twice, as 1 and as 2"):
        parse_command_line(["--a=1", "--a=2"])


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
    settings = Config(model="SASRec", dataset="small", config_dict={**SMALL, "note": code})
    assert settings["note"] == code and not Path("run").exists()


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
