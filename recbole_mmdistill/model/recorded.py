"""Training steps recorded once and launched as a whole, as CUDA graphs.

A step is some hundred short kernels: a host takes several times longer to launch them one by one
than a GPU to run them. Recorded, they are launched at once. A recording has fixed sizes and reads
its inputs from fixed places; so the targets of a batch, whose number varies, are filled up with
rows that count in no loss (:class:`.positions.Positions`).

What Python does between the kernels is done once, when a step is recorded. So only steps made of
this package's parts are, of which that is known; all others are computed as ever.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from . import device
from .candidates import CandidateSampler, Catalogue
from .losses import seeded
from .network import Network
from .objective import Objective, ObjectiveValue
from .positions import Positions, positions_at
from .rows import RowEmbedding

_SEEN_BEFORE = 2  # steps of a kind before one is recorded: what comes once is not worth it
_MOST = 8  # recordings
_GRANULES = 16  # sizes between a power of two and the next
_OURS = __name__.partition(".")[0]


class Graph(Protocol):
    """What is needed of ``torch.cuda.CUDAGraph``."""

    def replay(self) -> None:
        """Launch what was recorded."""

    def pool(self) -> Any:
        """Give the memory that it works in."""


class _Kind(NamedTuple):
    """What steps must have in common to be one recording."""

    shape: tuple[int, ...]  # of the histories
    n_rows: int
    precision: torch.dtype | None
    weights: tuple[float, ...]  # of the losses, but the distillation's


class RecordedSteps:
    """A model's training steps, recorded where that is possible and pays.

    Parameters
    ----------
    network : Network
        Scores a step.
    objective : Objective
        Its losses.
    sampler : CandidateSampler
        Chooses its candidates.
    """

    def __init__(self, network: Network, objective: Objective, sampler: CandidateSampler) -> None:
        self.network, self.objective, self.sampler = network, objective, sampler
        self._can_record = True
        self.n_launches = 0
        self._options: list[Any] = []
        self.clear()
        self.look()

    def __deepcopy__(self, memo: dict[int, Any]) -> RecordedSteps:
        return RecordedSteps(
            *(memo.get(id(x), x) for x in (self.network, self.objective, self.sampler))
        )

    def look(self) -> None:
        """Look at the parts anew, as is done when training begins or goes on.

        If somebody has changed one, for example a probability of dropout, all recordings are
        forgotten.
        """
        self._modules = [*self.network.modules(), *self.objective.modules()]
        options = [(id(module), _options_of(module)) for module in self._modules]
        if options != self._options:
            self.clear()
            self._options = options
        self._is_known = (
            self.objective.is_fused
            and all(_is_ours(type(part)) for part in (self.sampler, *self._modules))
            # The rows of a large table are others each time.
            and not any(isinstance(module, RowEmbedding) for module in self._modules)
        )

    def clear(self) -> None:
        """Forget all recordings: what they read or write is somewhere else now."""
        self._seen: Counter[_Kind] = Counter()
        self._recordings: dict[_Kind, _Recording] = {}
        self._places: list[tuple[int, bool]] = []
        self.buffers: dict[str, Tensor] = {}  # of gradients, which all recordings leave there

    def __call__(
        self,
        item_seq: Tensor,
        target_seq: Tensor,
        positions: Positions,
        catalogue: Catalogue,
        epoch: float,
        step: int,
    ) -> tuple[Tensor, ...] | None:
        """Compute the loss of a training step, and its gradient in the same go.

        Parameters
        ----------
        item_seq, target_seq, positions, catalogue, epoch, step
            See :meth:`.network.Network.score_step`.

        Returns
        -------
        tuple of Tensor or None
            The terms of :class:`.objective.ObjectiveValue`; gradients come of their sum, before the
            next step. None: this step is to be computed otherwise.
        """
        if not records_on(item_seq) or not self._is_plain(item_seq):
            return None
        self._forget_if_moved()
        weights = self.objective.weights_at(epoch)
        kd_weight = weights.pop(self.objective.distilled or "", 0.0)
        kind = _Kind(
            tuple(item_seq.shape),
            filled_size(len(positions.target)),
            device.lower_precision(item_seq),
            tuple(weights.values()),
        )
        self._seen[kind] += 1
        recording = self._recordings.get(kind)
        if recording is None:
            if self._seen[kind] <= _SEEN_BEFORE or len(self._recordings) >= _MOST:
                return None
            recording = _Recording(self, kind, item_seq, catalogue)
        recording.fill(item_seq, target_seq, positions, kd_weight, step)
        if kind not in self._recordings:
            try:
                recording.record(next((r.graph for r in self._recordings.values()), None))
            except RuntimeError as error:
                warnings.warn(f"Steps are not recorded (cuda_graph): {error}", stacklevel=2)
                self._can_record = False
                return None
            self._recordings[kind] = recording
        terms = recording.replay()
        self.objective.tell(ObjectiveValue(terms, recording.parts))
        return terms

    def _is_plain(self, item_seq: Tensor) -> bool:
        """Whether a step does nothing but launch what was recorded."""
        return (
            self._can_record
            and self._is_known
            and torch.is_grad_enabled()
            and not torch.is_anomaly_enabled()
            and not (torch.distributed.is_available() and torch.distributed.is_initialized())
            and device.lower_precision(item_seq) != torch.float16  # its gradients are scaled
            and not any(map(_has_hooks, self._modules))  # they hear nothing of a launch
        )

    def _forget_if_moved(self) -> None:
        every = (p for module in self._modules for p in module._parameters.values())
        places = [(p.data_ptr(), p.requires_grad) for p in every if p is not None]
        if places != self._places:
            self.clear()
            self._places = places


class _Recording:
    """A step of one kind: its inputs, and what it leaves."""

    def __init__(
        self, steps: RecordedSteps, kind: _Kind, item_seq: Tensor, catalogue: Catalogue
    ) -> None:
        self.steps, self._kind, self._catalogue = steps, kind, catalogue
        self._item_seq, self._target_seq = torch.zeros_like(item_seq), torch.zeros_like(item_seq)
        options: dict[str, Any] = {"device": item_seq.device}
        self._row, self._position = torch.zeros(2, kind.n_rows, dtype=torch.long, **options)
        self._real = torch.zeros(kind.n_rows, dtype=torch.bool, **options)
        self._kd_weight = torch.zeros((), **options)
        self._generator = seeded(item_seq.device, 0)
        self._named = {f"network.{n}": p for n, p in steps.network.named_parameters()}
        self._parameters = [p for p in self._named.values() if p.requires_grad]
        for name, parameter in self._named.items():
            if name not in steps.buffers:
                steps.buffers[name] = torch.empty_like(parameter)
        self.graph: Graph | None = None

    def fill(
        self,
        item_seq: Tensor,
        target_seq: Tensor,
        positions: Positions,
        kd_weight: float,
        step: int,
    ) -> None:
        """Take in a batch."""
        n = len(positions.target)
        self._item_seq.copy_(item_seq)
        self._target_seq.copy_(target_seq)
        for whole, part in ((self._row, positions.row), (self._position, positions.position)):
            whole[:n] = part
            whole[n:] = 0
        self._real[:n] = True
        self._real[n:] = False
        self._kd_weight.fill_(kd_weight)
        self._generator.manual_seed(step)

    def record(self, beside: Graph | None) -> None:
        """Record the step, in the memory of another recording; what was filled in stays."""
        self.graph, (self.terms, self.parts, self.gradients) = record(
            self._compute, self._generator, beside
        )

    def _compute(self) -> tuple[Tensor, dict[str, Tensor], list[Tensor | None]]:
        # With parameters that nobody else has: autograd waits for the stream on which a parameter
        # was used before, if what it was used for is still there.
        aliases: dict[str, Tensor] = {
            name: nn.Parameter(p.detach(), p.requires_grad) for name, p in self._named.items()
        }
        terms, parts = functional_call(_Step(self.steps.network, self._score), aliases, ())
        learned = {name: alias for name, alias in aliases.items() if alias.requires_grad}
        found = torch.autograd.grad(terms.sum(), [*learned.values()], allow_unused=True)
        known = {name: gradient for name, gradient in zip(learned, found) if gradient is not None}
        gradients = {name: self.steps.buffers[name] for name in known}
        torch._foreach_copy_([*gradients.values()], [*known.values()])
        return terms.detach(), parts, [gradients.get(name) for name in learned]

    def _score(self) -> tuple[Tensor, dict[str, Tensor]]:
        steps = self.steps
        where = positions_at(self._target_seq, self._row, self._position, self._real)
        dtype = self._kind.precision
        kind = self._item_seq.device.type
        with torch.autocast(kind, dtype, enabled=dtype is not None, cache_enabled=False):
            scores = steps.network.score_step(
                self._item_seq,
                self._target_seq,
                where,
                steps.sampler,
                self._catalogue,
                epoch=0.0,
                step=0,
                generator=self._generator,
            )
            weights: dict[str, float | Tensor] = dict(steps.objective.weights_at(0.0))
            if steps.objective.distilled is not None:
                weights[steps.objective.distilled] = self._kd_weight
            value = steps.objective.compute(scores, weights)
        return torch.stack(value.terms), value.parts

    def replay(self) -> tuple[Tensor, ...]:
        """Launch the step: its terms, from which gradients come."""
        return _Replay.apply(self, *self._parameters).unbind()

    def launch(self) -> Tensor:
        """Launch the step: its terms, which the next will overwrite."""
        assert self.graph is not None
        self.steps.n_launches += 1
        self.graph.replay()
        return self.terms


class _Step(nn.Module):
    """A network and what is computed with it, to be called with other parameters."""

    def __init__(self, network: Network, compute: Callable[[], Any]) -> None:
        super().__init__()
        self.network = network
        self._compute = compute

    def forward(self) -> Any:
        return self._compute()


class _Replay(torch.autograd.Function):
    """A launched step as autograd sees it."""

    @staticmethod
    def forward(ctx: Any, recording: _Recording, *parameters: Tensor) -> Tensor:
        terms = recording.launch().clone()
        ctx.recording, ctx.number = recording, recording.steps.n_launches
        return terms

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        recording: _Recording = ctx.recording
        if recording.steps.n_launches != ctx.number:
            raise RuntimeError(
                "Another step was computed since, and took the place of this one's gradient. "
                "Call backward after each step, or set cuda_graph: False."
            )
        known = [gradient for gradient in recording.gradients if gradient is not None]
        scaled = iter(torch._foreach_mul(known, grads[0][0]))
        return None, *(None if g is None else next(scaled) for g in recording.gradients)


def records_on(tensor: Tensor) -> bool:
    """Whether steps are recorded where the tensor is."""
    return tensor.device.type == "cuda"


def record(
    compute: Callable[[], Any], generator: torch.Generator, beside: Graph | None
) -> tuple[Graph, Any]:
    """Record what a function launches on a GPU.

    Parameters
    ----------
    compute : callable
        It is called twice: once to choose algorithms and to make what is made once.
    generator : torch.Generator
        Of random numbers that it draws beside those of the device's own.
    beside : Graph or None
        Another recording, whose memory this one uses: they are never launched at once.

    Returns
    -------
    graph : Graph
        Launches all of it again.
    result : object
        What it returned, tensors that each launch writes anew.
    """
    of_device = torch.cuda.default_generators[generator.device.index]
    before = [(g, g.clone_state()) for g in (of_device, generator)]
    aside, here = torch.cuda.Stream(), torch.cuda.current_stream()
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        compute()
    here.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    try:
        with torch.cuda.graph(graph, pool=None if beside is None else beside.pool()):
            result = compute()
    except RuntimeError:
        for drawn, state in before:  # that of a recording is left in them
            drawn.graphsafe_set_state(state)
        raise
    for drawn, state in before:
        drawn.set_state(state.get_state())
    return graph, result


def filled_size(n: int) -> int:
    """The next of a few sizes, at most a sixteenth above ``n``."""
    granule = max(1, 2 ** (n.bit_length() - 1) // _GRANULES)
    return -(-n // granule) * granule


def _options_of(module: nn.Module) -> dict[str, Any]:
    """Plain values that a module was made with."""
    plain = (bool, int, float, str, type(None))
    values = {name: value for name, value in vars(module).items() if isinstance(value, plain)}
    values.pop("training", None)
    return values


def _is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in (_OURS, "torch")


def _has_hooks(module: nn.Module) -> bool:
    hooks: Iterable[Any] = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return any(hooks)
