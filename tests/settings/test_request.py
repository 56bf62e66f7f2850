"""What a command line asks for."""

from pathlib import Path

import pytest
import yaml

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.settings import model_names, read_request, read_words
from tests.integration.builders import SMALL, write_dataset


@pytest.fixture(autouse=True)
def small():
    write_dataset()
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))


def request(**given):
    return read_request({"dataset": "small", "config_files": "small.yaml", **given})


def test_every_model_is_found_by_its_name():
    names = model_names()
    assert {"IDMMDistill", "SASRec", "BERT4Rec", "GRU4Rec", "BPR"} <= set(names)
    assert names["IDMMDistill"] == "recbole_mmdistill"


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"model": "SASrec"}, "no model 'SASrec'; near it: SASRec"),
        ({"model": "IDMMDistil"}, "no model 'IDMMDistil'; near it: IDMMDistill"),
        ({"dataset": "smal"}, "near it: small"),
        ({"dataset": "ml-10k"}, "near it: ml-100k"),
        ({"dataset": None}, "No dataset"),
        ({"config_files": "smal.yaml"}, "near it: small.yaml"),
        ({"config_files": 5}, "config_files is 5"),
        ({"kd_wieght": 1}, "no option 'kd_wieght' for IDMMDistill; near it: kd_weight"),
        ({"nproc": 0}, "nproc is 0, not a whole number, from 1"),
        ({"nproc": "two"}, "nproc is 'two'"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_names_near_it(given, wrong):
    with pytest.raises(UserError) as refused:
        request(**given)
    assert wrong in str(refused.value)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["-epochs=5"], "'-epochs=5' is no option with a value; near it: --epochs"),
        (["epochs"], "'epochs' is no option with a value; near it: --epochs"),
        (["--epochs"], "--epochs has no value"),
        (["--epochs="], "epochs is '', not a whole number"),
        (["--data_path="], "data_path is ''"),
        (["--epochs=5", "--epochs=6"], "--epochs is given twice"),
    ],
)
def test_words_that_are_no_options_are_refused(words, wrong):
    with pytest.raises(UserError) as refused:
        read_words(["--dataset=small", *words])
    assert wrong in str(refused.value)


def test_a_folder_without_interactions_is_no_dataset():
    Path("dataset/empty").mkdir()
    with pytest.raises(UserError, match=r"no empty\.inter"):
        request(dataset="empty")


def test_options_of_the_command_may_stand_in_a_file():
    own = {"model": "SASRec", "dataset": "small", "nproc": 2, "metrics_file": "m.json"}
    Path("all.yaml").write_text(yaml.safe_dump({**SMALL, **own}))
    asked = read_words(["--config_files=all.yaml", "--nproc=3"])
    assert (asked.model, asked.dataset, asked.nproc) == ("SASRec", "small", 3)
    assert asked.metrics_file == "m.json" and asked.settings == {}
    Path("more.yaml").write_text("config_files: small.yaml\n")
    with pytest.raises(UserError, match=r"more\.yaml has config_files"):
        read_words(["--config_files=more.yaml", "--dataset=small"])


def test_a_dataset_s_name_is_read_as_it_stands():
    write_dataset("007")
    assert read_words(["--dataset=007"]).dataset == "007"


@pytest.mark.parametrize(
    ("files", "found", "said"),
    [
        (["text", "image"], None, ""),
        (
            ["image"],
            ["image"],
            "shop has no text features in dataset/shop: IDMMDistill trains on the item IDs and "
            "image alone. `recbole-mm extract` makes features; --modalities=[image] says",
        ),
        ([], [], "shop has no text or image features in dataset/shop: IDMMDistill trains on the"),
    ],
)
def test_modalities_without_a_feature_file_are_left_out_if_nobody_asked_for_them(
    files, found, said, caplog
):
    write_dataset("shop")
    Path("dataset/shop/shop.text.safetensors").unlink()
    for name in files:
        Path(f"dataset/shop/shop.{name}.safetensors").touch()
    assert read_words(["--dataset=shop"]).settings.get("modalities") == found
    assert said in caplog.text and bool(said) == bool(caplog.text)


@pytest.mark.parametrize(
    "given",
    ["--modalities=[image]", "--feature_path=dataset", "--use_id=False", "--model=SASRec"],
)
def test_modalities_that_were_asked_for_are_left_as_they_are(given, caplog):
    settings = read_words(["--dataset=small", given]).settings
    assert settings.get("modalities") == (["image"] if "modalities" in given else None)
    assert "features in" not in caplog.text
