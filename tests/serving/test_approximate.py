"""The approximate index against exact search."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from recbole_mmdistill.bench.serving import write_export
from recbole_mmdistill.errors import UserError
from recbole_mmdistill.serving import Runtime
from recbole_mmdistill.serving.approximate import FaissIndex, build_index
from recbole_mmdistill.serving.export import Request, export
from recbole_mmdistill.serving.manifest import read_manifest, write_manifest
from recbole_mmdistill.serving.search import Cells, ExactIndex
from recbole_mmdistill.serving.tables import Table
from tests.serving.builders import save_checkpoint, write_files

faiss = pytest.importorskip("faiss")

N, D = 6000, 16
EVERY = np.arange(1, N)


def in_clusters(n_items, width):
    """Items in clusters, and 400 users near clusters."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, width))
    vectors = centres[rng.integers(0, 60, n_items)] + 0.5 * rng.normal(size=(n_items, width))
    users = centres[rng.integers(0, 60, 400)] + 0.3 * rng.normal(size=(400, width))
    return vectors.astype("f"), users.astype("f")


@pytest.fixture(scope="module")
def clustered():
    """An index built for a recall of 0.95, exact search, users that were not used, and facts."""
    vectors, users = in_clusters(N, D)
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


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export of 3,000 made-up items around a real user encoder, with an index."""
    pytest.importorskip("onnxruntime")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("exported"))
        patch.setattr("sys.argv", ["pytest"])
        write_files()
        small = export(Request(Path(save_checkpoint()[0]), Path("small")))
        vectors, states = in_clusters(3000, small.manifest.width)
        write_export(Path("large"), small.folder, vectors, "float32", states)
        return Path("large").resolve()


def test_a_runtime_searches_by_its_index(exported):
    histories = [[f"i{n}", f"i{2 * n}", "nothing"] for n in range(1, 200)]
    by_index = Runtime(exported).recommend(histories, shares=True)
    exact = Runtime(exported, exact=True).recommend(histories, shares=True)
    # The encoder is untrained: its states are not those that the index was built for.
    assert 0.5 < recall(by_index.numbers, exact.numbers) < 1
    first = by_index.items[:, 0] == exact.items[:, 0]
    np.testing.assert_allclose(by_index.scores[first, 0], exact.scores[first, 0], rtol=1e-5)
    np.testing.assert_allclose(by_index.shares.sum(2), by_index.scores, atol=1e-4)
    seen = [{"i" + str(n), "i" + str(2 * n)} for n in range(1, 200)]
    assert not any(own & set(items) for own, items in zip(seen, by_index.items))


def test_an_index_of_something_else_is_refused(exported, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "copy")
    index = faiss.index_factory(8, "IVF4,PQ4x4fs")
    index.train(np.random.default_rng(0).normal(size=(1000, 8)).astype("f"))
    faiss.write_index(index, str(copy / "index.faiss"))
    write_manifest(copy, read_manifest(exported))
    with pytest.raises(UserError, match=r"index\.faiss does not fit the export's manifest"):
        Runtime(copy)
    (copy / "index.faiss").write_bytes(b"nothing")
    write_manifest(copy, read_manifest(exported))
    with pytest.raises(UserError, match=r"index\.faiss is no index"):
        Runtime(copy)


def test_a_missing_faiss_is_one_sentence(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"pip install faiss-cpu"):
        Runtime(exported)
    assert Runtime(exported, exact=True).recommend([["i1"]], 2).items.shape == (1, 2)
