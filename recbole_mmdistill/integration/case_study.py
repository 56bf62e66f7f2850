"""Scores of single users: one row for each user asked for, or an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..errors import UserError

_NAMED = 5


def install() -> None:
    """Wrap ``full_sort_scores``, through which ``full_sort_topk`` goes too.

    utils/case_study.py:53 takes the rows of the test data that are of the users asked for. A user
    without one is left out in silence and one with several has several, so that nobody can tell
    whose a row of the result is. For a model that is not sequential a user without a row is an
    error of types.
    """
    from recbole.utils import case_study

    inner = case_study.full_sort_scores

    def full_sort_scores(uid_series: Any, model: Any, test_data: Any, device: Any = None) -> Any:
        users = torch.as_tensor(uid_series).cpu()
        _check_users(users, test_data)
        return inner(users.numpy(), model, test_data, device)

    case_study.full_sort_scores = full_sort_scores


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
