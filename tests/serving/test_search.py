"""Exact search against sorting all scores."""

import numpy as np
import pytest

from recbole_mmdistill.serving.search import Cells, ExactIndex
from recbole_mmdistill.serving.tables import Table


def literal(users, table, k, candidates, cells=None):
    scores = users @ table.T
    for row, item, value in zip(*cells) if cells else ():
        scores[row, item] += value
    allowed = np.full(len(table), -np.inf)
    allowed[candidates] = 0
    scores = scores + allowed
    numbers = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, numbers, axis=1)
    return best, np.where(best > -np.inf, numbers, 0)


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 5)).astype("f"), rng.normal(size=(20_000, 5)).astype("f")


@pytest.mark.parametrize("k", [1, 10, 300])
@pytest.mark.parametrize(
    "candidates",
    [np.arange(1, 20_000), np.arange(0, 20_000, 3), np.array([4, 5, 19_999]), np.arange(0)],
    ids=["all", "a third", "three", "none"],
)
def test_the_best_of_the_candidates(drawn, k, candidates):
    users, table = drawn
    scores, numbers = ExactIndex(Table(table)).top_k(users, k, candidates, None)
    expected = literal(users, table, min(k, len(candidates)), candidates)
    np.testing.assert_array_equal(numbers[:, : len(candidates)], expected[1])
    np.testing.assert_allclose(scores[:, : len(candidates)], expected[0], rtol=1e-5)
    assert (numbers[:, len(candidates) :] == 0).all()
    assert (scores[:, len(candidates) :] == -np.inf).all()


def test_what_is_added_to_single_scores_counts(drawn):
    users, table = drawn
    candidates = np.arange(1, 20_000, 2)
    row = np.repeat(np.arange(7), 50)
    item = np.concatenate([np.arange(n, 20_000, 400) for n in range(7)])
    value = np.where(np.arange(350) % 3, 5.0, -np.inf).astype("f")
    cells = Cells(row, item, value)
    scores, numbers = ExactIndex(Table(table)).top_k(users, 40, candidates, cells)
    expected = literal(users, table, 40, candidates, cells)
    np.testing.assert_array_equal(numbers, expected[1])
    np.testing.assert_allclose(scores, expected[0], rtol=1e-5)


def test_equal_scores_are_in_the_order_of_the_items():
    table = np.ones((10_000, 2), dtype="f")
    _, numbers = ExactIndex(Table(table)).top_k(table[:3], 4, np.arange(1, 10_000), None)
    assert (numbers == [1, 2, 3, 4]).all()


def test_the_best_item_may_be_the_last(drawn):
    users, table = drawn
    table = np.concatenate([table, users * 100])
    _, numbers = ExactIndex(Table(table)).top_k(users, 1, np.arange(1, len(table)), None)
    assert numbers[:, 0].tolist() == (20_000 + (users @ users.T).argmax(1)).tolist()
