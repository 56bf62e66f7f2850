"""The approximate index against exact search."""

import numpy as np
import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.serving.search import Cells, ExactIndex
from recbole_mmdistill.serving.tables import Table

faiss = pytest.importorskip("faiss")
from recbole_mmdistill.serving.approximate import FaissIndex, build_index  # noqa: E402

N, D = 6000, 16
EVERY = np.arange(1, N)


@pytest.fixture(scope="module")
def clustered():
    """Items in clusters, users near clusters; an index built for a recall of 0.95."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, D))
    vectors = centres[rng.integers(0, 60, N)] + 0.5 * rng.normal(size=(N, D))
    users = centres[rng.integers(0, 60, 400)] + 0.3 * rng.normal(size=(400, D))
    vectors, users = vectors.astype("f"), users.astype("f")
    index, facts = build_index(vectors, users[:300], 0.95)
    table = Table(vectors)
    return FaissIndex(index, table, facts["candidates"]), ExactIndex(table), users[300:], facts


def recall(found, true):
    return np.mean([np.isin(t, f).mean() for f, t in zip(found, true)])


def test_the_recall_asked_for_holds_for_users_that_were_not_used(clustered):
    index, exact, users, facts = clustered
    assert facts["recall"] >= 0.93
    scores, numbers = index.top_k(users, 10, EVERY, None)
    true_scores, true = exact.top_k(users, 10, EVERY, None)
    assert recall(numbers, true) >= 0.93
    assert (np.diff(scores) <= 0).all() and (scores <= true_scores + 1e-5).all()


def test_scores_are_exact(clustered):
    index, _, users, _ = clustered
    scores, numbers = index.top_k(users, 10, EVERY, None)
    expected = np.einsum("bkd,bd->bk", index.rows(numbers), users)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_what_may_not_be_found_is_not_found(clustered):
    index, exact, users, _ = clustered
    _, best = exact.top_k(users, 5, EVERY, None)
    row = np.repeat(np.arange(len(users)), 5)
    cells = Cells(row, best.ravel(), np.full(best.size, -np.inf, dtype="f"))
    _, numbers = index.top_k(users, 10, EVERY, cells)
    _, true = exact.top_k(users, 10, EVERY, cells)
    assert not (numbers[:, :, None] == best[:, None]).any() and (numbers > 0).all()
    assert recall(numbers, true) >= 0.93


def test_a_bias_lifts_an_item_that_the_codes_would_never_name(clustered):
    index, exact, users, _ = clustered
    worst = exact.top_k(-users, 1, EVERY, None)[1][:, 0]
    cells = Cells(np.arange(len(users)), worst, np.full(len(users), 100, dtype="f"))
    _, numbers = index.top_k(users, 3, EVERY, cells)
    assert numbers[:, 0].tolist() == worst.tolist()
    without = np.setdiff1d(EVERY, worst[:1])
    assert worst[0] not in index.top_k(users, 3, without, cells)[1][0]


def test_few_candidates_are_all_looked_at(clustered):
    index, exact, users, _ = clustered
    some = np.arange(7, N, 3)
    np.testing.assert_array_equal(
        index.top_k(users, 10, some, None)[1], exact.top_k(users, 10, some, None)[1]
    )


def test_a_recall_out_of_reach_is_said(clustered):
    index, _, users, _ = clustered
    vectors = index.rows(np.arange(N))
    with pytest.raises(UserError, match=r"No parameters of the index reach a recall of 1\.01"):
        build_index(vectors, users[:20], 1.01)
