"""Scores of single users: one row for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..errors import UserError
from .fixes import extends

_NAMED = 5


@extends("recbole.utils.case_study:full_sort_scores")
def full_sort_scores(
    original: Any, uid_series: Any, model: Any, test_data: Any, device: Any = None
) -> Any:
    """Give one row for each user asked for, or name those that cannot be told apart.

    utils/case_study.py:53 leaves out a user without a test row and repeats one with several, so
    that nobody can tell whose a row of the result is. For a model that is not sequential a user
    without a row is an error of types.

    ``full_sort_topk`` goes through here, too.
    """
    users = torch.as_tensor(uid_series).cpu()
    _check_users(users, test_data)
    return original(users.numpy(), model, test_data, device)


def _check_users(users: torch.Tensor, test_data: Any) -> None:
    """Raise a UserError that names the users who cannot be told apart or do not exist."""
    dataset = test_data.dataset
    field = dataset.uid_field
    if users.dim() != 1 or len(users) == 0 or users.is_floating_point():
        raise UserError(
            f"The users asked for are {users.tolist()!r}.",
            "Give a list of numbers, as dataset.token2id gives them.",
        )
    known = (users >= 1) & (users < dataset.user_num)
    _refuse(users[~known].tolist(), "are no users of the dataset")
    tokens = np.array(dataset.field2id_token[field], dtype=object)[users.numpy()]
    if test_data.is_sequential:
        n_rows = torch.bincount(dataset.inter_feat[field], minlength=dataset.user_num)[users]
        _refuse(tokens[(n_rows > 1).numpy()].tolist(), "have several rows in the test data")
        has_row = (n_rows > 0).tolist()
    else:
        has_row = [test_data.uid2history_item[user] is not None for user in users]
    _refuse(tokens[~np.array(has_row)].tolist(), "have no row in the test data")


def _refuse(users: list[Any], what: str) -> None:
    if users:
        names = ", ".join(map(repr, users[:_NAMED])) + (", ..." if len(users) > _NAMED else "")
        raise UserError(
            f"{len(users)} of the users asked for {what}: {names}.",
            "Ask for users who have one row in the test data.",
        )
