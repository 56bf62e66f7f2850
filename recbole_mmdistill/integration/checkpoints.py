"""Checkpoints are tensors and plain data, never code.

Beside what RecBole keeps, a file has the tokens of users and items, hashes of the data, versions,
options, and the random state, so that a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from .. import checkpoint
from . import numbering
from .fixes import extends, replaces
from .loading import load
from .resuming import contents


@extends("torch:load")
def torch_load(original: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
    """Let RecBole's modules read checkpoints of this package, and run nothing of a file.

    trainer/trainer.py:323 and 583, and models with a ``pre_model_path``, call ``torch.load``, which
    unpickles. All other callers get torch's own.

    Whoever loads weights has a config at hand, whose dataset must be numbered as the checkpoint is.
    """
    caller = sys._getframe(2)
    module = caller.f_globals.get("__name__", "")
    if not module.startswith("recbole."):
        return original(f, *args, **kwargs)
    device = args[0] if args else kwargs.get("map_location") or "cpu"
    saved = load(f, whole=module.startswith("recbole.trainer."))
    names = caller.f_locals
    config = names.get("config") or getattr(names.get("self"), "config", None)
    if config is not None:
        numbering.check_same(config, saved.get("vocabulary"), f)
    as_recbole = {**saved, "config": {**saved.get("options", {}), "model": saved.get("model")}}
    return checkpoint.map_tensors(lambda tensor: tensor.to(device), as_recbole)


@replaces("recbole.trainer.trainer:Trainer._save_checkpoint")
def save_checkpoint(self: Any, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
    """Save what a run needs to go on, by the first process alone.

    trainer/trainer.py:308 pickles the whole config, and leaves out random states and tokens.
    """
    if self.config["local_rank"] != 0:
        return
    if epoch < 0:  # nothing was trained since it was resumed
        epoch = self.start_epoch - 1
    path = kwargs.pop("saved_model_file", self.saved_model_file)
    checkpoint.write(path, contents(self, epoch))
    if verbose:
        self.logger.info(f"Saving current: {path}")


@replaces("recbole.trainer.trainer:PretrainTrainer.save_pretrained_model")
def save_pretrained_model(self: Any, epoch: int, saved_model_file: str) -> None:
    """Save the checkpoints of S3Rec's pretraining in the same form.

    trainer/trainer.py:770 pickles them.
    """
    save_checkpoint(self, epoch, verbose=False, saved_model_file=saved_model_file)
    self.saved_model_file = saved_model_file


@extends("recbole.evaluator.collector:Collector.data_collect")
def data_collect(original: Any, self: Any, train_data: Any) -> None:
    """Remember the training data, whose state belongs into a checkpoint, and when it began.

    evaluator/collector.py:79 is what every ``fit`` begins with, and keeps neither.
    """
    self.train_data = train_data
    self.started = time.monotonic()
    original(self, train_data)
