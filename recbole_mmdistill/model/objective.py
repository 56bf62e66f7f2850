"""The sum of the losses that a model is trained with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from .fused import fused_loss
from .loss import Loss
from .losses import CombinationLoss, CrossEntropy, Distillation, MeanCrossEntropy
from .step_scores import StepScores

_CROSS_ENTROPIES = (CrossEntropy, MeanCrossEntropy, CombinationLoss)
_FUSED = {*_CROSS_ENTROPIES, Distillation}


class ObjectiveValue(NamedTuple):
    """What :class:`Objective` returns.

    Attributes
    ----------
    terms : tuple of Tensor
        Scalars whose sum is the loss: the cross entropies together, then each other loss, in the
        order of their names in the options.
    parts : dict of str to Tensor
        By loss, its parts without weight and without gradient.
    """

    terms: tuple[Tensor, ...]
    parts: dict[str, Tensor]


class Objective(nn.Module):
    """The losses of a model, each times its weight.

    Parameters
    ----------
    losses : Mapping of str to Loss
        By name.
    use_fused : bool
        Whether the losses of this package are computed by :func:`~.fused.fused_loss` where there
        are no others.

    Attributes
    ----------
    is_fused : bool
        Whether they are.
    distilled : str or None
        Name of the distillation, whose weight changes from step to step.
    listeners : list of callable
        Each is told the :class:`ObjectiveValue` of every training step. Its tensors are read at
        once: a recorded step (:mod:`.recorded`) writes the next value in their place.
    """

    def __init__(self, losses: Mapping[str, Loss], use_fused: bool = True) -> None:
        super().__init__()
        self.losses = nn.ModuleDict(losses)
        kinds = [type(loss) for loss in losses.values()]
        self.is_fused = use_fused and _FUSED.issuperset(kinds) and len({*kinds}) == len(kinds)
        self.distilled = next((n for n, x in losses.items() if isinstance(x, Distillation)), None)
        self.listeners: list[Callable[[ObjectiveValue], None]] = []

    def part_names(self) -> dict[str, list[str]]:
        """Names of the parts of each loss, see :meth:`.loss.Loss.part_names`."""
        return {name: loss.part_names(name) for name, loss in self._named()}

    def weights_at(self, epoch: float) -> dict[str, float]:
        """Weights of the losses at a time in epochs, by name."""
        return {name: loss.weight_at(epoch) if loss.weight else 0.0 for name, loss in self._named()}

    def forward(self, scores: StepScores) -> ObjectiveValue:
        """Compute the loss of a step, and tell the listeners."""
        value = self.compute(scores, self.weights_at(scores.epoch))
        self.tell(value)
        return value

    def compute(self, scores: StepScores, weights: Mapping[str, float | Tensor]) -> ObjectiveValue:
        """Compute the loss of a step.

        Parameters
        ----------
        scores : StepScores
            Of the step.
        weights : Mapping of str to float or Tensor
            By loss. Where :attr:`is_fused`, that of the distillation may be a scalar tensor.

        Returns
        -------
        ObjectiveValue
        """
        return self._fused(scores, weights) if self.is_fused else self._plain(scores, weights)

    def tell(self, value: ObjectiveValue) -> None:
        """Tell the listeners of a training step's value."""
        if self.training:
            for listener in self.listeners:
                listener(value)

    def _named(self) -> list[tuple[str, Loss]]:
        return [(name, loss) for name, loss in self.losses.items() if isinstance(loss, Loss)]

    def _plain(self, scores: StepScores, weights: Mapping[str, float | Tensor]) -> ObjectiveValue:
        cross_entropy = scores.zeros()
        others, parts = [], {}
        for name, loss in self._named():
            value = loss(scores) if loss.weight else None
            weighted = scores.zeros() if value is None else weights[name] * value.sum()
            if isinstance(loss, _CROSS_ENTROPIES):
                cross_entropy = cross_entropy + weighted
            else:
                others.append(weighted)
            if value is not None:
                parts[name] = value.detach().reshape(-1)
        return ObjectiveValue((cross_entropy, *others), parts)

    def _fused(self, scores: StepScores, weights: Mapping[str, float | Tensor]) -> ObjectiveValue:
        by_kind = {type(loss): (name, loss) for name, loss in self._named()}

        def weight(kind: type[Loss]) -> Any:
            return weights[by_kind[kind][0]] if kind in by_kind else 0.0

        distillation = by_kind[Distillation][1] if Distillation in by_kind else None
        if distillation is not None and not distillation.weight:
            distillation = None
        # First, for it waits for a GPU, which has little to do yet.
        of_new_items: Tensor | float = 0.0
        if weight(CombinationLoss):
            combination = by_kind[CombinationLoss][1]
            assert isinstance(combination, CombinationLoss)
            of_new_items = combination.weight * combination.of_new_items(scores)
        assert distillation is None or isinstance(distillation, Distillation)
        loss = fused_loss(
            scores,
            distillation,
            weight(Distillation),
            weight(CrossEntropy),
            weight(MeanCrossEntropy),
            weight(CombinationLoss),
        )
        parts = {}
        if weight(CrossEntropy):
            parts[by_kind[CrossEntropy][0]] = loss.ce
        if distillation is not None:
            parts[by_kind[Distillation][0]] = loss.kd
        if Distillation not in by_kind:
            return ObjectiveValue((loss.total + of_new_items,), parts)
        # One pass gives the gradient of the sum. All of it hangs on the first term: so the two
        # terms add up to the loss in value and in gradient, and each can be logged.
        kd = loss.kd.sum() * weight(Distillation)
        return ObjectiveValue((loss.total + of_new_items - kd, kd), parts)


class LossStatistics:
    """Means of the losses' parts over training steps.

    Parameters
    ----------
    objective : Objective
        It is listened to.
    """

    def __init__(self, objective: Objective) -> None:
        self._names = objective.part_names()
        self._sums: dict[str, Tensor] = {}
        self._n_steps = 0
        objective.listeners.append(self._add)

    def _add(self, value: ObjectiveValue) -> None:
        self._n_steps += 1
        for name, part in value.parts.items():
            self._sums[name] = part + self._sums.get(name, 0.0)

    def take(self) -> dict[str, float]:
        """Give the means since the last time: ``loss/<branch>``, ``taught/<pair>``, and so on."""
        means: dict[str, float] = {}
        for name, total in self._sums.items():
            names = self._names[name]
            if len(names) == total.numel():
                means |= dict(zip(names, (total / self._n_steps).tolist()))
        self._sums, self._n_steps = {}, 0
        return means
