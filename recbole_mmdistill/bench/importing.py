"""Ten million interactions from a CSV file to atomic files: seconds, and memory within 2 GiB."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .command import run_command
from .report import compare, spread

_ROWS, _USERS, _ITEMS = 10_000_000, 1_000_000, 200_000
_CORES = 2
_LIMIT_MIB = 2048.0
_WORDS = {
    "plain": [],
    "every filter, and items": [
        *("--dedupe", "--keep_last=50", "--min_user=5", "--min_item=5"),
        *("--items=products.parquet", "--item_id=sku", "--text=title"),
    ],
}


def measure(rounds: int) -> list[dict[str, Any]]:
    """Measure time and peak memory of the command, in processes of their own.

    Parameters
    ----------
    rounds : int
        Processes of each kind.

    Returns
    -------
    list of dict
        As :func:`recbole_mmdistill.bench.report.compare` (memory against the limit), with
        ``seconds`` and ``cpu_seconds`` (of all threads).
    """
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in _WORDS}
    with tempfile.TemporaryDirectory() as folder:
        _write_source(Path(folder))
        for _ in tqdm(range(rounds), desc="rounds"):
            for name, results in taken.items():
                words = ["import", "orders.csv", "--dataset=orders", "--overwrite"]
                results.append(run_command([*words, *_WORDS[name]], folder, _CORES))
    return [
        {
            **compare(
                f"{_ROWS:,} interactions on {_CORES} cores, {name}: peak memory, MiB of 2 GiB",
                [result["memory"] for result in results],
                [_LIMIT_MIB] * rounds,
                1.0,
            ),
            "seconds": spread([result["seconds"] for result in results]),
            "cpu_seconds": spread([result["cpu_seconds"] for result in results]),
        }
        for name, results in taken.items()
    ]


def _write_source(folder: Path) -> None:
    """Write orders and products; popularity falls off as in shops."""
    import duckdb

    con = duckdb.connect(config={"threads": _CORES})
    con.execute("SELECT setseed(0.5)")
    con.execute(
        f"""
        COPY (SELECT 'customer' || floor(pow(random(), 2) * {_USERS})::INTEGER AS customer,
          'SKU-' || floor(pow(random(), 3) * {_ITEMS})::INTEGER AS sku,
          ceil(5 * random())::INTEGER AS stars,
          TIMESTAMP '2020-01-01' + to_seconds(floor(1e8 * random())) AS bought_at
        FROM range({_ROWS})) TO '{folder}/orders.csv' (HEADER)
        """
    )
    con.execute(
        f"""
        COPY (SELECT 'SKU-' || i AS sku, 'A plain thing, number ' || i AS title
        FROM range({_ITEMS}) items(i)) TO '{folder}/products.parquet' (FORMAT parquet)
        """
    )
