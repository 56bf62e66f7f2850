"""From a YAML to a report: what is run, what is kept, and what is said when it goes wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from recbole_mmdistill.cli import main
from recbole_mmdistill.evaluation.plan import read_plan
from recbole_mmdistill.evaluation.pool import Cache, choose_options
from recbole_mmdistill.evaluation.ranking import ndcg
from recbole_mmdistill.evaluation.rows import Rows
from recbole_mmdistill.evaluation.trial import run_trial

PLAN = """\
title: Films
seeds: [1, 2]
common: {epochs: 1}
datasets:
  films: {dataset: ml-100k, modalities: [text]}
models:
  SASRec: {kind: baseline, model: SASRec, options: [{hidden_size: 8}, {hidden_size: 16}]}
  IDMMDistill: {kind: model}
conditions:
  half: {missing_features: {text: 0.5}}
  cold: {cold_item_ratio: 0.5}
studies:
  Side by side: {models: [SASRec, IDMMDistill], seeds: [1, 2]}
  Held back: {models: [IDMMDistill], conditions: [full, half, cold], seeds: [1]}
"""
ROWS = Rows(
    users=[f"u{n}" for n in range(40)],
    items=[f"i{n}" for n in range(40)],
    popularity=["cold"] * 10 + ["tail"] * 10 + ["middle"] * 10 + ["head"] * 10,
    history=list(range(40)),
    has={"text": [True, False] * 20},
    n_items=100,
)


@pytest.fixture
def finished():
    """Every trial of the plan, as if run: SASRec ranks all targets fifth, ours ranks them first."""
    Path("plan.yaml").write_text(PLAN)
    plan, cache = read_plan("plan.yaml"), Cache("out/trials")
    rows = ROWS.write(cache.folder / "rows")
    for trial in [*plan.tuning(), *plan.measuring({}), *plan.measuring({("films", "SASRec"): 1})]:
        ours = trial.model == "IDMMDistill"
        best = 0.5 if ours else 0.1 + 0.1 * trial.options
        branches = {"loss/id": 1.0, "kl/id-text": 0.1, "ndcg@10/id": 0.3}
        record = {
            "epochs": [
                {"train_cpu_seconds": 2.0, "loss": [1.0], "valid": valid, "branches": branches}
                for valid in (best / 2, best)
            ],
            "valid": {"ndcg@10": best},
            "ranks": {
                name: [1 if ours else 5] * 40 for name in (["all", "id"] if ours else ["all"])
            },
            "rows": rows,
            "test_cpu_seconds": 0.5,
            "peak_memory_mib": 100,
        }
        if ours or trial.seed == 1:
            record["ranks"]["unseen"] = [1 if ours else 3] * 40
        cache.path(trial).write_text(json.dumps(record))
    return plan, cache


def test_a_report_is_made_of_what_is_on_disk_and_nothing_is_run(finished):
    assert main(["benchmark", "plan.yaml", "--out", "out", "--jobs", "2"]) == 0
    text = Path("out/report.md").read_text()
    gain = 1 / ndcg(np.array([5]))[0] - 1
    assert f"| SASRec (best baseline) | {ndcg(np.array([5]))[0]:.4f} ± 0.0000 |" in text
    assert f"| {gain:+.1%} | < 0.001 | 0.5000 (1 of 2) | +100.0% | < 0.001 | 2 |" in text
    assert "| item tail | 10 | 0.3869 † | 1.0000 |" in text
    assert "| without text | 20 |" in text
    assert "| IDMMDistill, 50% of text, at random | 1.0000 | 100.0% |" in text
    assert "| IDMMDistill | 1.0000 | 10.0 | 1.0000 |" in text  # cold: ten times ten of a hundred
    for figure in Path("out/figures").glob("*.svg"):
        assert f"(figures/{figure.name})" in text
    assert "<svg" in Path("out/report.html").read_text()
    assert r"\toprule" in Path("out/report.tex").read_text()


def test_each_branch_is_held_against_the_same_branch_of_other_models(finished):
    _, cache = finished
    text = PLAN.replace("\nconditions:", "\n  late: {item_encoder: late}\nconditions:")
    Path("plan.yaml").write_text(text + "  Parts: {models: [IDMMDistill, late], seeds: [1]}\n")
    plan = read_plan("plan.yaml")
    record = cache.get(plan.trial("films", "IDMMDistill", "full", 0, 1))
    record["ranks"] = {"all": [1] * 40, "id": [5] * 40, "text": [1] * 40}
    cache.path(plan.trial("films", "late", "full", 0, 1)).write_text(json.dumps(record))
    assert main(["benchmark", "plan.yaml", "--out", "out", "--only_report"]) == 0
    text = Path("out/report.md").read_text()
    assert "| model | id | text |" in text
    assert "| IDMMDistill | 1.0000 |  |" in text  # the fixture's has no branch of the text
    assert "| late | 0.3869 † | 1.0000 |" in text


def test_a_gpus_trials_count_for_quality_and_not_for_seconds(finished):
    plan, cache = finished
    for trial in plan.tuning():
        record = cache.get(trial)
        for epoch in record["epochs"]:
            epoch["train_cpu_seconds"] = 99.0
        cache.path(trial).write_text(json.dumps({**record, "device": "A GPU"}))
    assert main(["benchmark", "plan.yaml", "--out", "out", "--only_report"]) == 0
    text = Path("out/report.md").read_text()
    assert "| SASRec | 2 | 2.0 | 4 | 4 | 0.50 | 100 |" in text  # of both seeds one is timed
    assert "A GPU: 2" in text


def test_where_a_gpu_ran_all_seeds_no_seconds_are_told(finished):
    _, cache = finished
    for path in cache.folder.glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "device": "A GPU"}))
    assert main(["benchmark", "plan.yaml", "--out", "out", "--only_report"]) == 0
    text = Path("out/report.md").read_text()
    assert "| SASRec | 2 |  |  |  |  |  |" in text
    assert "learning.svg" not in text


def test_validation_data_choose_the_option_set(finished):
    plan, cache = finished
    assert choose_options(plan, cache) == {("films", "SASRec"): 1}


def test_the_summary_goes_between_the_marks_and_nowhere_else(finished):
    begin, end = (f"<!-- benchmark summary: {word} -->" for word in ("begin", "end"))
    Path("README.md").write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    words = ["benchmark", "plan.yaml", "--out", "out", "--only_report", "--readme", "README.md"]
    assert main(words) == 0
    text = Path("README.md").read_text()
    assert text.startswith(f"before\n{begin}\n")
    assert text.endswith(f"{end}\nafter\n")
    assert "| **IDMMDistill** | **1.0000** |" in text
    assert r"\*) |" in text and "old" not in text


def test_a_trial_that_fails_is_told_and_costs_no_other(finished, capfd):
    Path("plan.yaml").write_text(PLAN.replace("{kind: model}", "{kind: model, val_interval: {rating: '(9,10]'}}"))
    words = ["benchmark", "plan.yaml", "--out", "elsewhere", "--only", "Held back"]
    assert main(words) == 2
    assert "3 trials failed, the first is IDMMDistill on films" in capfd.readouterr().err
    assert len(list(Path("elsewhere/trials").glob("*.failed.txt"))) == 3
    assert Path("elsewhere/report.md").is_file()


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ("dataset: nothing", "films left out: of films, There is no dataset 'nothing' in dataset."),
        ("dataset: ml-100k, modalities: [image]", "ml-100k.image.safetensors"),
        ("dataset: ml-100k, feature_path: x, modalities: [text]", "the folder x, which does not"),
    ],
)
def test_a_data_set_whose_files_are_missing_is_left_out_at_once(finished, capfd, instead, said):
    Path("plan.yaml").write_text(PLAN.replace("dataset: ml-100k, modalities: [text]", instead))
    assert main(["benchmark", "plan.yaml", "--out", "elsewhere"]) == 2
    assert said in capfd.readouterr().err
    assert not Path("elsewhere/trials").exists()
    assert Path("elsewhere/report.md").is_file()


def test_wrong_settings_are_said_before_anything_runs(capfd):
    Path("plan.yaml").write_text(PLAN.replace("{kind: model}", "{kind: model, n_layers: 0}"))
    assert main(["benchmark", "plan.yaml", "--out", "out"]) == 2
    assert "plan.yaml, IDMMDistill on films, full: n_layers is 0" in capfd.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.yaml"], "There is no config file nothing.yaml."),
        (["plan.yaml", "--only", "Side"], "There is no study 'Side'."),
        (["plan.yaml", "--only_report", "--readme", "none.md"], "none.md has no place"),
    ],
)
def test_a_mistake_is_said(finished, capsys, words, said):
    assert main(["benchmark", *words, "--out", "out"]) == 2
    assert said in capsys.readouterr().err


def test_a_damaged_record_is_said(finished, capsys):
    plan, cache = finished
    cache.path(next(plan.tuning())).write_text("{")
    assert main(["benchmark", "plan.yaml", "--out", "out"]) == 2
    assert "is no record of a trial. Delete it." in capsys.readouterr().err


def test_a_trial_s_ranks_give_the_metrics_of_recbole_s_evaluator():
    settings = {"epochs": 1, "seed": 1, "hidden_size": 8, "inner_size": 8, "imt_layers": 1}
    record = run_trial("IDMMDistill", "ml-100k", settings, ["text"], Path("trials/rows"))
    assert ndcg(np.array(record["ranks"]["all"])).mean() == pytest.approx(
        record["test"]["ndcg@10"], abs=1e-4
    )
    assert set(record["ranks"]) == {"all", "id", "text", "unseen"}
    rows = Rows.read(Path("trials/rows"), record["rows"])
    assert len(rows.users) == len(record["ranks"]["all"]) == 943
    (epoch,) = record["epochs"]
    watched = epoch["branches"]
    for branch in ("id", "text"):  # no branch is left untrained
        assert watched[f"gradient_norm/{branch}"] > 0
        assert 0 < watched[f"loss/{branch}"] < np.log(1682)
    assert {"kl/id-text", "kl/text-id", "overlap@10/id-text", "taught/mean-id"} <= set(watched)
