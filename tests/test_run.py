"""What a command line asks for is checked."""

from pathlib import Path

import pytest
import yaml

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.run import model_names, read_request
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
    ("given", "wrong", "remedy"),
    [
        ({"model": "SASrec"}, "no model 'SASrec'", "near it: SASRec"),
        ({"model": "IDMMDistil"}, "no model 'IDMMDistil'", "near it: IDMMDistill"),
        ({"dataset": "smal"}, "no dataset 'smal'", "near it: small"),
        ({"dataset": "ml-10k"}, "no dataset 'ml-10k'", "near it: ml-100k"),
        ({"dataset": None}, "No dataset", "--dataset=ml-100k"),
        ({"config_files": "smal.yaml"}, "no config file smal.yaml", "near it: small.yaml"),
        ({"kd_wieght": 1}, "no option --kd_wieght", "near it: kd_weight"),
        ({"nproc": 0}, "--nproc is 0", "1 or more"),
        ({"nproc": "two"}, "--nproc is 'two'", "1 or more"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_names_near_it(given, wrong, remedy):
    with pytest.raises(UserError) as refused:
        request(**given)
    assert wrong in refused.value.what
    assert remedy in refused.value.remedy


@pytest.mark.parametrize("text", ["a: [1", "- 1", "!!python/object/apply:os.getcwd []", "\x00"])
def test_a_config_file_that_holds_no_options_is_refused(text):
    Path("bad.yaml").write_text(text)
    with pytest.raises(UserError, match=r"bad\.yaml"):
        request(config_files="bad.yaml")


def test_a_folder_without_interactions_is_no_dataset():
    Path("dataset/empty").mkdir()
    with pytest.raises(UserError, match=r"no empty\.inter"):
        request(dataset="empty")


def test_model_and_dataset_may_stand_in_a_file():
    Path("all.yaml").write_text(yaml.safe_dump({**SMALL, "model": "SASRec", "dataset": "small"}))
    asked = read_request({"config_files": "all.yaml"})
    assert (asked.model, asked.dataset) == ("SASRec", "small")


def test_a_file_of_options_of_one_s_own_lets_them_be_given_singly_too():
    Path("own.yaml").write_text("my_option: 1\n")
    assert request(config_files="small.yaml own.yaml", my_option=2).settings == {"my_option": 2}
