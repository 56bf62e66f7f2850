"""Lists for single users: one for each, or an error that names the others."""

from pathlib import Path

import pytest
import torch
from recbole.quick_start import load_data_and_model, run_recbole
from recbole.utils.case_study import full_sort_scores, full_sort_topk

from recbole_mmdistill.errors import UserError
from tests.integration.builders import SMALL, write_dataset
from tests.integration.test_numbering import change


def loaded(model, split):
    write_dataset()
    change(lambda rows: [*rows, "x1\ti1\t5\t1500000000"])  # a user without a row of the test
    settings = {
        **SMALL,
        "eval_args": {"order": "TO", "split": split, "mode": "full"},
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    }
    run_recbole(model, "small", config_dict=settings)
    (path,) = Path("saved").glob("*.pth")
    _, network, dataset, _, _, test_data = load_data_and_model(str(path))
    return network, dataset, test_data


def test_each_user_has_a_list_in_the_order_asked_for():
    model, dataset, test_data = loaded("SASRec", {"LS": "valid_and_test"})
    users = dataset.token2id("user_id", ["u7", "u1"])
    scores = full_sort_scores(users, model, test_data)
    values, items = full_sort_topk(users, model, test_data, 3)
    assert torch.equal(scores.gather(1, items), values)
    for number, user in enumerate(users):
        assert torch.allclose(scores[number], full_sort_scores([user], model, test_data)[0])


def test_other_users_are_named():
    model, dataset, test_data = loaded("SASRec", {"LS": "valid_and_test"})
    x1 = int(dataset.token2id("user_id", "x1"))
    for users, message in [
        ([1, x1], "1 of the users asked for have no row in the test data: 'x1'"),
        ([x1], "no row in the test data: 'x1'"),
        ([1, dataset.user_num, 0, -1], "3 of the users asked for are no users .*: 14, 0, -1"),
        ([], r"users asked for are \[\]"),
        ([[1, 2]], "users asked for are"),
        ([1.5], "users asked for are"),
    ]:
        for ask in (full_sort_scores, lambda *given: full_sort_topk(*given, k=3)):
            with pytest.raises(UserError, match=message):
                ask(users, model, test_data)


@pytest.mark.parametrize(
    ("model", "user", "message"),
    [
        ("SASRec", "u1", "have several rows in the test data: 'u1'"),
        ("BPR", "x1", "have no row in the test data: 'x1'"),
    ],
)
def test_rows_by_ratio(model, user, message):
    network, dataset, test_data = loaded(model, {"RS": [4, 2, 4]})
    with pytest.raises(UserError, match=message):
        full_sort_topk(dataset.token2id("user_id", [user]), network, test_data, 3)
    if model == "BPR":  # whose scores do not hang on a row
        users = dataset.token2id("user_id", ["u1", "u2"])
        assert full_sort_scores(users, network, test_data).shape == (2, dataset.item_num)
