"""Sees what RecBole's trainer does in an epoch: what it costs, and what each branch learns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

_ROWS_AT_ONCE = 256
_SCORES_AT_ONCE = 2**22  # of a branch, rows times items; comparing branches holds some ten such


def follow_branches(trainer: Any) -> None:
    """Let a new trainer gather what its model's branches learn (``watch_branches``).

    Parameters
    ----------
    trainer : recbole.trainer.Trainer
        ``trainer.branch_history`` is filled by :func:`record_branches`.
    """
    from ..model.objective import LossStatistics

    trainer.branch_history = []
    if _is_watched(trainer):
        trainer._losses = LossStatistics(trainer.model.objective)
        trainer._gradients = _GradientNorms(trainer.model)
        trainer.optimizer.register_step_pre_hook(trainer._gradients)


def record_branches(trainer: Any, valid_data: Any) -> None:
    """Record what the branches have learned in an epoch, after its validation.

    ``trainer.branch_history`` and the trainer's TensorBoard writer get, by branch, the epoch's mean
    training loss and gradient norm, NDCG@10 on validation rows, and the agreement of each pair of
    branches there (:func:`~recbole_mmdistill.model.agreement.compare_branches`).

    Parameters
    ----------
    trainer : recbole.trainer.Trainer
        Of which nothing is recorded if its model has one branch, or ``watch_branches`` is 0.
    valid_data : recbole.data.dataloader.AbstractDataLoader
        What it was validated on.
    """
    if not _is_watched(trainer):
        return
    epoch = max(trainer.train_loss_dict, default=0)
    n_rows = trainer.config["watch_branches"]
    found = {
        **trainer._losses.take(),
        **trainer._gradients.take(),
        **_compare_on(trainer.model, valid_data, trainer.device, n_rows),
    }
    trainer.branch_history.append(found)
    for name, value in found.items():
        trainer.tensorboard.add_scalar(f"branches/{name}", value, epoch)


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
    at_once = max(1, min(_ROWS_AT_ONCE, _SCORES_AT_ONCE // model.n_items))
    for interaction, target in rows_and_targets(valid_data):
        for first in range(0, min(len(interaction), left), at_once):
            rows = slice(first, min(first + at_once, left))
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
        ``branches``, what :func:`record_branches` records.
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
        trainer._train_epoch, trainer._valid_epoch = train_epoch, valid_epoch


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
