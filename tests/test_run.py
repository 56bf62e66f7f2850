"""From a request to its closing table."""

import json
from pathlib import Path

import pytest
import yaml

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.run import format_table, run
from recbole_mmdistill.settings import read_request
from tests.integration.builders import SMALL, write_dataset


@pytest.fixture(autouse=True)
def small():
    write_dataset()
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))


def request(**given):
    return read_request({"dataset": "small", "config_files": "small.yaml", **given})


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
