"""An approximate index through faiss: codes of four bits in clusters, the best of them looked at.

Why faiss and not a graph (HNSW of faiss, usearch or hnswlib): a graph follows single items from
one place of memory to another, and inner products of several branches make it reach a recall of
0.99 only where it is slower than looking at all items in blocks. Codes in clusters ("IVF PQ fast
scan": Jegou et al., TPAMI 2011; Andre et al., VLDB 2015) are read in a row, take a fourteenth of
the table's memory, and what they find is scored exactly by the table.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .manifest import Manifest
from .search import Cells, ExactIndex, Index
from .tables import Table

FEWEST = 1000  # items: with fewer the codes cannot be learned
_AGAIN = "Export the checkpoint again."
_PROBED = tuple(2**n for n in range(20))  # as far as there are clusters, the last time all
_CANDIDATES = (50, 100, 200, 400, 800, 1600, 3200, 6400)
_BATCH = 256


def faiss_module() -> Any:
    """Import faiss.

    Raises
    ------
    UserError
        It is not installed.
    """
    try:
        import faiss
    except ModuleNotFoundError:
        raise UserError(
            "An index needs the package faiss, which is not installed.",
            "Say `pip install faiss-cpu`.",
        ) from None
    return faiss


class FaissIndex(Index):
    """Finds candidates by their codes, and scores them by the table.

    Where less than half of the items may be found, all of those are looked at.

    Parameters
    ----------
    index : faiss.IndexIVF
        Of all items but the padding, in their order.
    table : Table
        The items' vectors.
    n_candidates : int
        How many are scored by the table.
    """

    def __init__(self, index: Any, table: Table, n_candidates: int) -> None:
        self._index = index
        self._table = table
        self._n_candidates = n_candidates
        self._exact = ExactIndex(table)

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """See :class:`Index`."""
        return self._exact.rows(numbers)

    def top_k(
        self, users: np.ndarray, k: int, candidates: np.ndarray, cells: Cells | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Index`."""
        n_items = self._index.ntotal
        n_cells = np.zeros(len(users), dtype=np.int64)
        if cells is not None:
            n_cells = np.bincount(cells.row, minlength=len(users))
        wanted = max(self._n_candidates, 2 * k)
        asked = wanted + int(n_cells.max(initial=0))
        if 2 * len(candidates) < n_items or 2 * asked > n_items:
            return self._exact.top_k(users, k, candidates, cells)
        _, found = self._index.search(np.ascontiguousarray(users), asked)
        found += 1  # the padding is not in the index
        if len(candidates) < n_items:
            allowed = np.zeros(n_items + 1, dtype=bool)
            allowed[candidates] = True
            found[~allowed[found]] = 0
        bonus = np.zeros((len(users), 0), dtype=np.float32)
        if cells is not None:
            found[_holds(cells, found)] = 0
        found = _first(found, wanted)
        if cells is not None:
            own, bonus = _biased(cells, len(users), candidates)
            found = np.concatenate([found, own], axis=1)
        scores = self._scores(users, found)
        scores[:, found.shape[1] - bonus.shape[1] :] += bonus
        scores[found == 0] = -np.inf
        best, numbers = _sorted_top(scores, found, k)
        short = np.flatnonzero(numbers[:, -1] == 0)
        if len(short):
            best[short], numbers[short] = self._exact.top_k(
                users[short], k, candidates, _of_rows(cells, short)
            )
        return best, numbers

    def _scores(self, users: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Exact scores of items, ``[B, n]``."""
        vectors = self._table.part(numbers.reshape(-1)).reshape(*numbers.shape, -1)
        return np.matmul(vectors, users[:, :, None])[..., 0]


def _holds(cells: Cells, numbers: np.ndarray) -> np.ndarray:
    """Which of ``numbers`` ``[B, n]`` have a cell in their row, bool."""
    stride = int(max(numbers.max(initial=0), cells.item.max(initial=0))) + 1
    key = np.sort(cells.row * stride + cells.item)
    wanted = numbers + np.arange(len(numbers))[:, None] * stride
    if not len(key):
        return np.zeros(numbers.shape, dtype=bool)
    return key[np.searchsorted(key, wanted).clip(max=len(key) - 1)] == wanted


def _first(found: np.ndarray, n: int) -> np.ndarray:
    """The first ``n`` of each row that are not 0, in their order."""
    if found.shape[1] <= n:
        return found
    absent = (found == 0).view(np.int8)  # numpy sorts small integers in linear time
    order = np.argsort(absent, axis=1, kind="stable")[:, :n]
    return np.take_along_axis(found, order, axis=1)


def _biased(cells: Cells, n_rows: int, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Items that have a bias and may be found, and these: ``[n_rows, most]`` each, else 0."""
    usable = np.isfinite(cells.value)
    usable[usable] = np.isin(cells.item[usable], candidates)
    order = np.flatnonzero(usable)[np.argsort(cells.row[usable], kind="stable")]
    row = cells.row[order]
    count = np.bincount(row, minlength=n_rows)
    within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    items = np.zeros((n_rows, int(count.max(initial=0))), dtype=np.int64)
    bias = np.zeros(items.shape, dtype=np.float32)
    items[row, within], bias[row, within] = cells.item[order], cells.value[order]
    return items, bias


def _sorted_top(scores: np.ndarray, numbers: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` best of each row, falling; 0 where the score is -inf."""
    place = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    best = np.take_along_axis(scores, place, axis=1)
    order = np.take_along_axis(place, np.argsort(-best, axis=1, kind="stable"), axis=1)
    best = np.take_along_axis(scores, order, axis=1)
    return best, np.where(best > -np.inf, np.take_along_axis(numbers, order, axis=1), 0)


def _of_rows(cells: Cells | None, rows: np.ndarray) -> Cells | None:
    if cells is None:
        return None
    place = np.searchsorted(rows, cells.row).clip(max=len(rows) - 1)
    kept = rows[place] == cells.row
    return Cells(place[kept], cells.item[kept], cells.value[kept])


def build_index(
    vectors: np.ndarray, states: np.ndarray, recall: float, k: int = 10
) -> tuple[Any, dict[str, Any]]:
    """Build an index, and choose how it is searched.

    Parameters
    ----------
    vectors : numpy.ndarray
        Of all items, float32 ``[n_items, D]``; number 0 is the padding.
    states : numpy.ndarray
        Of users, float32 ``[n, D]``: by one half the parameters are chosen, by the other the
        recall is measured.
    recall : float
        Mean share of the true best ``k`` that is to be found.
    k : int
        How many.

    Returns
    -------
    index : faiss.IndexIVF
    facts : dict
        ``probed``, ``candidates``, and the ``recall`` measured.

    Raises
    ------
    UserError
        There are too few items, or no parameters reach the recall.
    """
    faiss = faiss_module()
    n_items, width = len(vectors) - 1, vectors.shape[1]
    if n_items < FEWEST:
        raise UserError(
            f"An index of {n_items} items is not built: below {FEWEST} all are looked at in no "
            "time.",
            "Leave out --index.",
        )
    n_clusters = min(int(n_items**0.5), n_items // 39)
    n_codes = width // 2 if width % 2 == 0 else width
    index = faiss.index_factory(
        width, f"IVF{n_clusters},PQ{n_codes}x4fs", faiss.METRIC_INNER_PRODUCT
    )
    index.train(vectors[1:])
    index.add(vectors[1:])
    table = Table(vectors)
    every = np.arange(1, len(vectors))
    true = _search(ExactIndex(table), every, states, k)
    facts = _choose(index, table, states[::2], true[::2], recall)
    if facts is None:
        raise UserError(
            f"No parameters of the index reach a recall of {recall}.",
            "Ask for a lower --recall, or leave out --index.",
        )
    found = _search(FaissIndex(index, table, facts["candidates"]), every, states[1::2], k)
    return index, {**facts, "recall": round(_recall(found, true[1::2]), 4)}


def _choose(
    index: Any, table: Table, states: np.ndarray, true: np.ndarray, recall: float
) -> dict[str, Any] | None:
    """The fastest parameters that reach a recall; ``true`` ``[n, k]`` is to be found."""
    best, seconds = None, np.inf
    every = np.arange(1, len(table.values))
    for n_probed in sorted({min(n, index.nlist) for n in _PROBED}):
        index.nprobe = n_probed
        for n_candidates in _CANDIDATES:
            started = time.process_time()
            searched = FaissIndex(index, table, n_candidates)
            found = _search(searched, every, states, true.shape[1])
            taken = time.process_time() - started
            if _recall(found, true) >= recall:
                if taken < seconds:
                    best, seconds = {"probed": n_probed, "candidates": n_candidates}, taken
                break
    if best is not None:
        index.nprobe = best["probed"]
    return best


def _search(index: Index, every: np.ndarray, states: np.ndarray, k: int) -> np.ndarray:
    """The best ``k`` of the items ``every``, int64 ``[n, k]``."""
    batches = [states[first : first + _BATCH] for first in range(0, len(states), _BATCH)]
    return np.concatenate([index.top_k(batch, k, every, None)[1] for batch in batches])


def _recall(found: np.ndarray, true: np.ndarray) -> float:
    """Mean share of ``true`` that was found."""
    return float(np.mean([np.isin(t, f).mean() for t, f in zip(true, found)]))


def read_index(path: Path, manifest: Manifest, table: Table, threads: int) -> FaissIndex:
    """Read the index of an export.

    Parameters
    ----------
    path : Path
        Its file.
    manifest : Manifest
        Says how it is searched.
    table : Table
        The items' vectors.
    threads : int
        To search with; faiss has one number for the whole process.

    Raises
    ------
    UserError
        It does not fit the export.
    """
    faiss = faiss_module()
    faiss.omp_set_num_threads(threads)
    facts = manifest.index or {}
    try:
        index = faiss.read_index(str(path))
        probed, n_candidates = int(facts["probed"]), int(facts["candidates"])
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no index ({error!s:.200}).", _AGAIN) from None
    fits = index.d == manifest.width and index.ntotal == manifest.n_items - 1
    if not fits or not hasattr(index, "nprobe") or probed < 1 or n_candidates < 1:
        raise UserError(f"{path} does not fit the export's manifest.", _AGAIN)
    index.nprobe = probed
    return FaissIndex(index, table, n_candidates)
