"""A training step taken apart: operator calls, and CPU time, by part of the model.

An operator call is a call that computes or moves something; on a GPU it launches a kernel or a few.
Views and look-ups of shapes are none. SASRec is RecBole's own, on the same data.
"""

from __future__ import annotations

import copy
import logging
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ..integration.config import make_config
from ..integration.training import to_device
from ..model import losses
from ..model.device import tiny_numbers_as_zero
from ..pipeline import prepare
from . import report
from .synthetic import shop_settings

_STEPS = 20  # timed in a round
_VIEWS = {
    *("view", "_unsafe_view", "_reshape_alias", "expand", "permute", "transpose", "t", "detach"),
    *("select", "slice", "unsqueeze", "squeeze", "split", "split_with_sizes", "chunk", "unbind"),
    *("as_strided", "alias", "diagonal", "unfold", "narrow", "empty", "empty_like", "new_empty"),
    *(
        "empty_strided",
        "new_empty_strided",
        "_local_scalar_dense",
        "sym_size",
        "is_pinned",
        "unsafe_split",
    ),
    *("lift_fresh", "result_type", "_to_copy_"),
}


class Calls(TorchDispatchMode):
    """Counts operator calls by the part of the step that makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.part = "rest"
        self.by_part: Counter[str] = Counter()
        self.by_operator: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in _VIEWS:
            self.by_part[self.part] += 1
            self.by_operator[name] += 1
        return func(*args, **(kwargs or {}))


class Training:
    """Model, batches and optimiser, a step at a time as RecBole's trainer makes it.

    Parameters
    ----------
    model, dataset : str
        Their names.
    **settings
        Over the defaults.
    """

    def __init__(self, model: str, dataset: str, **settings: Any) -> None:
        prepared = prepare(make_config(model, dataset, {"use_gpu": False, **settings}))
        self.train_data, self.test_data = prepared.train_data, prepared.test_data
        self.trainer, self.model = prepared.trainer, prepared.model.train()
        self.optimizer = self.trainer.optimizer
        self._batches: Iterator[Any] = iter(())

    def epoch(self, number: int) -> None:
        """Train an epoch through RecBole's trainer."""
        self.trainer._train_epoch(self.train_data, number, show_progress=False)

    def evaluate(self) -> None:
        """Rank the test targets among all items, through RecBole's trainer."""
        self.trainer.evaluate(self.test_data, load_best_model=False, show_progress=False)

    def batch(self) -> Any:
        """The next batch of an endless training."""
        while True:
            for batch in self._batches:
                return to_device(batch, self.trainer.device)
            self._batches = iter(self.train_data)

    def step(self, batch: Any, begin: Callable[[str], None] = lambda part: None) -> None:
        """Train on a batch; ``begin`` is told the name of each part as it begins."""
        begin("candidates and rest")
        with tiny_numbers_as_zero():  # as in an epoch
            self.optimizer.zero_grad()
            losses = self.model.calculate_loss(batch)
            begin("loss")
            torch.stack([*losses] if isinstance(losses, tuple) else [losses]).sum().backward()
            begin("optimiser")
            self.optimizer.step()

    @contextmanager
    def parts(self, begin: Callable[[str], None]) -> Iterator[None]:
        """Tell ``begin`` of the model's parts, forward and backward, inside the block."""
        network = getattr(self.model, "network", None)
        if network is None:
            yield
            return
        of = {
            "sequence encoder": network.user_encoder,
            "item encoder": network.item_encoder,
            "loss": self.model.objective,
        }
        of |= {f"source {name}": module for name, module in network.source_embedding.items()}
        hooks = []
        for name, module in of.items():

            def enter(module: Any, args: Any, name: str = name) -> None:
                begin(name)

            def leave(module: Any, args: Any, output: Any, name: str = name) -> None:
                tensor = output if isinstance(output, Tensor) else output[0]
                if isinstance(tensor, Tensor) and tensor.requires_grad:
                    tensor.register_hook(lambda _: begin(f"{name}, backward"))
                begin("candidates and rest")

            hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
        average = self.model._average_last_step

        def averaging() -> None:
            begin("running average")
            average()
            begin("candidates and rest")

        self.model._average_last_step = averaging
        try:
            yield
        finally:
            del self.model._average_last_step
            for hook in hooks:
                hook.remove()


def count_calls(training: Training) -> tuple[dict[str, int], dict[str, int]]:
    """Count a step's operator calls, by part and by operator (the most frequent)."""
    training.step(training.batch())
    batch = training.batch()
    with Calls() as calls:

        def begin(part: str) -> None:
            calls.part = part

        with training.parts(begin):
            training.step(batch, begin)
    return dict(calls.by_part.most_common()), dict(calls.by_operator.most_common(20))


def count_launches(training: Training) -> dict[str, int]:
    """Count the operator calls of a step as it runs on a GPU, without one.

    Tensors of the device ``meta`` have shapes alone; a step that asks for a value of one fails. The
    recurrence is one call of cuDNN and one in backward there, each of some launches a position of
    the histories; here it is a part of its own.
    """
    model = copy.deepcopy(training.model).to("meta")
    of_cpu, _ = count_calls(training)
    optimizer = SimpleNamespace(zero_grad=model.zero_grad, step=lambda: None)  # fused on a GPU too
    on_meta = copy.copy(training)
    vars(on_meta).update(model=model, optimizer=optimizer)
    seeded, gru = losses.seeded, torch._VF.gru  # type: ignore[attr-defined]
    with Calls() as calls:

        def begin(part: str) -> None:
            calls.part = part

        def counted_gru(x: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
            before = calls.part
            begin("recurrence in cuDNN")
            if x.requires_grad:
                x.register_hook(lambda _: begin("sequence encoder, backward"))
            states, last = gru(x, *args)
            states.register_hook(lambda _: begin("recurrence in cuDNN"))
            begin(before)
            return states, last

        losses.seeded = lambda on, seed: None  # type: ignore[assignment,return-value]
        vars(torch._VF)["gru"] = counted_gru  # type: ignore[attr-defined]
        try:
            for _ in range(2):  # the second knows the optimiser's state
                calls.by_part.clear()
                calls.by_operator.clear()
                with on_meta.parts(begin):
                    on_meta.step(training.batch().to("meta"), begin)
        finally:
            losses.seeded = seeded
            vars(torch._VF)["gru"] = gru  # type: ignore[attr-defined]
    return {**dict(calls.by_part.most_common()), "optimiser": of_cpu["optimiser"]}


def count_flops(training: Training) -> int:
    """Floating-point operations of a step's matrix products, without those inside of cuDNN."""
    batch = training.batch()
    with FlopCounterMode(display=False) as counter:
        training.step(batch)
    return int(counter.get_total_flops())


def peak_flops(device: str) -> dict[str, float]:
    """Operations a second that a large square product reaches, by kind of number."""
    size = 512 if device == "cpu" else 8192
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(size, size, device=device, dtype=dtype)
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            torch.mm(a, a)
            if device != "cpu":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
        found[str(dtype).removeprefix("torch.")] = 2 * size**3 / min(seconds)
    return found


def time_parts(training: Training, n_steps: int = _STEPS) -> dict[str, float]:
    """CPU milliseconds of each part, means over steps; ``step`` is the median of the whole."""
    training.step(training.batch())
    spent: Counter[str] = Counter()
    now = "rest"
    last = time.process_time()

    def begin(part: str) -> None:
        nonlocal now, last
        at = time.process_time()
        spent[now] += at - last  # type: ignore[assignment]
        now, last = part, at

    whole = []
    with training.parts(begin):
        for _ in range(n_steps):
            started = time.process_time()
            begin("batch")
            training.step(training.batch(), begin)
            begin("outside")
            whole.append(time.process_time() - started)
    del spent["outside"], spent["rest"]
    parts = {name: round(1000 * t / n_steps, 2) for name, t in spent.most_common()}
    return {"step": round(1000 * statistics.median(whole), 2), **parts}


def measure(rounds: int) -> list[dict[str, Any]]:
    """Count and time a step of each dataset, three sources, against one of SASRec.

    Parameters
    ----------
    rounds : int
        Of timing, in turn.

    Returns
    -------
    list of dict
        With ``calls`` and ``milliseconds`` by part.
    """
    logging.disable(logging.WARNING)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        common = {"checkpoint_dir": str(Path(folder) / "saved")}
        for dataset, settings in shop_settings(Path(folder)).items():
            ours = Training(
                "IDMMDistill", dataset, modalities=["text", "image"], **settings, **common
            )
            alone = Training("IDMMDistill", dataset, modalities=[], **settings, **common)
            theirs = Training("SASRec", dataset, **settings, **common)
            launches = count_launches(ours)
            calls, operators = count_calls(ours)
            reference, _ = count_calls(theirs)
            times: list[dict[str, float]] = []
            of_alone, of_sasrec = [], []
            for _ in range(rounds):
                times.append(time_parts(ours))
                of_alone.append(time_parts(alone)["step"])
                of_sasrec.append(time_parts(theirs, 3)["step"])
            flops, peak = count_flops(ours), peak_flops("cpu")
            step = statistics.median(t["step"] for t in times)
            total = sum(launches.values()) - launches["recurrence in cuDNN"]
            results.append(
                {
                    "name": f"operator calls of a step on a GPU, {dataset}, three sources; 600",
                    "ratio": report.spread([total / 600]),
                    "target": 1.0,
                    "reached": total <= 600,
                    "on_a_gpu_without_recurrence": total,
                    "on_a_gpu": launches,
                    "on_a_cpu_total": sum(calls.values()),
                    "on_a_cpu": calls,
                    "operators": operators,
                    "sasrec_on_a_cpu_total": sum(reference.values()),
                    "milliseconds": {
                        part: round(statistics.median(t.get(part, 0.0) for t in times), 2)
                        for part in times[0]
                    },
                    "gigaflops_of_products": round(flops / 1e9, 2),
                    "peak_gigaflops_a_second": {k: round(v / 1e9) for k, v in peak.items()},
                    "share_of_peak": round(flops / peak["float32"] / step * 1e3, 3),
                    "id_only_step_milliseconds": report.spread(of_alone),
                    "sasrec_step_milliseconds": report.spread(of_sasrec),
                }
            )
    return results
