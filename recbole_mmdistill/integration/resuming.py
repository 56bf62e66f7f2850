"""All of a run between two epochs, and how a run goes on from it."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import checkpoint
from ..errors import UserError
from ..version import __version__
from . import numbering
from .loading import hash_features, load
from .options import OTHER, options_of, plain, settings_of

# Options that say how long a run is and where it is, not what becomes of it.
_FREE = {
    *("epochs", "stopping_step", "checkpoint_dir", "data_path", "show_progress", "state"),
    *("use_gpu", "wandb_project", "save_dataset", "save_dataloaders", "verbose"),
}
_INSIDE = ("general_dataloader", "kg_dataloader")  # of a knowledge graph's dataloader


def contents(trainer: Any, epoch: int) -> dict[str, Any]:
    """What a checkpoint of a trainer holds.

    Parameters
    ----------
    trainer : recbole.trainer.Trainer
        As it is between two epochs.
    epoch : int
        The last epoch trained, from 0.

    Returns
    -------
    dict of str to object
        For :func:`recbole_mmdistill.checkpoint.write`.
    """
    import recbole

    config = trainer.config
    numbered = numbering.numbering_of(config)
    train_data = vars(trainer.eval_collector).get("train_data")
    others = {
        name: value.state_dict()
        for name, value in vars(trainer).items()
        if name != "optimizer" and _has_state(value)
    }
    return {
        "model": config["model"],
        "dataset": config["dataset"],
        "options": options_of(config),
        "settings": settings_of(config),
        "versions": {
            "recbole_mmdistill": __version__,
            "recbole": recbole.__version__,
            "torch": torch.__version__,
        },
        "seed": config["seed"],
        "seconds": _seconds(trainer),
        "epoch": epoch,
        "cur_step": trainer.cur_step,
        "best_valid_score": trainer.best_valid_score,
        "best_valid_result": plain(_best_valid_result(trainer)),
        "train_loss": {str(n): plain(loss) for n, loss in trainer.train_loss_dict.items()},
        "vocabulary": None if numbered is None else numbered.tokens,
        "files": {} if numbered is None else numbered.files,
        "features": hash_features(train_data),
        "state_dict": trainer.model.state_dict(),
        "other_parameter": _without_layers(trainer.model.other_parameter()),
        "optimizer": trainer.optimizer.state_dict(),
        "other_states": others,
        "random": _random_state(),
        "loader": _loader_state(train_data),
    }


def _seconds(trainer: Any) -> float:
    """Seconds of training, those before a stop included."""
    now = time.monotonic()
    before = float(vars(trainer).get("seconds_before", 0.0))
    return before + now - vars(trainer.eval_collector).get("started", now)


def _best_valid_result(trainer: Any) -> Any:
    """The best epoch's metrics, which RecBole keeps only after it has saved that epoch."""
    latest = vars(trainer).get("valid_result") or {}
    is_best = latest.get(trainer.valid_metric) == trainer.best_valid_score
    return latest if is_best else trainer.best_valid_result


def _without_layers(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Leave out layers of the model, which are in its ``state_dict``."""
    return {k: v for k, v in (parameters or {}).items() if not isinstance(v, torch.nn.Module)}


def _has_state(value: Any) -> bool:
    kinds = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    return isinstance(value, kinds)


def _random_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": {"keys": keys, "rest": [kind, position, has_gauss, gauss]},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def _set_random_state(state: dict[str, Any]) -> None:
    kind, position, has_gauss, gauss = state["numpy"]["rest"]
    if not 0 <= position <= 624:  # numpy does not check it, and would read beyond its keys
        raise ValueError(f"position {position} of numpy's random state")
    random.setstate(state["python"])
    np.random.set_state((kind, state["numpy"]["keys"], position, has_gauss, gauss))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def _generators(train_data: Any) -> list[torch.Generator]:
    """The generators that shuffle; a knowledge graph's dataloader has two dataloaders inside."""
    loaders = [train_data, *(vars(train_data).get(name) for name in _INSIDE)]
    return [loader.generator for loader in loaders if hasattr(loader, "generator")]


def _loader_state(train_data: Any) -> dict[str, Any]:
    if train_data is None:
        return {}
    states = [generator.get_state() for generator in _generators(train_data)]
    return {"generators": states, "epoch": getattr(train_data, "epoch", None)}


def _set_loader_state(train_data: Any, state: dict[str, Any]) -> None:
    for generator, saved in zip(_generators(train_data), state["generators"], strict=True):
        generator.set_state(saved)
    if state["epoch"] is not None:
        train_data.epoch = int(state["epoch"])


def resume(trainer: Any, train_data: Any, path: str | Path) -> None:
    """Let a trainer go on where a checkpoint was saved, with the same numbers to the bit.

    Parameters
    ----------
    trainer : recbole.trainer.Trainer
        Made with the same options, but for those that only say how long and where; it saves into
        the same file.
    train_data : recbole.data.dataloader.AbstractDataLoader
        What ``fit`` is called with next.
    path : str or Path
        The checkpoint.

    Raises
    ------
    UserError
        The checkpoint is of another model, other options or other data.
    """
    saved = load(path)
    config = trainer.config
    numbered = numbering.numbering_of(config)
    _check_alike(saved, config, {} if numbered is None else numbered.files, path)
    numbering.check_same(config, saved["vocabulary"], path)
    for modality, hashes in hash_features(train_data).items():
        if not np.array_equal(hashes, saved["features"].get(modality)):
            raise UserError(
                f"The {modality} features are not those that {path} was trained on.",
                "Give the same feature files, or begin anew without --resume.",
            )
    try:
        trainer.model.load_state_dict(saved["state_dict"])
        other = checkpoint.map_tensors(lambda t: t.to(trainer.device), saved["other_parameter"])
        trainer.model.load_other_parameter(other)
        trainer.optimizer.load_state_dict(saved["optimizer"])
        for name, state in saved["other_states"].items():
            getattr(trainer, name).load_state_dict(state)
        trainer.start_epoch = saved["epoch"] + 1
        trainer.cur_step = saved["cur_step"]
        trainer.best_valid_score = saved["best_valid_score"]
        trainer.best_valid_result = saved["best_valid_result"]
        trainer.train_loss_dict = {int(n): loss for n, loss in saved["train_loss"].items()}
        trainer.seconds_before = float(saved["seconds"])
        _set_loader_state(train_data, saved["loader"])
        if config["local_rank"] == 0:
            _set_random_state(saved["random"])
    except (RuntimeError, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"The run of {path} cannot go on: {reason}.", OTHER) from error
    trainer.saved_model_file = str(path)
    getLogger().info(f"Going on from {path} with epoch {trainer.start_epoch}")


def _check_alike(saved: Mapping[str, Any], config: Any, files: Any, path: Any) -> None:
    wrong = [
        f"{name} is {config[name]} and was {saved[name]}"
        for name in ("model", "dataset")
        if config[name] != saved[name]
    ]
    if "optimizer" not in saved:
        wrong.append("its items were changed after the training")
    now, before = options_of(config), saved["options"]
    if not wrong:
        wrong = [
            f"{key} is {now.get(key)!r} and was {before.get(key)!r}"
            for key in sorted({*now, *before} - _FREE)
            if now.get(key) != before.get(key)
        ]
    if not wrong and files != saved["files"]:
        wrong = ["the files of the dataset have changed"]
    if wrong:
        raise UserError(
            f"The run of {path} was another one: {'; '.join(wrong)}.",
            "Resume with the same options and data, or begin anew without --resume.",
        )


def newest(config: Any) -> Path | None:
    """Find the checkpoint from which a run of these options can go on.

    Parameters
    ----------
    config : recbole.config.Config
        Of the run; ``checkpoint_dir`` is searched.

    Returns
    -------
    Path or None
        The newest of the same model, dataset and options; None if there is none.
    """
    files = numbering.hash_files(config)
    found = Path(config["checkpoint_dir"]).glob(f"{config['model']}-*.pth")
    files_found = [path for path in found if path.is_file()]
    for path in sorted(files_found, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            saved = checkpoint.peek(path)
            _check_alike(saved, config, files, path)
        except (UserError, KeyError, TypeError, AttributeError):
            continue
        return path
    return None


def convert_trusted(old: str | Path, new: str | Path) -> None:
    """Make a safe checkpoint of one that RecBole pickled, by running what that file says.

    Parameters
    ----------
    old : str or Path
        A file that is trusted as a program is.
    new : str or Path
        Where to write. It knows no tokens, so it fits only the data that it was trained on.

    Raises
    ------
    UserError
        ``old`` is no checkpoint of RecBole, or ``new`` cannot be written.
    """
    checkpoint.check_regular(Path(old))
    try:
        saved = torch.load(old, map_location="cpu", weights_only=False)
        config, state = saved["config"], saved["state_dict"]
        value = {
            "model": config["model"],
            "dataset": config["dataset"],
            "options": options_of(config),
            "settings": settings_of(config),
            "epoch": saved["epoch"],
            "cur_step": saved.get("cur_step", 0),
            "best_valid_score": saved.get("best_valid_score", 0.0),
            "vocabulary": None,
            "files": {},
            "features": {},
            "state_dict": state,
            "other_parameter": _without_layers(saved.get("other_parameter")),
            "optimizer": saved.get("optimizer"),
        }
    except Exception as error:
        raise UserError(
            f"{old} is no checkpoint that RecBole pickled ({type(error).__name__}: {error}).", OTHER
        ) from error
    checkpoint.write(new, value)
