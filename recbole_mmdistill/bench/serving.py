"""Recommending from an export on one core: exactly and by an index, beside the same in torch.

The user encoder is a real export of an untrained model: its time does not hang on its weights. The
item tables are made up, because nobody trains a million items for this: items in clusters whose
sizes differ, with spectra that fall, and users near one or two clusters (:func:`make_tables`).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_text
from ..serving.manifest import Branch, read_manifest, write_manifest
from ..serving.runtime import ENCODER, INDEX, TOKENS, Runtime
from ..serving.search import ExactIndex
from ..serving.tables import FLOAT32, INT8, Table, compress
from .report import compare

BEGIN, END = "<!-- serving benchmark: begin -->", "<!-- serving benchmark: end -->"
PAGE = Path("docs/serving.md")
BRANCHES = {3: ("id", "text", "image"), 2: ("id", "text"), 1: ("id",)}
_WIDTH, _LENGTH, _K = 64, 50, 10
_USERS, _REQUESTS = 1024, 200
_STATES = 2000  # by which an index is built and measured
_RECALL = 0.99
_WANTED = {"users": 2000, "times": 10, "milliseconds": 10, "memory": 1.3}
_AT = 100_000  # items of the targets


def measure(rounds: int, items: str) -> list[dict[str, Any]]:
    """Measure all cases, and write the table of docs/serving.md.

    Parameters
    ----------
    rounds : int
        Measurements of each case.
    items : str
        Sizes of catalogues, e.g. ``10000,100000,1000000``.

    Returns
    -------
    list of dict
        As :func:`recbole_mmdistill.bench.report.compare`, with a ``row`` of the table.
    """
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        exports = {n: export_untrained(Path(folder), names) for n, names in BRANCHES.items()}
        for n_items in map(int, items.split(",")):
            for n_branches, (small, reader) in exports.items():
                results += _measure_size(Path(folder), small, reader, n_items, n_branches, rounds)
        results += [_bare(*make_tables(_AT, 3), rounds)]
    results += _targets(results)
    _write_table(results)
    return results


def export_untrained(folder: Path, branches: tuple[str, ...]) -> tuple[Path, Any]:
    """Export an untrained model of these sources; the folder, and its encoder in torch."""
    from ..integration.config import make_config
    from ..pipeline import prepare
    from ..serving.export import Request, export
    from ..serving.recommender import Recommender
    from .synthetic import write_interactions, write_random_features

    tokens = [f"i{number}" for number in range(200)]
    place = write_interactions(folder, "shop", n_users=300, n_items=200, per_user=20)
    for modality in branches[1:]:
        write_random_features(place, "shop", modality, tokens, 64)
    settings = {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "modalities": list(branches[1:]),
        "hidden_size": _WIDTH,
        "MAX_ITEM_LIST_LENGTH": _LENGTH,
        "use_gpu": False,
    }
    run = prepare(make_config("IDMMDistill", "shop", settings))
    run.trainer._save_checkpoint(0, verbose=False)
    path = Path(run.trainer.saved_model_file)
    made = export(Request(path, folder / f"small-{len(branches)}"))
    model = Recommender.from_checkpoint(path, device="cpu").model
    return made.folder, model.reader(branches)


def make_tables(
    n_items: int, n_branches: int, n_users: int = _STATES, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Make items and users up.

    Of each branch an item's vector is its cluster's centre and something of its own; variances of
    the dimensions fall with a power of their rank; popular items lie farther out in one direction,
    towards which all users lean. A user lies between the centres of two clusters.

    Returns
    -------
    vectors : numpy.ndarray
        float32 ``[n_items, n_branches * 64]``.
    states : numpy.ndarray
        float32 ``[n_users, n_branches * 64]``.
    """
    rng = np.random.default_rng(seed)
    n_clusters = int(n_items**0.5)
    size = rng.dirichlet(np.ones(n_clusters))
    cluster = rng.choice(n_clusters, n_items, p=size)
    popularity = np.log(rng.zipf(1.5, n_items).clip(max=10_000))
    liked = rng.choice(n_clusters, (n_users, 2), p=size)
    share = rng.dirichlet([1, 0.3], n_users)
    vectors = np.empty((n_items, n_branches * _WIDTH), dtype=np.float32)
    states = np.empty((n_users, n_branches * _WIDTH), dtype=np.float32)
    spectrum = np.arange(1, _WIDTH + 1) ** -0.5
    for branch in range(n_branches):
        here = slice(branch * _WIDTH, (branch + 1) * _WIDTH)
        turn = np.linalg.qr(rng.normal(size=(_WIDTH, _WIDTH)))[0]
        centre = rng.normal(size=(n_clusters, _WIDTH)) * spectrum
        for first in range(0, n_items, 100_000):  # a million items in float64 are half a GiB
            part = slice(first, min(first + 100_000, n_items))
            own = rng.normal(size=(part.stop - part.start, _WIDTH)) * spectrum
            item = centre[cluster[part]] + 0.6 * own
            item[:, 0] += 0.1 * popularity[part]
            vectors[part, here] = item @ turn
        user = (centre[liked] * share[..., None]).sum(1)
        user += 0.5 * rng.normal(size=user.shape) * spectrum
        user[:, 0] += 0.5
        states[:, here] = user @ turn
    return vectors, states


def write_export(
    folder: Path, small: Path, vectors: np.ndarray, dtype: str, states: np.ndarray | None = None
) -> dict[str, Any] | None:
    """Write an export of made-up items around a real user encoder.

    Parameters
    ----------
    folder : Path
        Where to.
    small : Path
        An export, of which the encoder is taken.
    vectors : numpy.ndarray
        Of the items, ``[n_items, width]``.
    dtype : str
        Of the table.
    states : numpy.ndarray, optional
        Of users, by which an index is built.

    Returns
    -------
    dict or None
        What was measured of the index.
    """
    folder.mkdir()
    n_items = len(vectors)
    manifest = read_manifest(small)
    (folder / ENCODER).write_bytes((small / ENCODER).read_bytes())
    tokens = ["[PAD]", *(f"i{number}" for number in range(1, n_items))]
    (folder / TOKENS).write_text(json.dumps(tokens), encoding="utf-8")
    table = compress(vectors, dtype)
    n_branches = len(manifest.branches)
    arrays = {
        "table": table.values,
        "weights": np.full((n_items, n_branches), 1 / n_branches, dtype=np.float32),
        "popularity": np.arange(n_items)[::-1].astype(np.int64),
        "means": np.zeros(manifest.width, dtype=np.float32),
        "repeat_bias": np.zeros(manifest.max_length, dtype=np.float32),
        "read_numbers": np.zeros(0, dtype=np.int64),
        "read_vectors": np.zeros((0, manifest.read_width), dtype=np.float32),
    }
    if table.scales is not None:
        arrays["scales"] = table.scales
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    facts = None
    if states is not None:
        from ..serving.approximate import build_index, faiss_module

        faiss_module().omp_set_num_threads(1)
        index, facts = build_index(vectors, states, _RECALL, _K)
        faiss_module().write_index(index, str(folder / INDEX))
    branches = [Branch(b.name, b.width, 1 / n_branches) for b in manifest.branches]
    write_manifest(
        folder,
        replace(
            manifest, n_items=n_items, branches=branches, dtype=dtype, repeats=True, index=facts
        ),
    )
    return facts


def _measure_size(
    folder: Path, small: Path, reader: Any, n_items: int, n_branches: int, rounds: int
) -> Iterator[dict[str, Any]]:
    vectors, states = make_tables(n_items, n_branches)
    rng = np.random.default_rng(1)
    histories = [
        [f"i{item}" for item in rng.integers(1, n_items, rng.integers(5, 2 * _LENGTH))]
        for _ in range(_USERS)
    ]
    theirs = _in_torch(reader, vectors, histories, rounds)
    for dtype, indexed in ((FLOAT32, False), (INT8, False), (FLOAT32, True)):
        place = folder / f"{n_items}-{n_branches}-{dtype}-{indexed}"
        facts = write_export(place, small, vectors, dtype, states if indexed else None)
        runtime = Runtime(place, verify=False)
        recommend = partial(runtime.recommend, k=_K)
        numbered = runtime.histories(histories)
        whole = _seconds(partial(recommend, numbered), rounds)
        encoding = _seconds(partial(runtime.states, numbered), rounds)
        few = [partial(recommend, [history]) for history in histories[:_REQUESTS]]
        one = [seconds for work in few for seconds in _seconds(work, 1)]
        name = f"{dtype}, exact" if facts is None else f"{dtype}, index"
        row = {
            "items": n_items,
            "branches": n_branches,
            "search": name,
            "recall": None if facts is None else facts["recall"],
            "users_per_second": round(_USERS / statistics.median(whole)),
            "search_users_per_second": round(
                _USERS / max(1e-9, statistics.median(whole) - statistics.median(encoding))
            ),
            "p50_ms": round(1000 * float(np.quantile(one, 0.5)), 2),
            "p99_ms": round(1000 * float(np.quantile(one, 0.99)), 2),
            "torch_users_per_second": round(_USERS / statistics.median(theirs)),
            "memory_ratio": _memory_ratio(place, dtype),
        }
        result = compare(
            f"{n_items:,} items, {n_branches} branches, {name}: seconds for {_USERS} users; torch",
            whole,
            theirs,
            1.0,
        )
        yield {**result, "row": row}


def _bare(vectors: np.ndarray, states: np.ndarray, rounds: int) -> dict[str, Any]:
    """Compare the exact search with the bare product and top-k in torch, of the same states."""
    import torch

    table, every = torch.from_numpy(vectors), np.arange(1, len(vectors))
    batches = [states[first : first + 256] for first in range(0, _USERS, 256)]
    index = ExactIndex(Table(vectors))
    ours, theirs = [], []
    for _ in range(rounds):
        ours += _seconds(lambda: [index.top_k(batch, _K, every, None) for batch in batches], 1)
        theirs += _seconds(
            lambda: [(torch.from_numpy(batch) @ table.T).topk(_K, dim=1) for batch in batches], 1
        )
    name = f"{_AT:,} items, 3 branches: seconds of the search; bare product and top-k in torch"
    return compare(name, ours, theirs, 1 / 0.7)


def _in_torch(reader: Any, vectors: np.ndarray, histories: Any, rounds: int) -> list[float]:
    """Seconds of encoder, matrix product and top-k in torch, of histories in batches by length."""
    import torch

    table = torch.from_numpy(vectors)
    by_length = sorted((history[-_LENGTH:] for history in histories), key=len)
    at_once = 256 if len(vectors) <= 100_000 else 64
    batches = []
    for first in range(0, len(by_length), at_once):
        some = by_length[first : first + at_once]
        numbers = [torch.tensor([int(token[1:]) for token in history]) for history in some]
        item_seq = torch.nn.utils.rnn.pad_sequence(numbers, batch_first=True)
        batches.append((item_seq, torch.tensor([len(history) for history in some])))

    def recommend() -> None:
        with torch.no_grad():
            for item_seq, length in batches:
                states = reader(table[item_seq], length)
                scores = states @ table.T
                scores.scatter_(1, item_seq, -torch.inf)
                scores.topk(_K, dim=1)

    return _seconds(recommend, rounds)


def _seconds(work: Callable[[], Any], rounds: int) -> list[float]:
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return taken


def _memory_ratio(place: Path, dtype: str) -> float:
    """Peak memory of a process that recommends, above that of its imports, to the table's size."""
    command = [sys.executable, "-m", __name__, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    table = (place / "table.npy").stat().st_size / 2**20
    return round(float(done.stdout.split()[-1]) / table, 3)


def _targets(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is wanted, as ratios of at most 1: memory at the largest size, else 100,000 items."""
    rows = [result["row"] for result in results if "row" in result]
    of_size = {(row["branches"], row["search"]): row for row in rows if row["items"] == _AT}
    if not of_size:
        return []
    exact, index = of_size[3, f"{FLOAT32}, exact"], of_size[3, f"{FLOAT32}, index"]
    of_three = [row for row in rows if row["branches"] == 3 and row["search"] == exact["search"]]
    largest = max(of_three, key=lambda row: row["items"])
    speed, times = _WANTED["users"], _WANTED["times"]
    where = f"{_AT:,} items, 3 branches"
    return [
        _target(f"{where}: users a second, exact, of {speed}", speed, exact["users_per_second"]),
        _target(
            f"{where}: users a second of the search by the index, of {speed * times}",
            speed * times,
            index["search_users_per_second"],
        ),
        _target(f"{where}: recall of the index, of {_RECALL}", _RECALL, index["recall"]),
        _target(
            f"{where}: p99 of one exact request, ms of {_WANTED['milliseconds']}",
            exact["p99_ms"],
            _WANTED["milliseconds"],
        ),
        _target(
            f"{largest['items']:,} items, 3 branches: peak memory, of {_WANTED['memory']} tables",
            largest["memory_ratio"],
            _WANTED["memory"],
        ),
    ]


def _target(name: str, smaller: float, larger: float) -> dict[str, Any]:
    return compare(name, [smaller], [max(larger, 1e-9)], 1.0)


def _write_table(results: list[dict[str, Any]]) -> None:
    """Put the rows between the marks of docs/serving.md, if that is here."""
    if not PAGE.is_file():
        return
    lines = [
        "| items | branches | table, search | users/s | search alone | one, p50 / p99 ms | torch |",
        "|--:|--:|---|--:|--:|--:|--:|",
    ]
    for row in (result["row"] for result in results if "row" in result):
        recall = "" if row["recall"] is None else f" (recall {row['recall']:.3f})"
        lines.append(
            f"| {row['items']:,} | {row['branches']} | {row['search']}{recall} | "
            f"{row['users_per_second']:,} | {row['search_users_per_second']:,} | "
            f"{row['p50_ms']:.1f} / {row['p99_ms']:.1f} | {row['torch_users_per_second']:,} |"
        )
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(PAGE, f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


def _peak(place: str) -> float:
    """Recommend once to some users in this process; MiB above what the imports took."""
    import onnxruntime  # noqa: F401

    from .data import peak_mib

    before = peak_mib()
    runtime = Runtime(place, verify=False)
    rng = np.random.default_rng(0)
    histories = [
        [f"i{item}" for item in rng.integers(1, runtime.manifest.n_items, 50)] for _ in range(256)
    ]
    runtime.recommend(histories, _K)
    return peak_mib() - before


if __name__ == "__main__":
    print(_peak(sys.argv[1]))
