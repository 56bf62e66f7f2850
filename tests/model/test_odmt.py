"""The paper's own recipe."""

import pytest
import torch
from recbole.config import Config
from recbole.quick_start import run_recbole
from recbole.utils import get_model

from recbole_mmdistill.model import ODMT
from tests.integration.builders import SMALL, write_dataset


def test_it_has_every_option_of_idmmdistill():
    write_dataset()
    ours, theirs = (
        Config(model=model, dataset="small", config_dict=SMALL).internal_config_dict
        for model in ("ODMT", "IDMMDistill")
    )
    assert ours.keys() == theirs.keys()


def test_it_is_what_the_authors_describe():
    write_dataset()
    settings = {k: v for k, v in SMALL.items() if k not in ("hidden_size", "MAX_ITEM_LIST_LENGTH")}
    config = Config(model="ODMT", dataset="small", config_dict=settings)
    assert config["MAX_ITEM_LIST_LENGTH"] == 12
    assert (config["hidden_size"], config["learning_rate"], config["weight_decay"]) == (
        768,
        1e-4,
        0.1,
    )
    assert config["clip_grad_norm"] == {"max_norm": 5}
    assert get_model("ODMT") is ODMT


def test_it_trains_and_its_score_is_the_mean_of_its_branches():
    write_dataset()
    settings = {**SMALL, "epochs": 3, "saved": False}
    result = run_recbole("ODMT", "small", config_dict=settings, saved=False)
    assert 0 <= result["test_result"]["ndcg@5"] <= 1

    config = Config(model="ODMT", dataset="small", config_dict=settings)
    from recbole.data import create_dataset, data_preparation

    train_data, _, test_data = data_preparation(config, create_dataset(config))
    model = ODMT(config, train_data.dataset).eval()
    combination = model.network.combination
    assert not list(combination.parameters())
    assert combination.fixed_weight.tolist() == [1, 1]
    assert model.weight_average is None and model.network.repeat_bias is None
    assert not model.network.item_encoder.residual
    interaction = next(iter(test_data))[0]
    with torch.no_grad():
        scores = model.full_sort_predict(interaction)
        by_branch = model.branch_scores(interaction)
    mean = sum(by_branch.values()) / len(by_branch)
    known = torch.isfinite(mean).all(0)
    assert known.sum() > 5
    torch.testing.assert_close(scores[:, known], mean[:, known], atol=1e-5, rtol=0)


def test_distillation_reaches_the_teacher_too():
    write_dataset()
    config = Config(model="ODMT", dataset="small", config_dict=SMALL)
    assert config["kd_detach_teacher"] is False
    assert config["kd_weight"] == pytest.approx(1.0)
