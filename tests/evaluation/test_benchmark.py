"""From a YAML to a report: what is run, what is kept, and what is said when it goes wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from recbole_mmdistill.cli import main
from recbole_mmdistill.evaluation.plan_file import read_plan
from recbole_mmdistill.evaluation.ranking import ndcg
from recbole_mmdistill.evaluation.results import Results
from recbole_mmdistill.evaluation.rows import Rows
from recbole_mmdistill.evaluation.store import Store
from recbole_mmdistill.version import BEHAVIOUR, ID_BEHAVIOUR, __version__
from tests.test_golden import write_dataset

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


FIFTH = f"{ndcg(np.array([5]))[0]:.4f}"
REPORT = ["benchmark", "plan.yaml", "--out", "out", "--only_report"]


def report(*words):
    assert main([*REPORT, *words]) == 0
    return Path("out/report.md").read_text()


@pytest.fixture
def finished():
    """Every trial of the plan, as if run: SASRec ranks all targets fifth, ours ranks them first."""
    Path("plan.yaml").write_text(PLAN)
    plan, store = read_plan("plan.yaml"), Store("out/trials")
    rows = store.write_rows(ROWS)
    for trial in plan.all().values():
        ours = trial.model == "IDMMDistill"
        best = 0.5 if ours else 0.1 + 0.1 * trial.options
        branches = {"loss/id": 1.0, "kl/id-text": 0.1, "ndcg@10/id": 0.3}
        record = {
            "version": "0.1.0",
            "behaviour": BEHAVIOUR,
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
            "device": "cpu",
            "machine": {"processor": "A processor", "cores": 2},
        }
        if ours or trial.seed == 1:
            record["ranks"]["unseen"] = [1 if ours else 3] * 40
        store.write(trial.key, record)
    return plan, store


def change(store, trials, **values):
    for trial in trials:
        record = store.read(trial.key, BEHAVIOUR)
        store.path(trial.key, BEHAVIOUR).unlink()
        store.write(trial.key, {**record, **values})


def of(plan, model, seeds=(1, 2)):
    return [t for t in plan.all().values() if t.model == model and t.seed in seeds]


def test_a_report_is_made_of_what_is_on_disk_and_nothing_is_run(finished):
    assert main(["benchmark", "plan.yaml", "--out", "out", "--jobs", "2"]) == 0
    text = Path("out/report.md").read_text()
    made_by = f"0.1.0 ({BEHAVIOUR})"
    gain = f"{1 / ndcg(np.array([5]))[0] - 1:+.1%}"
    assert f"| {FIFTH} ± 0.0000 | 1.0000 ± 0.0000 | {gain} | < 0.001 | 2 | {made_by} |" in text
    assert f"| 0.5000 | 1.0000 | +100.0% | < 0.001 | 1 | {made_by} |" in text  # unseen: one seed
    assert "| model | cold (10) | tail (10) | middle (10) | head (10) |" in text
    assert f"| SASRec | {' | '.join([f'{FIFTH} †'] * 4)} |" in text
    assert "| model | with text (20) | without text (20) |" in text
    assert f"| IDMMDistill | 1.0000 | 1.0000 (1.0000) | {made_by} |" in text  # half of the texts
    assert f"| IDMMDistill | 1.0000 | 10.0 | 1.0000 | 1 | {made_by} |" in text  # cold: 10 of 100
    for figure in Path("out/figures").glob("*.svg"):
        assert f"(figures/{figure.name})" in text
    assert "<svg" in Path("out/report.html").read_text()
    assert r"\toprule" in Path("out/report.tex").read_text()


def test_without_the_ranks_the_report_is_the_same(finished):
    before = report()
    lines = Path("out/results.csv").read_text().splitlines()
    shutil.rmtree("out/trials")
    assert report() == before
    assert Path("out/results.csv").read_text().splitlines() == lines
    assert lines[0].startswith("dataset,model,condition,options,seed,version,behaviour,key,variant")
    assert f"films,IDMMDistill,full,0,1,0.1.0,{BEHAVIOUR}," in "\n".join(lines)


def test_a_test_that_needs_lost_ranks_is_said_to_be_missing(finished):
    report()
    shutil.rmtree("out/trials")
    Path("out/comparisons.csv").unlink()
    text = report()
    assert f"| {1 / ndcg(np.array([5]))[0] - 1:+.1%} | ? | 2 |" in text
    assert "?: not tested, the ranks of single rows are on another machine." in text


def test_nothing_is_run_again_that_results_csv_holds(finished, capfd):
    report()
    shutil.rmtree("out/trials")
    assert main(["benchmark", "plan.yaml", "--out", "out"]) == 0
    assert not Path("out/trials").exists()


@pytest.mark.parametrize("model", ["IDMMDistill", "SASRec"])
def test_models_of_different_behaviours_are_not_compared(finished, model):
    plan, store = finished
    change(store, of(plan, model), behaviour=0, version="")
    text = report()
    assert "| ‡ |  | 2 |" in text
    assert "‡: of another behaviour or of other test rows, so not compared." in text
    assert f"| SASRec (best baseline) | {FIFTH} ± 0.0000 |" in text
    assert "before 1 |" in text and f"0.1.0 ({BEHAVIOUR}) |" in text


def test_a_model_of_recbole_is_compared_while_only_ours_has_changed(finished, monkeypatch):
    plan, store = finished
    change(store, of(plan, "IDMMDistill"), behaviour=BEHAVIOUR + 1)
    text = report()
    assert "‡" not in text
    assert f"0.1.0 ({BEHAVIOUR + 1})" in text and f"0.1.0 ({BEHAVIOUR}) |" in text


def test_ids_alone_are_compared_while_only_models_with_features_have_changed(finished):
    _, store = finished
    with_ids = PLAN.replace("\nconditions:", "\n  ID only: {modalities: []}\nconditions:")
    Path("plan.yaml").write_text(with_ids.replace("[SASRec, IDMM", "[ID only, IDMM"))
    plan = read_plan("plan.yaml")
    record = store.read(of(plan, "IDMMDistill")[0].key, BEHAVIOUR)
    for trial in of(plan, "ID only"):
        store.write(trial.key, {**record, "behaviour": ID_BEHAVIOUR})
    results = Results(plan, Path("out"))
    assert not any(results.lacks(trial, renew=True) for trial in of(plan, "ID only"))
    text = report()
    assert "| ID only | 1.0000 (+0%) | " in text and "‡" not in text


def test_seeds_of_different_behaviours_are_not_joined(finished):
    plan, store = finished
    change(store, of(plan, "IDMMDistill", [2]), behaviour=BEHAVIOUR + 1)
    text = report()
    assert f"| 1.0000 | 1.0000 |  |  | 1 | 0.1.0 ({BEHAVIOUR + 1}) |" in text.replace("**", "")


def test_renew_runs_what_an_older_behaviour_made(finished):
    plan, store = finished
    trials = of(plan, "IDMMDistill")
    change(store, trials, behaviour=0)
    results = Results(plan, Path("out"))
    assert [results.lacks(trial, renew=False) for trial in trials] == [False] * len(trials)
    assert [results.lacks(trial, renew=True) for trial in trials] == [True] * len(trials)
    assert not any(results.lacks(trial, renew=True) for trial in of(plan, "SASRec"))


def test_each_branch_is_held_against_the_same_branch_of_other_models(finished):
    _, store = finished
    text = PLAN.replace("\nconditions:", "\n  late: {item_encoder: late}\nconditions:")
    Path("plan.yaml").write_text(text + "  Parts: {models: [IDMMDistill, late], seeds: [1]}\n")
    plan = read_plan("plan.yaml")
    record = store.read(plan.trial("films", "IDMMDistill", "full", 0, 1).key, BEHAVIOUR)
    record["ranks"] = {"all": [1] * 40, "id": [5] * 40, "text": [1] * 40}
    store.write(plan.trial("films", "late", "full", 0, 1).key, record)
    text = report()
    assert "| model | id | text |" in text
    assert "| IDMMDistill | 1.0000 |  |" in text  # the fixture's has no branch of the text
    assert f"| late | {FIFTH} † | 1.0000 |" in text


def test_a_gpus_trials_count_for_quality_and_not_for_seconds(finished):
    plan, store = finished
    for trial in plan.tuning():
        epochs = store.read(trial.key, BEHAVIOUR)["epochs"]
        slow = [{**epoch, "train_cpu_seconds": 99.0} for epoch in epochs]
        change(store, [trial], device="A GPU", epochs=slow)
    text = report()
    assert "| SASRec | 2 | 2.0 | 4 | 4 | 0.50 | 100 |" in text  # of both seeds one is timed
    assert "A GPU: 2" in text


def test_where_a_gpu_ran_all_seeds_no_seconds_are_told(finished):
    plan, store = finished
    change(store, plan.all().values(), device="A GPU")
    text = report()
    assert "| SASRec | 2 |  |  |  |  |  |" in text
    assert "learning.svg" not in text


def test_validation_data_choose_the_option_set(finished):
    plan, _ = finished
    assert Results(plan, Path("out")).chosen == {("films", "SASRec"): 1}


def test_tables_go_between_their_marks_and_nowhere_else(finished):
    begin, end = "<!-- table: plan / Side by side / summary -->", "<!-- end of table -->"
    Path("README.md").write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    report("--readme", "README.md")
    text = Path("README.md").read_text()
    assert text.startswith(f"before\n{begin}\n\n| model | films | made by |\n")
    assert text.endswith(f"|\n\n{end}\nafter\n")
    assert "| **IDMMDistill** | **1.0000** |" in text
    assert r"\*) |" in text and "old" not in text


def test_what_is_missing_runs_and_a_trial_that_fails_costs_no_other(capfd):
    write_dataset()
    Path("plan.yaml").write_text("""\
common: {data_path: dataset/, epochs: 1, hidden_size: 8, inner_size: 8, train_batch_size: 64}
datasets:
  golden: {modalities: [text]}
models:
  SASRec: {kind: baseline, model: SASRec}
  nothing: {val_interval: {timestamp: "(9,10]"}}
studies:
  One: {models: [SASRec, nothing], seeds: [1]}
""")
    assert main(["benchmark", "plan.yaml", "--out", "out"]) == 2
    said = "1 trials failed, the first is nothing on golden, options 0, seed 1."
    assert said in capfd.readouterr().err
    assert len(list(Path("out/trials").glob("*.failed.txt"))) == 1
    text = Path("out/report.md").read_text()
    assert f"| 1 | {__version__} ({BEHAVIOUR}) |" in text
    assert "| nothing | not run |  |" in text
    assert f"golden,SASRec,full,0,1,{__version__}," in Path("out/results.csv").read_text()


def test_each_model_may_read_features_of_its_own():
    write_dataset()
    Path("dataset/golden/golden.text.safetensors").rename("own.safetensors")
    Path("plan.yaml").write_text("""\
common: {data_path: dataset/, epochs: 1, hidden_size: 8, inner_size: 8, modalities: [text]}
datasets: {golden: {}}
models:
  own: {kind: model, feature_path: {text: own.safetensors}}
studies:
  One: {models: [own], seeds: [1]}
""")
    assert main(["benchmark", "plan.yaml", "--out", "out"]) == 0
    assert "| **own** | **0." in Path("out/report.md").read_text()


def test_wrong_settings_are_said_before_anything_runs(capfd):
    Path("plan.yaml").write_text(PLAN.replace("{kind: model}", "{kind: model, n_layers: 0}"))
    assert main(["benchmark", "plan.yaml", "--out", "out"]) == 2
    assert "plan.yaml, IDMMDistill on films, full: n_layers is 0" in capfd.readouterr().err
    assert not Path("out").exists()


def test_nothing_is_written_where_no_data_set_is_there(capfd):
    Path("plan.yaml").write_text("""\
datasets: {elsewhere: {modalities: []}}
models: {SASRec: {kind: baseline, model: SASRec}}
studies: {One: {models: [SASRec], seeds: [1]}}
""")
    assert main(["benchmark", "plan.yaml", "--out", "out"]) == 2
    assert "None of the data sets is there. There is no" in capfd.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.yaml"], "There is no config file nothing.yaml."),
        (["plan.yaml", "--only", "Side"], "There is no study 'Side'."),
        (["plan.yaml", "--only_report", "--readme", "none.md"], "none.md has no place"),
        (
            ["plan.yaml", "--only_report", "--readme", "wrong.md"],
            "near it: plan / Side by side / s",
        ),
        (["plan.yaml", "plan.yaml"], "--out is one folder for several benchmarks."),
    ],
)
def test_a_mistake_is_said(finished, capsys, words, said):
    mark = "<!-- table: plan / Side by side / sumary -->"
    Path("wrong.md").write_text(f"{mark}\n<!-- end of table -->\n")
    assert main(["benchmark", *words, "--out", "out"]) == 2
    assert said in capsys.readouterr().err


def test_a_damaged_record_is_said(finished, capsys):
    plan, store = finished
    store.path(next(plan.tuning()).key, BEHAVIOUR).write_bytes(b"{")
    assert main(REPORT) == 2
    assert "is no record of a trial. Delete it." in capsys.readouterr().err


@pytest.mark.parametrize("file", ["results.csv", "comparisons.csv"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: "\0",
        lambda text: text.replace("dataset,", "data,"),
        lambda text: text[:-20],
        lambda text: text.replace(",0.0002,", ",x,").replace(",40,", ",x,"),
    ],
)
def test_a_damaged_table_is_said_and_kept(finished, capsys, file, damage):
    report()
    path = Path("out") / file
    path.write_text(text := damage(path.read_text()))
    assert main(REPORT) == 2
    assert f"out/{file} is not as a benchmark writes it" in capsys.readouterr().err
    assert path.read_text() == text
