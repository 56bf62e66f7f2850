"""Several processes on one machine, also without a GPU.

RecBole's ``run(nproc=N)`` works on CUDA alone, and its processes race: mends for both.
"""

from __future__ import annotations

import importlib
import os
import socket
from contextlib import closing
from typing import Any

import torch
from torch.multiprocessing.spawn import ProcessRaisedException
from torch.utils.data.distributed import DistributedSampler

from ..errors import UserError
from .checkpoints import unique_name

# What RecBole's collector holds a row of for each user or interaction evaluated.
_ROWS = ("rec.topk", "rec.meanrank", "rec.score", "rec.items", "data.label")


def run_recboles(rank: int, *args: Any) -> None:
    """Run RecBole in a process that RecBole's ``run(nproc=N)`` spawned.

    It stands here so that the process, which finds it by its module, imports this package, and
    with it the mends, before it imports RecBole.
    """
    import recbole.quick_start  # noqa: F401  (install keeps RecBole's own function)

    _run_recboles(rank, *args)


_run_recboles: Any = None


def install() -> None:
    """Mend what of RecBole takes part in a run of several processes."""
    global _run_recboles
    from recbole.quick_start import quick_start

    _run_recboles = quick_start.run_recboles
    quick_start.run_recboles = run_recboles
    _use_gloo_without_cuda()
    _make_folders_at_once()
    _agree_on_checkpoint()
    _evaluate_each_row_once()
    _choose_free_port(quick_start)


def settings_of_group(nproc: int) -> dict[str, Any]:
    """Give the settings with which the processes of a group on this machine find each other.

    Parameters
    ----------
    nproc : int
        Processes. Each needs its ``local_rank`` besides, from 0 on.

    Returns
    -------
    dict of str to object
        As RecBole's ``run`` (quick_start/quick_start.py:61) puts them into the config.
    """
    _share_cores(nproc)
    return {
        "world_size": nproc,
        "ip": "localhost",
        "port": str(_free_port()),
        "nproc": nproc,
        "offset": 0,
    }


def _use_gloo_without_cuda() -> None:
    """Take gloo where there is no CUDA (config/configurator.py:436 hard-codes nccl)."""
    import recbole.trainer.trainer as trainer_module
    from recbole.config import Config

    init_device = Config._init_device
    ddp = trainer_module.DistributedDataParallel

    def _init_device(self: Any) -> None:
        final = self.final_config_dict
        if "local_rank" not in final:
            return init_device(self)
        if torch.cuda.is_available():
            _check_gpus(final)
            return init_device(self)
        final["gpu_id"] = str(final["gpu_id"])
        torch.distributed.init_process_group(
            backend="gloo",
            rank=final["local_rank"] + final["offset"],
            world_size=final["world_size"],
            init_method=f"tcp://{final['ip']}:{final['port']}",
        )
        final["device"] = torch.device("cpu")
        final["single_spec"] = False
        if final["local_rank"] != 0:
            final.update(state="error", show_progress=False, verbose=False)
        return None

    def parallel(module: Any, device_ids: Any = None, **kwargs: Any) -> Any:
        return ddp(module, device_ids=device_ids if torch.cuda.is_available() else None, **kwargs)

    Config._init_device = _init_device
    trainer_module.DistributedDataParallel = parallel


def _check_gpus(final: dict[str, Any]) -> None:
    """Ask for a GPU for each process (config/configurator.py:435 asserts it without a word)."""
    gpu_id, nproc = final["gpu_id"], final["nproc"]
    named = len(gpu_id) if isinstance(gpu_id, (tuple, list)) else len(str(gpu_id).split(","))
    there = torch.cuda.device_count()
    if nproc > min(named, there):
        raise UserError(
            f"--nproc={nproc} needs a GPU for each process, but gpu_id is {gpu_id!r} and this "
            f"machine has {there}.",
            "Take fewer processes, or name as many GPUs, e.g. --gpu_id=0,1.",
        )


def _make_folders_at_once() -> None:
    """Let a folder be there already when it is made (utils/utils.py:52 looks, and then makes).

    Of two processes that look at the same time the second fails, at ``log/`` for one.
    """

    def ensure_dir(dir_path: str) -> None:
        os.makedirs(dir_path, exist_ok=True)

    for user in ("utils.logger", "trainer.trainer", "data.dataset.dataset", "data.utils"):
        vars(importlib.import_module(f"recbole.{user}"))["ensure_dir"] = ensure_dir


def _agree_on_checkpoint() -> None:
    """Name the checkpoint once, and load it only when it is there.

    trainer/trainer.py:159 names it by each process's own clock, to the second, and :583 loads it
    without waiting for the one process that writes it.
    """
    from recbole.trainer import Trainer

    init, evaluate = Trainer.__init__, Trainer.evaluate

    def __init__(self: Any, config: Any, model: Any) -> None:
        init(self, config, model)
        self.saved_model_file = unique_name(self.saved_model_file)
        if not config["single_spec"]:
            name = [self.saved_model_file]
            torch.distributed.broadcast_object_list(name, src=0)
            self.saved_model_file = name[0]

    def evaluate_together(
        self: Any, eval_data: Any, load_best_model: bool = True, *args: Any, **kwargs: Any
    ) -> Any:
        if load_best_model and not self.config["single_spec"]:
            torch.distributed.barrier()
        return evaluate(self, eval_data, load_best_model, *args, **kwargs)

    Trainer.__init__ = __init__
    Trainer.evaluate = torch.no_grad()(evaluate_together)


def _evaluate_each_row_once() -> None:
    """Measure what all processes ranked as one whole, so that two processes report what one does.

    trainer/trainer.py:632 averages the processes' metrics weighted by their batches, which is wrong
    for uneven batches and for metrics that are no means (ItemCoverage); and the sampler repeats
    rows to deal out as many to each process (data/dataloader/abstract_dataloader.py:60).
    """
    from recbole.evaluator.collector import Collector
    from recbole.trainer import Trainer

    evaluate, collect = Trainer.evaluate, Collector.get_data_struct

    def evaluate_without_repeats(self: Any, eval_data: Any, *args: Any, **kwargs: Any) -> Any:
        sampler = getattr(eval_data, "sampler", None)
        if isinstance(sampler, DistributedSampler):
            _take_out_repeats(sampler)
        return evaluate(self, eval_data, *args, **kwargs)

    def get_data_struct(self: Any) -> Any:
        struct = collect(self)
        if not self.config["single_spec"]:
            mine = {key: struct.get(key) for key in _ROWS if key in struct}
            everyones: list[dict[str, Any]] = [{} for _ in range(self.config["world_size"])]
            torch.distributed.all_gather_object(everyones, mine)
            for key in mine:
                struct.set(key, torch.cat([rows[key] for rows in everyones]))
        return struct

    def _map_reduce(self: Any, result: Any, num_sample: int) -> Any:
        return result

    Trainer.evaluate = evaluate_without_repeats
    Trainer._map_reduce = _map_reduce
    Collector.get_data_struct = get_data_struct


def _take_out_repeats(sampler: Any) -> None:
    n_rows, n_processes = len(sampler.dataset), sampler.num_replicas
    if 0 < n_rows < n_processes:
        raise UserError(
            f"{n_processes} processes cannot share {n_rows} rows to evaluate.",
            "Take fewer processes (--nproc).",
        )
    sampler.total_size = n_rows
    sampler.num_samples = len(range(sampler.rank, n_rows, n_processes))


def _choose_free_port(quick_start: Any) -> None:
    """Take any free port in place of RecBole's 5678, so that two runs fit one machine."""
    run = quick_start.run

    def run_on_free_port(*args: Any, **kwargs: Any) -> Any:
        one_machine = kwargs.get("world_size", -1) <= 0 and kwargs.get("ip", "localhost") in (
            "localhost",
            "127.0.0.1",
        )
        if kwargs.get("nproc", 1) > 1 and one_machine and "port" not in kwargs:
            kwargs["port"] = str(_free_port())
            _share_cores(kwargs["nproc"])
        try:
            return run(*args, **kwargs)
        except ProcessRaisedException as error:
            raise _as_raised(error) from None

    quick_start.run = run_on_free_port
    import recbole.quick_start

    recbole.quick_start.run = run_on_free_port


def _share_cores(nproc: int) -> None:
    """With the CPU as the device its cores are shared out, or each process takes them all."""
    if not torch.cuda.is_available():
        cores = max(1, (os.cpu_count() or 1) // nproc)
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))


def _as_raised(error: ProcessRaisedException) -> Exception:
    """Give the user's mistake that a child process raised; of others its whole traceback.

    All that comes from a child is its traceback as text, with the exception as its last line.
    """
    *_, last = str(error).strip().splitlines()
    name, _, message = last.partition(": ")
    what, mark, remedy = message.rpartition(". ")
    if name == f"{UserError.__module__}.{UserError.__name__}":
        return UserError(f"{what}.", remedy) if mark else UserError(message, "")
    return error


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]
