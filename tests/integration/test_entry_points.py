"""RecBole's own ways to run a model work unchanged with IDMMDistill, after one import."""

from pathlib import Path

import pytest
import torch
from recbole.quick_start import load_data_and_model, objective_function, run, run_recbole
from recbole.trainer import HyperTuning
from recbole.utils import get_trainer, init_seed
from recbole.utils.case_study import full_sort_scores, full_sort_topk

from recbole_mmdistill.errors import UserError
from tests import fresh
from tests.integration.builders import SMALL, write_dataset


@pytest.fixture(autouse=True)
def small():
    write_dataset()


def saved_checkpoint():
    (path,) = Path("saved").glob("IDMMDistill*.pth")
    return str(path)


@pytest.mark.parametrize("entry", [run_recbole, run])
def test_run(entry):
    result = entry("IDMMDistill", "small", config_dict=SMALL)
    assert set(result["test_result"]) == {"ndcg@5", "hit@5"}
    assert 0 <= result["test_result"]["ndcg@5"] <= result["test_result"]["hit@5"] <= 1


def test_the_same_seed_gives_the_same_result():
    first, second = (run_recbole("IDMMDistill", "small", config_dict=SMALL) for _ in range(2))
    assert first["test_result"] == second["test_result"]
    other = run_recbole("IDMMDistill", "small", config_dict={**SMALL, "seed": 5, "epochs": 3})
    assert other["best_valid_result"] != first["best_valid_result"]


def test_a_saved_model_gives_its_test_result_again():
    result = run_recbole("IDMMDistill", "small", config_dict=SMALL)
    config, model, _, _, _, test_data = load_data_and_model(saved_checkpoint())
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    again = trainer.evaluate(test_data, load_best_model=False)
    assert dict(again) == pytest.approx(dict(result["test_result"]))


def test_a_saved_model_loads_in_a_process_that_knows_only_the_package():
    run_recbole("IDMMDistill", "small", config_dict=SMALL)
    script = (
        "import recbole_mmdistill, sys; sys.argv = ['x']\n"
        "from recbole.quick_start import load_data_and_model\n"
        f"print(type(load_data_and_model({saved_checkpoint()!r})[1]).__name__)"
    )
    done = fresh.run(script)
    assert done.stdout.strip().splitlines()[-1] == "IDMMDistill", done.stderr


def test_features_are_not_in_the_checkpoint():
    run_recbole("IDMMDistill", "small", config_dict=SMALL)
    *_, model, _, _, _, _ = load_data_and_model(saved_checkpoint())[:6]
    assert len(model.network.source_embedding["text"].table.sample(99)) == 15
    assert not any(tensor.shape[:1] == (15,) for tensor in model.state_dict().values())


def test_case_study():
    run_recbole("IDMMDistill", "small", config_dict=SMALL)
    config, model, dataset, _, _, test_data = load_data_and_model(saved_checkpoint())
    users = dataset.token2id("user_id", ["u3", "u7"])
    scores = full_sort_scores(users, model, test_data, device=config["device"])
    values, items = full_sort_topk(users, model, test_data, k=4, device=config["device"])
    assert scores.shape == (2, 16) and items.shape == (2, 4)
    assert torch.equal(scores.gather(1, items), values)
    assert dataset.id2token("item_id", items.cpu()).shape == (2, 4)


def test_objective_function():
    Path("one.yaml").write_text("".join(f"{key}: {value}\n" for key, value in SMALL.items()))
    settings = {"model": "IDMMDistill", "dataset": "small", "kd_weight": 0.1}
    result = objective_function(settings, ["one.yaml"], saved=False)
    assert result["model"] == "IDMMDistill" and result["best_valid_score"] >= 0


@pytest.mark.parametrize("algo", ["exhaustive", "random"])
def test_hyper_tuning(algo):
    pytest.importorskip("hyperopt")
    fixed = {**SMALL, "model": "IDMMDistill", "dataset": "small"}
    Path("fixed.yaml").write_text("".join(f"{key}: {value}\n" for key, value in fixed.items()))
    Path("space").write_text("kd_weight choice [0.0,0.5]\n")
    tuning = HyperTuning(
        objective_function,
        algo=algo,
        params_file="space",
        fixed_config_file_list=["fixed.yaml"],
        max_evals=2,
        early_stop=5,
    )
    tuning.run()
    assert tuning.best_params["kd_weight"] in (0.0, 0.5)


def test_a_resumed_run_goes_on_with_the_ramp_where_it_was():
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model

    settings = {**SMALL, "train_batch_size": 16, "kd_ramp_epochs": 4}
    config = Config(model="IDMMDistill", dataset="small", config_dict={**settings, "epochs": 2})
    init_seed(config["seed"], True)
    train_data, valid_data, _ = data_preparation(config, create_dataset(config))

    def trainer_of(epochs):
        config["epochs"] = epochs
        model = get_model("IDMMDistill")(config, train_data.dataset)
        return get_trainer(config["MODEL_TYPE"], "IDMMDistill")(config, model)

    def kd_weight(trainer):
        epoch = int(trainer.model.train_steps) / trainer.model.steps_per_epoch
        return trainer.model.objective.losses["kd"].weight_at(epoch)

    first = trainer_of(2)
    first.fit(train_data, valid_data, saved=True, verbose=False)
    first._save_checkpoint(1, verbose=False)
    resumed = trainer_of(3)
    resumed.resume_checkpoint(first.saved_model_file)
    assert resumed.model.train_steps == first.model.train_steps == 2 * len(train_data)
    assert kd_weight(resumed) == kd_weight(first)
    resumed.fit(train_data, valid_data, saved=False, verbose=False)
    assert resumed.model.train_steps == 3 * len(train_data)
    assert kd_weight(resumed) > kd_weight(first)


def test_automatic_mixed_precision():
    settings = {**SMALL, "enable_amp": True, "epochs": 2}
    result = run_recbole("IDMMDistill", "small", config_dict=settings)
    assert result["test_result"]["ndcg@5"] >= 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"item_encoder": "imtt"}, "item_encoder is 'imtt'.*near it: imt"),
        ({"kd_weight": -1, "n_layers": 0}, "kd_weight is -1.*n_layers is 0"),
        ({"modalities": ["image"]}, r"no feature file .*small\.image\.safetensors"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(settings, message):
    with pytest.raises(UserError, match=message):
        run_recbole("IDMMDistill", "small", config_dict={**SMALL, **settings})
