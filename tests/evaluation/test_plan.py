"""What a benchmark's YAML asks for, and what is said of one that asks for nonsense."""

from pathlib import Path

import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.evaluation.plan_file import read_plan

PLAN = """\
seeds: [1, 2]
common: {epochs: 3}
datasets:
  films: {dataset: ml-100k, modalities: [text]}
models:
  SASRec: {kind: baseline, model: SASRec, options: [{dropout: 0.2}, {dropout: 0.5}]}
  IDMMDistill: {kind: model}
  ID only: {modalities: []}
conditions:
  half: {missing_features: {text: 0.5}}
studies:
  main: {models: [SASRec, IDMMDistill]}
  gaps: {models: [IDMMDistill], conditions: [full, half], seeds: [1]}
"""


def plan(text=PLAN):
    Path("plan.yaml").write_text(text)
    return read_plan("plan.yaml")


def test_settings_of_a_trial_are_common_then_dataset_then_condition_then_model_then_option_set():
    trial = plan().trial("films", "SASRec", "half", options=1, seed=7)
    assert trial.spec["model"] == "SASRec"
    assert trial.spec["dataset"] == "ml-100k"
    assert trial.spec["grouped_by"] == ["text"]
    assert trial.spec["settings"] == {
        "epochs": 3,
        "modalities": ["text"],
        "missing_features": {"text": 0.5},
        "dropout": 0.5,
        "seed": 7,
    }
    assert plan().trial("films", "ID only", "full", 0, 1).spec["settings"]["modalities"] == []


def test_only_models_with_several_option_sets_are_tuned_and_with_the_first_seed_alone():
    tuning = list(plan().tuning())
    assert [(t.model, t.options, t.seed) for t in tuning] == [("SASRec", 0, 1), ("SASRec", 1, 1)]


def test_the_first_seed_of_everything_comes_before_the_second_of_anything():
    trials = [(t.model, t.condition, t.seed) for t in plan().measuring({("films", "SASRec"): 1})]
    assert trials == [
        ("SASRec", "full", 1),
        ("IDMMDistill", "full", 1),
        ("IDMMDistill", "full", 1),
        ("IDMMDistill", "half", 1),
        ("SASRec", "full", 2),
        ("IDMMDistill", "full", 2),
    ]


def test_a_trial_is_known_by_what_decides_its_result():
    one, other = plan(), plan(PLAN.replace("main:", "first:").replace("  films", "  movies"))
    trial = one.trial("films", "SASRec", "full", 0, 1)
    assert trial.key == other.trial("movies", "SASRec", "full", 0, 1).key
    assert trial.key != one.trial("films", "SASRec", "full", 0, 2).key
    assert trial.key != one.trial("films", "SASRec", "half", 0, 1).key


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: baseline", "kind: base", "SASRec is of kind 'base'"),
        ("seeds: [1, 2]", "seeds: 3", "seeds is 3"),
        (
            "models: [SASRec,",
            "models: [SASRek,",
            "asks for 'SASRek', none of the models; near",
        ),
        ("studies:", "study:", "the file has 'study', which nobody reads; near it: studies"),
        ("conditions: [full, half]", "condition: half", "the study 'gaps' has 'condition'"),
        (
            "datasets:\n  films: {dataset: ml-100k, modalities: [text]}",
            "datasets: ml-100k",
            "datasets is",
        ),
        ("options: [{dropout: 0.2}, {dropout: 0.5}]", "options: 3", "SASRec has options 3"),
    ],
)
def test_what_has_no_sense_is_said(old, new, said):
    with pytest.raises(UserError, match=said.replace("[", r"\[")):
        plan(PLAN.replace(old, new))


def test_the_shipped_benchmark_can_be_read():
    shipped = Path(__file__).parents[2] / "properties" / "benchmark"
    for file in shipped.glob("*.yaml"):
        assert read_plan(file).studies
