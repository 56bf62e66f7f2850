"""Several processes work without a GPU, and measure what one would."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import Any

import torch
from torch.utils.data.distributed import DistributedSampler

from ..errors import UserError
from ..processes import run_in_processes
from .fixes import extends, replaces

# What RecBole's collector holds a row of for each user or interaction evaluated.
_ROWS = ("rec.topk", "rec.meanrank", "rec.score", "rec.items", "data.label")


def group_to_start(nproc: int) -> dict[str, Any]:
    """Give the settings with which new processes on this machine find each other.

    Parameters
    ----------
    nproc : int
        Processes. Each needs its ``local_rank`` besides, from 0 on.

    Returns
    -------
    dict of str to object
        As RecBole's ``run`` (quick_start/quick_start.py:70) puts them into the config.
    """
    if not torch.cuda.is_available():  # the cores are shared out, or each process takes them all
        cores = max(1, (os.cpu_count() or 1) // nproc)
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    with closing(socket.socket()) as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    return {"world_size": nproc, "ip": "localhost", "port": port, "nproc": nproc, "offset": 0}


@replaces("recbole.quick_start.quick_start:run", "recbole.quick_start:run")
def run(
    model: Any,
    dataset: Any,
    config_file_list: Any = None,
    config_dict: Any = None,
    saved: bool = True,
    nproc: int = 1,
    world_size: int = -1,
    ip: str = "localhost",
    port: str | None = None,
    group_offset: int = 0,
) -> Any:
    """Start the processes of ``run(nproc=N)`` on a free port, end all if one fails, and say why.

    quick_start/quick_start.py:55 takes port 5678, so two runs do not fit one machine. Its processes
    import RecBole without this package, and give an error as the text of a traceback.
    """
    from recbole.quick_start import run_recbole

    if nproc == 1 and world_size <= 0:
        return run_recbole(model, dataset, config_file_list, config_dict, saved)
    group = group_to_start(nproc)
    if world_size > 0:  # processes on other machines must know the port
        group |= {"world_size": world_size, "ip": ip, "port": "5678", "offset": group_offset}
    if port is not None:
        group["port"] = str(port)
    given = (model, dataset, config_file_list, {**(config_dict or {}), **group}, saved)
    result, *_ = run_in_processes(_run_recbole, nproc, *given)
    return result


def _run_recbole(
    rank: int, model: Any, dataset: Any, files: Any, settings: dict[str, Any], saved: bool
) -> Any:
    from recbole.quick_start import run_recbole

    return run_recbole(model, dataset, files, {**settings, "local_rank": rank}, saved)


@extends("recbole.config.configurator:Config._init_device")
def init_device(original: Any, self: Any) -> None:
    """Let a group of processes train on CPUs, too, and take a GPU for each where there are any.

    config/configurator.py:498 takes nccl, which needs CUDA. Line 496 asserts that ``gpu_id`` names
    a GPU for each process, without a word, and by default it names one.
    """
    final = self.final_config_dict
    if "local_rank" not in final:
        return original(self)
    nproc = final["nproc"]
    if "gpu_id" not in self.external_config_dict:
        final["gpu_id"] = ",".join(map(str, range(nproc)))
    elif isinstance(final["gpu_id"], (tuple, list)):
        final["gpu_id"] = ",".join(map(str, final["gpu_id"]))
    final["gpu_id"] = str(final["gpu_id"])
    os.environ["CUDA_VISIBLE_DEVICES"] = final["gpu_id"]  # before torch looks
    if torch.cuda.is_available():
        if nproc > torch.cuda.device_count():
            raise UserError(
                f"{nproc} processes need a GPU each, but of gpu_id {final['gpu_id']!r} this "
                f"machine has {torch.cuda.device_count()}.",
                "Take fewer processes, name as many GPUs, or none (--gpu_id=) to train on CPUs.",
            )
        return original(self)
    torch.distributed.init_process_group(
        backend="gloo",
        rank=final["local_rank"] + final["offset"],
        world_size=final["world_size"],
        init_method=f"tcp://{final['ip']}:{final['port']}",
    )
    final.update(device=torch.device("cpu"), single_spec=False)
    if final["local_rank"] != 0:
        final.update(state="error", show_progress=False, verbose=False)
    return None


@extends("recbole.trainer.trainer:DistributedDataParallel")
def parallel(original: Any, module: Any, device_ids: Any = None, **kwargs: Any) -> Any:
    """Join models on the CPU, too.

    trainer/trainer.py:62 always names a GPU.
    """
    return original(module, device_ids=device_ids if torch.cuda.is_available() else None, **kwargs)


@replaces(
    "recbole.utils.utils:ensure_dir",
    "recbole.utils:ensure_dir",
    "recbole.utils.logger:ensure_dir",
    "recbole.trainer.trainer:ensure_dir",
    "recbole.data.dataset.dataset:ensure_dir",
    "recbole.data.utils:ensure_dir",
)
def ensure_dir(dir_path: str) -> None:
    """Make a folder that another process may make at the same moment.

    utils/utils.py:51 looks whether it is there, and then makes it: of two processes one fails.
    """
    os.makedirs(dir_path, exist_ok=True)


@extends("recbole.trainer.trainer:Trainer.evaluate")
def evaluate(
    original: Any,
    self: Any,
    eval_data: Any,
    load_best_model: bool = True,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Wait until the best model is saved, and evaluate each row once.

    trainer/trainer.py:583 loads the file without waiting for the process that writes it.
    data/dataloader/abstract_dataloader.py:60 repeats rows, so that each process gets as many.
    """
    sampler = getattr(eval_data, "sampler", None)
    if isinstance(sampler, DistributedSampler):
        n_rows, n_processes = len(sampler.dataset), sampler.num_replicas  # type: ignore[arg-type]
        if 0 < n_rows < n_processes:
            raise UserError(
                f"{n_processes} processes cannot share {n_rows} rows to evaluate.",
                "Take fewer processes.",
            )
        sampler.total_size = n_rows
        sampler.num_samples = len(range(sampler.rank, n_rows, n_processes))
    if load_best_model and not self.config["single_spec"]:
        torch.distributed.barrier()
    return original(self, eval_data, load_best_model, *args, **kwargs)


@extends("recbole.evaluator.collector:Collector.get_data_struct")
def get_data_struct(original: Any, self: Any) -> Any:
    """Measure the rows of all processes as one whole, and take plain numbers, too.

    evaluator/collector.py:227 calls ``.cpu()`` on everything, also on the number of items, which
    ItemCoverage needs. Metrics such as ItemCoverage are no means over rows.
    """
    collected = self.data_struct._data_dict
    numbers = {k: v for k, v in collected.items() if not isinstance(v, torch.Tensor)}
    for key in numbers:
        del collected[key]
    struct = original(self)
    collected.update(numbers)
    struct._data_dict.update(numbers)
    if not self.config["single_spec"]:
        mine = {key: struct.get(key) for key in _ROWS if key in struct}
        of_all: list[dict[str, Any]] = [{} for _ in range(self.config["world_size"])]
        torch.distributed.all_gather_object(of_all, mine)
        for key in mine:
            struct.set(key, torch.cat([rows[key] for rows in of_all]))
    return struct


@replaces("recbole.trainer.trainer:Trainer._map_reduce")
def map_reduce(self: Any, result: Any, num_sample: int) -> Any:
    """Take the metrics as they are: each process has measured all rows.

    trainer/trainer.py:632 takes the mean of the processes' metrics by their numbers of batches,
    which is wrong for uneven batches and for metrics that are no means.
    """
    return result
