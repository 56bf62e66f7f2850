"""Texts that RecBole would evaluate are looked up or parsed."""

from pathlib import Path

import pytest
from recbole.config import Config
from recbole.data import create_dataset
from recbole.model.context_aware_recommender.kd_dagfm import CIN, KD_DAGFM, CrossNet
from recbole.trainer import HyperTuning

from recbole_mmdistill.errors import UserError
from tests.integration.builders import SMALL, write_dataset

CODE = "open('run', 'w').close()"


def teacher_of(name):
    """KD_DAGFM with a teacher, set behind the back of the check."""
    write_dataset()
    metrics = {"metrics": ["AUC"], "valid_metric": "AUC", "threshold": {"rating": 3}}
    load_col = {"load_col": {"inter": ["user_id", "item_id", "rating"]}}
    config = Config("KD_DAGFM", "small", config_dict={**SMALL, **metrics, **load_col})
    config["teacher"] = name
    return KD_DAGFM(config, create_dataset(config)).teacher_network


def test_a_teacher_is_looked_up_by_its_name():
    assert isinstance(teacher_of("CrossNet"), CrossNet)
    assert isinstance(teacher_of("CIN"), CIN)


@pytest.mark.parametrize("name", [CODE, f"{CODE} or CrossNet", "nn.Linear", "eval", ["CrossNet"]])
def test_no_other_teacher_is_evaluated(name):
    with pytest.raises(UserError, match="not one of CrossNet, CIN"):
        teacher_of(name)
    assert not Path("run").exists()


def test_a_parameter_file_is_read_as_literals():
    pytest.importorskip("hyperopt")
    Path("params").write_text("epochs choice [1, 2]\nhidden choice ['[8]', '[8,8]']\n")
    assert set(HyperTuning._build_space_from_file("params")) == {"epochs", "hidden"}
    for line in (f"epochs choice {CODE}", f"epochs choice [{CODE}]", "epochs choice 5"):
        Path("params").write_text(line)
        with pytest.raises(UserError, match="The parameter file has the choices"):
            HyperTuning._build_space_from_file("params")
    assert not Path("run").exists()
