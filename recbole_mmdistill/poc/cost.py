"""What each stage costs: to train, to store, and to answer a request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..serving.export import Request, export
from ..serving.runtime import Runtime
from .lists import K, Questions
from .plan import CLOSING
from .report import Measured
from .steps import Steps

_REQUESTS = 200


def measure_all(output: Path, steps: Steps, measured: Measured, asked: Questions) -> dict[str, Any]:
    """Export the first seed of each stage, and measure how it serves.

    Parameters
    ----------
    output : Path
        The folder of the job.
    steps : Steps
        Does what was not done before.
    measured : Measured
        Has the checkpoints.
    asked : Questions
        Whose histories are requests.

    Returns
    -------
    dict
        By stage ``megabytes``, ``p50_ms``, ``p99_ms`` and ``per_second`` (one core); or ``error``.
        Without those for which there was no time.
    """
    costs = {}
    needed = CLOSING
    for name, records in measured.records.items():
        if steps.left > needed:
            before = steps.spent
            checkpoint = records[0]["checkpoint"]
            costs[name] = steps.do(
                f"cost of {name}",
                {"checkpoint": checkpoint, "ranks": records[0]["ranks"]},
                partial(_measure, Path(checkpoint), output / "exports" / name, asked),
            )
            needed = steps.spent - before
    return costs


def _measure(checkpoint: Path, folder: Path, asked: Questions) -> Mapping[str, Any]:
    from threadpoolctl import threadpool_limits

    try:
        made = export(Request(checkpoint, folder))
    except UserError as error:  # a package that an export needs is not installed
        return {"error": str(error)}
    total = sum(facts["size"] for facts in made.manifest.files.values())
    histories = asked.histories[:_REQUESTS] or [[]]
    with threadpool_limits(1):
        runtime = Runtime(folder, threads=1, verify=False)
        runtime.recommend(histories[:1], K)
        one = []
        for history in histories:
            started = time.perf_counter()
            runtime.recommend([history], K)
            one.append(1000 * (time.perf_counter() - started))
        many = histories * int(np.ceil(_REQUESTS / len(histories)))
        started = time.perf_counter()
        runtime.recommend(many, K)
        seconds = time.perf_counter() - started
    return {
        "megabytes": round(total / 1e6, 2),
        "p50_ms": round(float(np.quantile(one, 0.5)), 2),
        "p99_ms": round(float(np.quantile(one, 0.99)), 2),
        "per_second": round(len(many) / seconds),
    }
