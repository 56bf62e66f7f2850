"""Sees what RecBole's trainer does in an epoch: what it costs, and what it gives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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
        ``train_cpu_seconds`` and ``loss`` of each epoch, and where it was validated
        ``valid_cpu_seconds`` and ``valid`` (the metric that decides when to stop).
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
