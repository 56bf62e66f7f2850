"""From a request to its closing table."""

import json
from pathlib import Path

import pytest
import yaml

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.run import format_table, model_names, read_request, run
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


def test_the_summary_has_the_metrics_of_the_whole_and_of_each_branch(capsys):
    summary = run(request(metrics_file="out/metrics.json"))
    assert set(summary["test"]) == {"ndcg@5", "hit@5"}
    assert list(summary["branches"]) == ["id", "text"]
    assert summary["branches"]["id"] != summary["branches"]["text"]
    assert summary["epochs"] == 1
    assert json.loads(Path("out/metrics.json").read_text()) == summary
    assert format_table(summary) in capsys.readouterr().out


@pytest.mark.parametrize("model", ["SASRec", "BERT4Rec", "GRU4Rec"])
def test_a_built_in_model_needs_no_further_option(model):
    summary = run(request(model=model))
    assert set(summary["test"]) == {"ndcg@5", "hit@5"} and summary["branches"] == {}


def test_branches_are_measured_on_the_best_model_and_leave_it_whole():
    from recbole.quick_start import load_data_and_model
    from recbole.utils import get_trainer

    summary = run(request(epochs=3, metric_decimal_place=6))
    (checkpoint,) = Path("saved").glob("*.pth")
    config, model, _, _, _, test_data = load_data_and_model(str(checkpoint))
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    with model.scoring_with(["text"]):
        text = trainer.evaluate(test_data, load_best_model=False)
    assert dict(text) == pytest.approx(summary["branches"]["text"])


def test_metrics_that_cannot_be_written_are_a_sentence(capsys):
    Path("taken").write_text("a file")
    with pytest.raises(UserError, match=r"taken/metrics\.json cannot be written"):
        run(request(metrics_file="taken/metrics.json"))
    assert "Test of IDMMDistill" in capsys.readouterr().out  # not lost


def test_the_table():
    summary = {
        "model": "IDMMDistill",
        "dataset": "shop",
        "epochs": 12,
        "seconds": 34.5,
        "test": {"ndcg@10": 0.123456, "hit@10": 0.5},
        "branches": {"id": {"ndcg@10": 0.1, "hit@10": 0.4}},
    }
    assert format_table(summary).splitlines() == [
        "Test of IDMMDistill on shop, 12 epochs, 34 s",
        "               ndcg@10        hit@10",
        "all             0.1235        0.5000",
        "id alone        0.1000        0.4000",
    ]
