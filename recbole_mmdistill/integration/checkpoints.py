"""RecBole saves and loads checkpoints of tensors and plain data, for every model.

What is in the file, beside what RecBole keeps: the tokens of users and items, so that each keeps
its embedding (:mod:`.numbering`); hashes of the data and the features; versions and options
(:mod:`.options`); and the random state, so that a run that was stopped goes on as if it had not
been (:mod:`.resuming`).
"""

from __future__ import annotations

import functools
import secrets
import sys
import time
from typing import Any

import torch

from .. import checkpoint
from . import numbering
from .loading import load, load_data_and_model
from .resuming import contents


def install() -> None:
    """Let RecBole save and load through this file.

    - ``torch.load``, where a module of RecBole calls it (trainer/trainer.py:323 and :583, models
      with a ``pre_model_path`` or the like), reads by :func:`load`. Whoever loads weights there
      has a config at hand, whose dataset must be numbered as the checkpoint is.
    - ``Trainer._save_checkpoint`` (trainer/trainer.py:286) and
      ``PretrainTrainer.save_pretrained_model`` (:754) write :func:`contents`.
    - ``Collector.data_collect``, with which every ``fit`` begins, remembers the training data.
    - ``load_data_and_model`` is the one above.
    """
    import recbole.quick_start
    from recbole.evaluator import Collector
    from recbole.quick_start import quick_start
    from recbole.trainer import Trainer
    from recbole.trainer.trainer import PretrainTrainer

    numbering.install()
    torch_load, collect = torch.load, Collector.data_collect

    @functools.wraps(torch_load)
    def load_for_recbole(f: Any, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)
        if not caller.f_globals.get("__name__", "").startswith("recbole."):
            return torch_load(f, *args, **kwargs)
        device = args[0] if args else kwargs.get("map_location") or "cpu"
        saved = load(f, whole=caller.f_globals["__name__"].startswith("recbole.trainer."))
        names = caller.f_locals
        config = names.get("config") or getattr(names.get("self"), "config", None)
        if config is not None:
            numbering.check_same(config, saved.get("vocabulary"), f)
        as_recbole = {**saved, "config": {**saved.get("options", {}), "model": saved.get("model")}}
        return checkpoint.map_tensors(lambda tensor: tensor.to(device), as_recbole)

    def _save_checkpoint(self: Any, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        if self.config["local_rank"] != 0:
            return
        if epoch < 0:  # nothing was trained since it was resumed
            epoch = self.start_epoch - 1
        path = kwargs.pop("saved_model_file", self.saved_model_file)
        checkpoint.write(path, contents(self, epoch))
        if verbose:
            self.logger.info(f"Saving current: {path}")

    def save_pretrained_model(self: Any, epoch: int, saved_model_file: str) -> None:
        _save_checkpoint(self, epoch, verbose=False, saved_model_file=saved_model_file)
        self.saved_model_file = saved_model_file

    def data_collect(self: Any, train_data: Any) -> None:
        self.train_data = train_data
        self.started = time.monotonic()
        collect(self, train_data)

    torch.load = load_for_recbole
    Trainer._save_checkpoint = _save_checkpoint
    PretrainTrainer.save_pretrained_model = save_pretrained_model
    Collector.data_collect = data_collect
    for module in (quick_start, recbole.quick_start):
        vars(module)["load_data_and_model"] = load_data_and_model


def unique_name(path: str) -> str:
    """Give a checkpoint's name a suffix of its own: RecBole's has but the second."""
    stem, dot, kind = path.rpartition(".")
    return f"{stem}-{secrets.token_hex(4)}{dot}{kind}"
