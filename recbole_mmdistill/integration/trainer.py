"""Checkpoints of a trainer have unique names, and its branches are recorded."""

from __future__ import annotations

import secrets
from typing import Any

import torch

from .fixes import extends
from .monitoring import follow_branches, record_branches

_TRAINER = "recbole.trainer.trainer:Trainer"


@extends(f"{_TRAINER}.__init__")
def init(original: Any, self: Any, config: Any, model: Any) -> None:
    """Name each run's checkpoint differently, and alike in all of its processes.

    trainer/trainer.py:132 names it by each process's own clock, to the second.
    """
    original(self, config, model)
    stem, dot, suffix = self.saved_model_file.rpartition(".")
    name = [f"{stem}-{secrets.token_hex(4)}{dot}{suffix}"]
    if not config["single_spec"]:
        torch.distributed.broadcast_object_list(name, src=0)
    self.saved_model_file = name[0]
    follow_branches(self)


@extends(f"{_TRAINER}._valid_epoch")
def valid_epoch(
    original: Any, self: Any, valid_data: Any, show_progress: bool = False
) -> tuple[float, Any]:
    """Keep the metrics of each validation for the checkpoint, and compare the branches.

    trainer/trainer.py:287 keeps those of the best epoch alone, after it has been saved.
    """
    score, result = original(self, valid_data, show_progress)
    self.valid_result = result
    record_branches(self, valid_data)
    return score, result
