"""What ``auto`` is hangs on how long histories are, and what is given stands."""

import pytest

from recbole_mmdistill.checkpoint import file
from recbole_mmdistill.integration.loading import load
from recbole_mmdistill.integration.trained import load_trained
from recbole_mmdistill.model.by_histories import OF_LONG, OF_SHORT, SHORT, resolve_by_histories
from recbole_mmdistill.pipeline import run
from tests.integration.builders import SMALL, write_dataset


@pytest.mark.parametrize(("mean", "values"), [(SHORT - 0.1, OF_SHORT), (SHORT, OF_LONG)])
def test_the_mean_number_of_targets_decides(mean, values):
    config = dict.fromkeys(values, "auto")
    assert resolve_by_histories(config, mean) == values
    assert config == values


def test_what_is_given_stands():
    config = {**dict.fromkeys(OF_SHORT, "auto"), "hidden_size": 32}
    assert "hidden_size" not in resolve_by_histories(config, 5.0)
    assert config == {**OF_SHORT, "hidden_size": 32}


def trained(**settings):
    write_dataset()
    given = {name: value for name, value in SMALL.items() if name not in OF_SHORT}
    return run("IDMMDistill", "small", {**given, "inner_size": 8, **settings}).trainer


def test_trainer_and_checkpoint_have_the_values():
    trainer = trained()
    assert trainer.learning_rate == OF_SHORT["learning_rate"]
    options = load(trainer.saved_model_file)["options"]
    assert {name: options[name] for name in OF_SHORT} == OF_SHORT


def test_a_checkpoint_from_before_them_has_the_values_of_then():
    trainer = trained(**{**OF_LONG, "hidden_size": 8})
    saved = file.read(trainer.saved_model_file)
    for name in ("learning_rate", "repeat_bias_rate", "item_encoder"):
        del saved["options"][name]
    file.write("earlier.pth", saved)
    config = load_trained("earlier.pth").config
    assert {name: config[name] for name in OF_LONG} == {**OF_LONG, "hidden_size": 8}
