"""Training of this package's models: the same steps, without waiting for a GPU."""

from __future__ import annotations

from typing import Any

import torch

from .fixes import extends

_LOOK_EVERY = 100  # steps between two looks at the loss of a GPU
_TRAINER = "recbole.trainer.trainer:Trainer"


@extends(f"{_TRAINER}._train_epoch")
def epoch_of_ours(
    original: Any, self: Any, train_data: Any, epoch_idx: int, *args: Any, **kwargs: Any
) -> Any:
    """Train this package's models without waiting for a GPU.

    trainer/trainer.py:201 reads every part of the loss of every step, searches it for NaN, and
    copies batches so that the copy is waited for. A GPU has done its work by then, and idles until
    the host has given it the next. Only models of this package, trained by one process, are
    trained otherwise (:func:`train_epoch`). On a CPU every model's denormal numbers count as 0.
    """
    from ..model.device import tiny_numbers_as_zero

    with tiny_numbers_as_zero():
        if not _is_ours(self) or args or kwargs.keys() - {"show_progress"}:
            return original(self, train_data, epoch_idx, *args, **kwargs)
        return train_epoch(self, train_data, epoch_idx, **kwargs)


@extends(f"{_TRAINER}._build_optimizer")
def fused_optimizer(original: Any, self: Any, **kwargs: Any) -> Any:
    """Train this package's models by a fused optimiser, the IDs at a rate of their own if wished.

    That of trainer/trainer.py:133 launches several for every parameter, and updates all rows of a
    large table for the few that a step reads (:mod:`..model.rows`). It knows one learning rate
    (``id_learning_rate`` is a second).
    """
    from ..model.rows import OPTIMIZERS

    optimizer = original(self, **kwargs)
    if not _is_ours(self):
        return optimizer
    groups = _groups(self.model, optimizer, self.config["id_learning_rate"])
    fused = OPTIMIZERS.get(type(optimizer))
    if fused is not None:
        options = {name: optimizer.defaults[name] for name in ("lr", "weight_decay")}
        return fused(groups, **options)
    optimizer.param_groups.clear()
    for group in groups:
        optimizer.add_param_group(group)
    return optimizer


def _groups(model: Any, optimizer: Any, id_rate: float | None) -> list[dict[str, Any]]:
    """Give the parameters, the ID embedding apart if it has a learning rate of its own."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    id_embedding = model.network.id_embedding
    if id_rate is None or id_embedding is None:
        return [{"params": parameters}]
    others = [p for p in parameters if p is not id_embedding.weight]
    return [{"params": others}, {"params": [id_embedding.weight], "lr": id_rate}]


def _is_ours(trainer: Any) -> bool:
    from ..model.idmmdistill import IDMMDistill

    return isinstance(trainer.model, IDMMDistill) and trainer.config["single_spec"]


def train_epoch(
    trainer: Any, train_data: Any, epoch: int, show_progress: bool = False
) -> tuple[float, ...]:
    """Train an epoch as ``Trainer._train_epoch`` does.

    Parameters
    ----------
    trainer : recbole.trainer.Trainer
        Its model is of this package.
    train_data : recbole.data.dataloader.AbstractDataLoader
        The batches.
    epoch : int
        From 0.
    show_progress : bool
        Whether there is a bar.

    Returns
    -------
    tuple of float
        Sums of the loss's terms over the steps.

    Raises
    ------
    ValueError
        The loss is NaN.
    """
    from recbole.trainer import trainer as module
    from recbole.utils import set_color

    trainer.model.train()
    batches = train_data
    if show_progress:
        title = set_color(f"Train {epoch:>5}", "pink")
        batches = module.tqdm(train_data, total=len(train_data), ncols=100, desc=title)
    scaler = module.amp.GradScaler(enabled=trainer.enable_scaler)
    waits = trainer.device.type != "cpu"
    total = None
    for step, batch in enumerate(batches):
        trainer.optimizer.zero_grad()
        with torch.autocast(trainer.device.type, enabled=trainer.enable_amp):
            terms = trainer.model.calculate_loss(to_device(batch, trainer.device))
        of_step = torch.stack([term.detach().float() for term in terms])
        total = of_step if total is None else total + of_step
        if not waits or step % _LOOK_EVERY == 0:
            trainer._check_nan(total.sum())
        scaler.scale(sum(terms)).backward()
        if trainer.clip_grad_norm:
            torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), **trainer.clip_grad_norm)
        scaler.step(trainer.optimizer)
        scaler.update()
    if total is None:
        return ()
    trainer._check_nan(total.sum())
    return tuple(total.tolist())


def to_device(batch: Any, device: torch.device) -> Any:
    """Copy a batch to a device; the host goes on meanwhile."""
    from recbole.data.interaction import Interaction

    if device.type != "cuda":
        return batch.to(device)
    pinned = {field: values.pin_memory() for field, values in batch.interaction.items()}
    return Interaction({field: v.to(device, non_blocking=True) for field, v in pinned.items()})
