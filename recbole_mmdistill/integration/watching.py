"""Sees what RecBole's trainer does in an epoch: what it costs, and what each branch learns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

_ROWS_AT_ONCE = 256  # scores of all branches over all items are held for so many rows


def install() -> None:
    """Let the trainer watch the branches of a model that has several (``watch_branches``).

    After each validation the trainer's TensorBoard writer gets, by branch, the mean training loss
    and gradient norm of the epoch, NDCG@10 on validation rows, and the agreement of each pair of
    branches there (:func:`~recbole_mmdistill.model.agreement.compare_branches`).
    ``trainer.branch_history`` keeps the same.
    """
    from recbole.trainer import Trainer

    from ..model.objective import LossStatistics

    init, valid_epoch = Trainer.__init__, Trainer._valid_epoch

    def __init__(self: Any, config: Any, model: Any) -> None:
        init(self, config, model)
        self.branch_history = []
        if _is_watched(self):
            self._losses = LossStatistics(model.objective)
            self._gradients = _GradientNorms(model)
            self.optimizer.register_step_pre_hook(self._gradients)

    def _valid_epoch(self: Any, valid_data: Any, show_progress: bool = False) -> Any:
        score, result = valid_epoch(self, valid_data, show_progress)
        self.valid_result = result  # a checkpoint of this epoch holds it
        if _is_watched(self):
            epoch = max(self.train_loss_dict, default=0)
            found = {
                **self._losses.take(),
                **self._gradients.take(),
                **_compare_on(self.model, valid_data, self.device, self.config["watch_branches"]),
            }
            self.branch_history.append(found)
            for name, value in found.items():
                self.tensorboard.add_scalar(f"branches/{name}", value, epoch)
        return score, result

    Trainer.__init__, Trainer._valid_epoch = __init__, _valid_epoch


def _is_watched(trainer: Any) -> bool:
    branches = getattr(trainer.model, "branches", ())
    return len(branches) > 1 and bool(trainer.config["watch_branches"])


class _GradientNorms:
    """Adds up the norm of each branch's gradient, step by step, where the gradients are."""

    def __init__(self, model: Any) -> None:
        self._user_encoder = model.network.user_encoder
        self._branches = model.branches
        self._sum = torch.zeros(len(model.branches))
        self._n_steps = 0

    def __call__(self, *_: Any) -> None:
        of_branch = [self._user_encoder.gradients_of(b) for b in range(len(self._branches))]
        norms = torch._foreach_norm([grad for grads in of_branch for grad in grads])
        if norms:
            squares = torch.stack(norms).square_().split([len(grads) for grads in of_branch])
            of_step = torch.stack([part.sum() for part in squares]).sqrt_()
            self._sum = of_step if self._n_steps == 0 else self._sum + of_step
        self._n_steps += 1

    def take(self) -> dict[str, float]:
        """Mean norms since the last time, by ``gradient_norm/<branch>``."""
        means = (self._sum / max(self._n_steps, 1)).tolist()
        self._sum, self._n_steps = torch.zeros(len(self._branches)), 0
        names = [f"gradient_norm/{name}" for name in self._branches]
        return dict(zip(names, means))


def rows_and_targets(loader: Any) -> Iterator[tuple[Any, torch.Tensor]]:
    """Go through an evaluation dataloader of a sequential model.

    Parameters
    ----------
    loader : recbole.data.dataloader.AbstractDataLoader
        Of full ranking, or of ranking among sampled items.

    Yields
    ------
    interaction, target
        A batch of rows, and their true next items ``[B]``.
    """
    for interaction, user_of_row, positive_user, positive_item in loader:
        if positive_item is None:  # labelled items, of which RecBole ranks none
            continue
        if user_of_row is not None:  # of each user's rows the true ones come first
            n_positive = torch.bincount(positive_user)[user_of_row]
            place = torch.arange(len(user_of_row)) - torch.searchsorted(user_of_row, user_of_row)
            interaction = interaction[place < n_positive]
        yield interaction, positive_item


@torch.no_grad()
def _compare_on(model: Any, valid_data: Any, device: Any, n_rows: int) -> dict[str, float]:
    """Compare the branches on the first ``n_rows`` validation rows."""
    from ..model.agreement import compare_branches

    model.eval()
    parts: dict[str, list[torch.Tensor]] = {}
    left = n_rows
    for interaction, target in rows_and_targets(valid_data):
        for first in range(0, min(len(interaction), left), _ROWS_AT_ONCE):
            rows = slice(first, min(first + _ROWS_AT_ONCE, left))
            scores = model.branch_scores(interaction[rows].to(device))
            for name, values in compare_branches(scores, target[rows].to(device)).items():
                parts.setdefault(name, []).append(values)
        left -= len(interaction)
        if left <= 0:
            break
    return {name: float(torch.cat(values).mean()) for name, values in parts.items()}


@contextmanager
def watch_training(trainer: Any) -> Iterator[list[dict[str, Any]]]:
    """Keep a record of each epoch that a trainer trains inside the ``with`` block.

    Parameters
    ----------
    trainer : recbole.trainer.Trainer
        It is watched for as long as the block lasts.

    Yields
    ------
    list of dict
        ``train_cpu_seconds`` and ``loss`` of each epoch; where it was validated
        ``valid_cpu_seconds`` and ``valid`` (the metric that decides when to stop); and
        ``branches``, what :func:`install` watches.
    """
    epochs: list[dict[str, Any]] = []
    train_epoch, valid_epoch = trainer._train_epoch, trainer._valid_epoch

    def train_watched(*args: Any, **kwargs: Any) -> Any:
        started = time.process_time()
        loss = train_epoch(*args, **kwargs)
        epochs.append(
            {
                "train_cpu_seconds": round(time.process_time() - started, 3),
                "loss": list(loss) if isinstance(loss, tuple) else [loss],
            }
        )
        return loss

    def valid_watched(*args: Any, **kwargs: Any) -> Any:
        started = time.process_time()
        score, result = valid_epoch(*args, **kwargs)
        epochs[-1]["valid_cpu_seconds"] = round(time.process_time() - started, 3)
        epochs[-1]["valid"] = float(score)
        if trainer.branch_history:
            watched = trainer.branch_history[-1]
            epochs[-1]["branches"] = {name: round(v, 5) for name, v in watched.items()}
        return score, result

    trainer._train_epoch, trainer._valid_epoch = train_watched, valid_watched
    try:
        yield epochs
    finally:
        del trainer._train_epoch, trainer._valid_epoch


@contextmanager
def tensorboard_in(folder: str | Path) -> Iterator[None]:
    """Let trainers made inside the block write their TensorBoard files to a folder."""
    from recbole.trainer import trainer as module
    from torch.utils.tensorboard import SummaryWriter

    get_tensorboard = module.get_tensorboard
    module.get_tensorboard = lambda logger: SummaryWriter(str(folder))
    try:
        yield
    finally:
        module.get_tensorboard = get_tensorboard
