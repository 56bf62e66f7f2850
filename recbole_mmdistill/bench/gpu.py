"""Everything that is to be known of the speed on a GPU, in one run of two minutes.

Without a GPU it runs all the same, on a few users: that shows that it works, and its figures say
nothing.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from ..model.recurrence import GRUStack, as_one_network
from . import report
from .step import Training, count_flops, peak_flops
from .synthetic import shop_settings

_STEPS = 50
_PROFILED_STEPS = 5
_BATCH_SIZES = (1024, 4096, 16384)  # targets
_THREE, _ONE_BY_ONE = "three sources", "three sources, kernels launched one by one"
_OURS: dict[str, dict[str, Any]] = {
    _THREE: {"modalities": ["text", "image"]},
    _ONE_BY_ONE: {"modalities": ["text", "image"], "cuda_graph": False},
    "ID only": {"modalities": []},
}
_SASREC = {"SASRec": 512, "SASRec, batches of 2048": 2048}  # the benchmark's batches, RecBole's

_LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")  # what the host calls

_TARGETS_OF_EPOCH = {
    "SASRec": 1 / 4,
    "SASRec, batches of 2048": 1 / 4,
    _ONE_BY_ONE: 1.0,
    "ID only": 2.0,
}


def measure(rounds: int, movielens: Path | None = None) -> Iterator[dict[str, Any]]:
    """Measure steps, epochs and evaluation beside RecBole's SASRec, and what steps consist of.

    Parameters
    ----------
    rounds : int
        Epochs and evaluations of each side, in turn.
    movielens : Path, optional
        A folder ``movielens-small`` with its atomic files.

    Yields
    ------
    dict
        With ``name``, ``ratio``, ``target`` and ``reached`` each, and more.
    """
    logging.disable(logging.WARNING)
    has_gpu = torch.cuda.is_available()
    size = {"n_users": 17_000, "n_items": 6_000} if has_gpu else {"n_users": 300, "n_items": 200}
    device = torch.cuda.get_device_name() if has_gpu else "none, a trial"
    with tempfile.TemporaryDirectory() as folder:
        common = {
            "checkpoint_dir": str(Path(folder) / "saved"),
            "use_gpu": has_gpu,
            "gpu_id": "0",
            "watch_branches": 0,
        }
        datasets = shop_settings(Path(folder), movielens=movielens, **size)
        del datasets["ml-100k"]
        for dataset, settings in datasets.items():
            for result in _of_dataset(dataset, {**settings, **common}, rounds, has_gpu):
                yield {**result, "device": device}
            if not has_gpu:
                break
    yield {**_of_recurrence(has_gpu), "device": device}


def _of_dataset(
    dataset: str, settings: dict[str, Any], rounds: int, has_gpu: bool
) -> Iterator[dict[str, Any]]:
    sides = {
        name: Training("IDMMDistill", dataset, **{**settings, **options})
        for name, options in _OURS.items()
    }
    for name, batch_size in _SASREC.items():
        sides[name] = Training("SASRec", dataset, **{**settings, "train_batch_size": batch_size})
    ours = sides[_THREE]
    steps = {name: _step_milliseconds(side) for name, side in sides.items()}
    step = steps[_THREE]
    yield {
        "name": f"milliseconds of a step, {dataset}, three sources; 8",
        **_against(step, 8.0),
        "milliseconds": steps,
    }
    epochs: dict[str, list[float]] = {name: [] for name in sides}
    rankings: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            epochs[name].append(_seconds(side.epoch, number))
            rankings[name].append(_seconds(side.evaluate))
    for name, target in _TARGETS_OF_EPOCH.items():
        what = f"seconds of an epoch of {dataset}, three sources; {name}"
        yield report.compare(what, epochs[_THREE], epochs[name], target)
    what = f"seconds of full ranking of {dataset}, three sources; SASRec"
    yield report.compare(what, rankings[_THREE], rankings["SASRec"], 1.0)
    yield _of_batch_sizes(dataset, settings, has_gpu)
    flops, peak = count_flops(ours), peak_flops("cuda" if has_gpu else "cpu")
    yield {
        "name": f"share of the peak in the products of a step, {dataset}; 1",
        **_against(flops / step * 1e3 / peak["float32"], 1.0),
        "parts_milliseconds": _parts(ours),
        "teraflops_of_products": round(flops / 1e12, 5),
        "peak_teraflops_a_second_measured": {k: round(v / 1e12, 2) for k, v in peak.items()},
    }
    waits = _waits(ours) if has_gpu else {}
    yield {
        "name": f"times that the host waits for the GPU in a step, {dataset}; 0",
        **_against(sum(waits.values()), 1.0),
        "waits": waits,
    }
    launches = {name: _launches(sides[name]) for name in (_THREE, _ONE_BY_ONE, "SASRec")}
    of_ours = launches[_THREE]
    yield {
        "name": f"launches of a step, {dataset}, three sources; 600",
        **_against(of_ours["launches"] or of_ours["calls"], 600.0),
        "launches": launches,
    }


def _against(value: float, target: float) -> dict[str, Any]:
    ratio = report.spread([value / target])
    return {"value": value, "ratio": ratio, "target": 1.0, "reached": value <= target}


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _seconds(run: Callable[..., Any], *args: Any) -> float:
    _wait()
    started = time.perf_counter()
    run(*args)
    _wait()
    return time.perf_counter() - started


def _train(training: Training, n_steps: int) -> None:
    for _ in range(n_steps):
        training.step(training.batch())


def _step_milliseconds(training: Training) -> float:
    """Of one step with its batch, mean of several without a wait between them."""
    n_steps = _STEPS if torch.cuda.is_available() else 2
    _train(training, max(2, n_steps // 5))
    found = [_seconds(_train, training, n_steps) / n_steps for _ in range(3)]
    return round(1000 * statistics.median(found), 3)


def _launches(training: Training) -> dict[str, Any]:
    """What the host launches in a step, the kernels that run, and which of them take the time.

    A recorded step's kernels are one launch.
    """
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiled:
        _train(training, _PROFILED_STEPS)
        _wait()
    events = profiled.events() or []
    on_gpu = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
    kernels = [event for event in on_gpu if not event.name.startswith(("Memcpy", "Memset"))]
    longest: dict[str, float] = {}
    for event in on_gpu:
        longest[event.name[:80]] = longest.get(event.name[:80], 0.0) + event.device_time_total
    calls = sum(event.name.startswith("aten::") for event in events)
    most = sorted(longest.items(), key=lambda pair: -pair[1])[:15]
    return {
        "launches": round(sum(e.name.startswith(_LAUNCHES) for e in events) / _PROFILED_STEPS),
        "kernels": round(len(kernels) / _PROFILED_STEPS),
        "copies_and_fills": round((len(on_gpu) - len(kernels)) / _PROFILED_STEPS),
        "calls": round(calls / _PROFILED_STEPS),
        "busy_milliseconds": round(sum(longest.values()) / 1000 / _PROFILED_STEPS, 3),
        "longest_microseconds": {name: round(us / _PROFILED_STEPS, 1) for name, us in most},
    }


def _waits(training: Training) -> dict[str, float]:
    """Times a step that the host waits, by where; batches and the trainer's own epoch included."""
    n_steps = len(training.train_data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            training.epoch(0)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    where: dict[str, float] = {}
    for warning in caught:
        if "synchron" in str(warning.message).lower():
            place = f"{Path(warning.filename).name}:{warning.lineno}"
            where[place] = where.get(place, 0.0) + 1 / n_steps
    return {place: round(share, 3) for place, share in where.items()}


def _parts(training: Training) -> dict[str, float]:
    """Milliseconds of each part, with a wait after each: their sum is more than a step's time."""
    spent: dict[str, float] = {}
    now, last = "", time.perf_counter()

    def begin(part: str) -> None:
        nonlocal now, last
        _wait()
        at = time.perf_counter()
        spent[now] = spent.get(now, 0.0) + at - last
        now, last = part, at

    with training.parts(begin):
        for _ in range(_PROFILED_STEPS):
            begin("batch")
            batch = training.batch()
            training.step(batch, begin)
            begin("")
    del spent[""]
    return {name: round(1000 * t / _PROFILED_STEPS, 3) for name, t in spent.items()}


def _of_batch_sizes(dataset: str, settings: dict[str, Any], has_gpu: bool) -> dict[str, Any]:
    """Targets a second and memory at growing batches."""
    found = {}
    for batch_size in _BATCH_SIZES:
        training = Training(
            "IDMMDistill",
            dataset,
            **{**settings, **_OURS[_THREE], "train_batch_size": batch_size},
        )
        if has_gpu:
            torch.cuda.reset_peak_memory_stats()
        milliseconds = _step_milliseconds(training)
        n_targets = min(batch_size, training.train_data._dataset.n_targets)
        found[batch_size] = {
            "step_milliseconds": milliseconds,
            "targets_a_second": round(1000 * n_targets / milliseconds),
            "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if has_gpu else None,
        }
    smallest, *_, largest = found.values()
    growth = largest["targets_a_second"] / smallest["targets_a_second"]
    return {
        "name": f"targets a second, {dataset}, batches of {_BATCH_SIZES[-1]}; {_BATCH_SIZES[0]}",
        "ratio": report.spread([growth]),
        "target": 1.0,
        "reached": growth >= 1,
        "by_batch_size": found,
    }


def _of_recurrence(has_gpu: bool) -> dict[str, Any]:
    """Three networks as one of blocks, against three calls of torch's GRU."""
    device = "cuda" if has_gpu else "cpu"
    stack = GRUStack(3, 64, 64).to(device)
    apart = [torch.nn.GRU(64, 64, batch_first=True).to(device) for _ in range(3)]
    x = torch.randn(3, 128, 20, 64, device=device)
    layer = [
        stack.get_parameter(f"{name}_l0")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]

    def one() -> None:
        as_one_network(x, [layer]).sum().backward()

    def three() -> None:
        torch.stack([gru(part)[0] for gru, part in zip(apart, x)]).sum().backward()

    for run in (one, three):
        run()
    times = ([_seconds(one) for _ in range(20)], [_seconds(three) for _ in range(20)])
    return report.compare("seconds of a recurrence forth and back, as one; as three", *times, 1.0)
