"""What a measurement is worth without its machine, its command and its spread: nothing."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Any

import torch

from ..files import write_json


def machine() -> dict[str, Any]:
    """Say in words what the figures were measured on.

    Returns
    -------
    dict
        Processor, cores, threads, memory in GiB, Python and the libraries' versions.
    """
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    libraries = ("torch", "recbole", "numpy", "pandas", "duckdb")
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_gib": round(pages / 2**30, 1),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in libraries if util.find_spec(name)},
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Summarise repeated measurements.

    Parameters
    ----------
    values : sequence of float
        In the order they were taken.

    Returns
    -------
    dict
        ``median``, ``min``, ``max`` and ``values``.
    """
    return {
        "median": round(statistics.median(values), 5),
        "min": round(min(values), 5),
        "max": round(max(values), 5),
        "values": [round(value, 5) for value in values],
    }


def compare(
    name: str, ours: Sequence[float], reference: Sequence[float], target: float
) -> dict[str, Any]:
    """Compare paired measurements of this package and of what it is to be held against.

    Parameters
    ----------
    name : str
        What was measured, with its unit.
    ours, reference : sequence of float
        Taken in turn, in one run.
    target : float
        The ratio that is wanted at most.

    Returns
    -------
    dict
        Both sides, their ratio, and whether its median is within the target.
    """
    ratio = spread([a / b for a, b in zip(ours, reference)])
    return {
        "name": name,
        "ours": spread(ours),
        "reference": spread(reference),
        "ratio": ratio,
        "reference_over_ours": round(1 / ratio["median"], 1),
        "target": round(target, 5),
        "reached": ratio["median"] <= target,
    }


def write(path: Path, results: Iterable[dict[str, Any]]) -> None:
    """Print the results, and write them with machine and command as JSON, each as it comes.

    Parameters
    ----------
    path : Path
        Where to. What a run that is cut off has measured by then stands there.
    results : iterable of dict
        Each with ``name``, ``ratio``, ``target`` and ``reached``.
    """
    command = " ".join(["python -m recbole_mmdistill.bench", *sys.argv[1:]])
    document: dict[str, Any] = {"command": command, "machine": machine(), "results": []}
    for result in results:
        verdict = "reached" if result["reached"] else "missed"
        ratio, target = result["ratio"]["median"], result["target"]
        print(f"{result['name']}: ratio {ratio:.4g} (target {target:.4g}: {verdict})", flush=True)
        document["results"].append(result)
        write_json(path, document)
