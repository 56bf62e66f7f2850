"""What a loss is, and how a new one is added.

The option ``losses`` names those that are added up, each times the option ``<name>_weight``. A new
one is a class in any file that is imported before the model is built::

    @LOSSES.register("margin")
    class MarginLoss(Loss):
        def __init__(self, *, weight: float = 1.0, size: float = 0.5) -> None:
            super().__init__(weight=weight)
            self.size = size

        def forward(self, scores: StepScores) -> Tensor:
            of_target = scores.mean_logits.gather(1, scores.target[:, None])
            return (scores.mean_logits - of_target + self.size).relu().mean()

with ``losses: [ce, mean_ce, kd, combination, margin]``, ``margin_weight: 0.1`` and
``margin_size: 1.0`` in the YAML. Gradients are autograd's. A constructor's keyword
``branches`` gets the names of the model's branches.
"""

from __future__ import annotations

from torch import Tensor, nn

from .registry import Registry
from .step_scores import StepScores


class Loss(nn.Module):
    """What every loss keeps.

    Parameters
    ----------
    weight : float
        What it is multiplied by in the sum; with 0 it is left out.
    """

    def __init__(self, *, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = float(weight)

    def weight_at(self, epoch: float) -> float:
        """The weight at a time in epochs."""
        return self.weight

    def part_names(self, name: str) -> list[str]:
        """Name the elements of the result in the training statistics.

        Parameters
        ----------
        name : str
            The loss's own name.

        Returns
        -------
        list of str
            One for each element; none for what is not to be shown.
        """
        return [f"loss/{name}"]

    def forward(self, scores: StepScores) -> Tensor:
        """Compute the loss, not yet times its weight.

        Parameters
        ----------
        scores : StepScores
            Scores of the step.

        Returns
        -------
        Tensor
            A scalar, or ``[n_parts]`` whose sum is the loss.
        """
        raise NotImplementedError


LOSSES: Registry[Loss] = Registry("loss", "losses")
