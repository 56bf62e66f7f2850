"""The property files' comments say what an option may be."""

import pytest

from recbole_mmdistill.model.by_histories import AUTO
from recbole_mmdistill.model.item_encoder import ITEM_ENCODERS
from recbole_mmdistill.model.layers import ACTIVATIONS
from recbole_mmdistill.model.sequence_encoder import SEQUENCE_ENCODERS
from recbole_mmdistill.model.user_encoder import USER_ENCODERS
from recbole_mmdistill.settings import is_text, model_names, options_of, read_options
from recbole_mmdistill.settings.check import wrong_value
from recbole_mmdistill.settings.kinds import Kind, parse_comment


@pytest.mark.parametrize(
    ("comment", "meant"),
    [
        ("(int, [1, inf)) The width.", "a whole number, 1 or more"),
        ("(float, [0, 1)) The share.", "a number, from 0 to below 1"),
        ("(list of int) Sizes.", "a list of whole numbers"),
        ("(str or dict) A folder, or files.", "a text or a mapping"),
        ("(str) The loss. Range in ['BPR', 'CE'].", "one of BPR, CE"),
        ("(float) The margin. Range in [-1, 1].", "a number, from -1 to 1"),
        ("(str, optional) The loss.", "a text"),
        ("(bool) See ([2] shows it).", "True or False"),
    ],
)
def test_a_comment_is_read(comment, meant):
    assert str(parse_comment(comment)[0]) == meant


def test_a_comment_without_a_type_says_nothing():
    assert parse_comment("The number of neighbors.") == (None, "The number of neighbors.")


@pytest.mark.parametrize(
    ("comment", "right", "wrong"),
    [
        ("(int)", [0, -3], [True, 1.0, "1", None, [1]]),
        ("(float)", [0.5, 1], [True, "1e-3"]),
        ("(bool)", [True, False], [0, 1, "True"]),
        ("(list of float)", [[], [1, 0.5], (1,)], [1, [True], ["1"], {}]),
        ("(str or None)", ["x", None], [5, ["x"]]),
        ("(int or list of int, [1, inf))", [1, [2, 3]], [0, [1, 0]]),
    ],
)
def test_a_kind_accepts_what_it_says(comment, right, wrong):
    kind = parse_comment(comment)[0]
    assert all(kind.accepts(value) for value in right)
    assert not any(kind.accepts(value) for value in wrong)


@pytest.mark.parametrize("model", sorted(model_names()))
def test_no_model_s_own_defaults_are_at_fault(model):
    for option in options_of(model, "ml-100k").values():
        assert list(wrong_value(option, option.default)) == []
        assert option.kind != Kind() or option.default is None


def test_the_choices_of_the_model_s_file_are_those_of_the_code():
    options = read_options("recbole_mmdistill", "model", "IDMMDistill.yaml")
    for name, known in (
        ("item_encoder", {*ITEM_ENCODERS, AUTO}),
        ("sequence_encoder", SEQUENCE_ENCODERS),
        ("user_encoder", USER_ENCODERS),
        ("hidden_act", ACTIVATIONS),
    ):
        assert set(options[name].kind.choices) == set(known)


def test_every_option_of_recbole_s_lists_is_known():
    from recbole.utils import argument_list

    known = options_of("IDMMDistill")
    for name in ("general", "training", "evaluation", "dataset"):
        listed = set(getattr(argument_list, f"{name}_arguments"))
        assert listed - set(known) <= {"config_file"}  # which nothing reads


def test_which_options_can_only_be_texts():
    assert all(map(is_text, ("dataset", "USER_ID_FIELD", "checkpoint_dir", "teacher")))
    assert not any(map(is_text, ("epochs", "topk", "gpu_id", "feature_path", "no_option")))
