"""The one way a model is trained and measured, from its settings to its test metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import describe_data, describe_settings, format_table
from .errors import UserError
from .files import check_writable, write_json
from .processes import launched_group, run_in_processes
from .settings import Checked

if TYPE_CHECKING:
    from .settings import Request

Say = Callable[[str], Any]


def _say_nothing(line: str) -> None:
    pass


@dataclass(frozen=True)
class Run:
    """A finished run, with everything that took part in it.

    Attributes
    ----------
    config : recbole.config.Config
        All settings.
    dataset : recbole.data.dataset.Dataset
        All data, before it was split.
    train_data, valid_data, test_data : recbole.data.dataloader.AbstractDataLoader
        Its parts.
    model : recbole.model.abstract_recommender.AbstractRecommender
        With the weights of the best epoch; of the last one if nothing was saved.
    trainer : recbole.trainer.AbstractTrainer
        That trained it.
    best_valid, test : dict of str to float
        Metrics of the best epoch; {} where there are no such rows.
    branches : dict of str to dict
        Test metrics of each branch alone, for a model that has several.
    epochs : int or None
        Epochs trained; None for a trainer that does not count them.
    seconds : float
        From the first line of :func:`run` to the last.
    checkpoint : Path or None
        Where the best model is saved.
    log : Path
        The log file.
    """

    config: Any
    dataset: Any
    train_data: Any
    valid_data: Any
    test_data: Any
    model: Any
    trainer: Any
    best_valid: dict[str, float]
    test: dict[str, float]
    branches: dict[str, dict[str, float]]
    epochs: int | None
    seconds: float
    checkpoint: Path | None
    log: Path

    def summary(self) -> dict[str, Any]:
        """Give what was measured as plain data, for JSON and for the closing table."""
        return {
            "model": self.config["model"],
            "dataset": self.config["dataset"],
            "epochs": self.epochs,
            "seconds": round(self.seconds, 1),
            "best_valid": self.best_valid,
            "test": self.test,
            "branches": self.branches,
            "checkpoint": None if self.checkpoint is None else str(self.checkpoint),
            "log": str(self.log),
        }


def run(
    model: str,
    dataset: str,
    settings: Mapping[str, Any],
    config_files: Sequence[str] = (),
    say: Say = _say_nothing,
    verbose: bool = False,
    resume: str | None = None,
) -> Run:
    """Train a model and measure it, in this process.

    Parameters
    ----------
    model, dataset : str
        Their names.
    settings : Mapping of str to object
        Options, over those of the files.
    config_files : sequence of str
        YAML files, the last has the last word.
    say : callable
        Is given the lines that a user wants to see before the training starts; by default nobody.
    verbose : bool
        Whether the console gets the whole log.
    resume : str, optional
        A checkpoint to go on from, or ``auto``: the newest of the same settings, if there is one.

    Returns
    -------
    Run

    Raises
    ------
    UserError
        A setting, the data or a place cannot be used.
    """
    from logging import getLogger

    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    from .integration.config import make_config
    from .integration.logs import start_log
    from .integration.progress import one_bar_an_epoch

    started = time.time()
    config = make_config(model, dataset, settings, config_files)
    check_surroundings(config)
    init_seed(config["seed"], config["reproducibility"])
    logger = getLogger()
    log = start_log(config, verbose)
    logger.info(config)
    say(describe_settings(config))

    whole = create_dataset(config)
    logger.info(whole)
    say(describe_data(whole))
    train_data, valid_data, test_data = data_preparation(config, whole)

    init_seed(config["seed"] + config["local_rank"], config["reproducibility"])
    network = get_model(model)(config, train_data._dataset).to(config["device"])
    logger.info(network)
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, network)
    if resume is not None:
        resume_training(trainer, train_data, resume, say)

    saved = config["saved"] is not False
    shown = config["show_progress"]
    with one_bar_an_epoch(trainer):
        _, best_valid = trainer.fit(train_data, valid_data, saved=saved, show_progress=shown)
    test = trainer.evaluate(test_data, load_best_model=saved, show_progress=False)
    branches = measure_branches(trainer, test_data)
    logger.info(f"best valid: {best_valid}")
    logger.info(f"test result: {test}")
    if not config["single_spec"]:
        import torch

        torch.distributed.destroy_process_group()
    return Run(
        config=config,
        dataset=whole,
        train_data=train_data,
        valid_data=valid_data,
        test_data=test_data,
        model=trainer.model,
        trainer=trainer,
        best_valid=_plain(best_valid),
        test=_plain(test),
        branches=branches,
        epochs=len(getattr(trainer, "train_loss_dict", ())) or None,
        seconds=time.time() - started,
        checkpoint=Path(trainer.saved_model_file) if saved else None,
        log=log,
    )


def resume_training(trainer: Any, train_data: Any, file: str, say: Say) -> None:
    """Let a trainer go on from a checkpoint.

    Parameters
    ----------
    trainer : recbole.trainer.Trainer
        Not yet trained.
    train_data : recbole.data.dataloader.AbstractDataLoader
        What it will be trained on.
    file : str
        The checkpoint, or ``auto``: the newest of the same model, dataset and settings in
        ``checkpoint_dir``. If there is none, nothing is done.
    say : callable
        Is told what was found.

    Raises
    ------
    UserError
        The checkpoint is of another model, other settings or other data.
    """
    from .integration.resuming import newest, resume

    path = newest(trainer.config) if file == "auto" else Path(file)
    if path is None:
        say(f"Nothing to resume in {trainer.config['checkpoint_dir']}: training from the start")
        return
    resume(trainer, train_data, path)
    say(f"Resumed after epoch {trainer.start_epoch} from {path}")


def run_request(request: Request, say: Say = print, verbose: bool = False) -> dict[str, Any]:
    """Run what a command line asks for, in as many processes as it asks for, and tell the result.

    Parameters
    ----------
    request : Request
        What to run.
    say : callable
        Is given the lines that a user wants to see, the closing table last; with several
        processes a function of a module.
    verbose : bool
        Whether the console gets the whole log.

    Returns
    -------
    dict
        See :meth:`Run.summary`.

    Raises
    ------
    UserError
        A setting, the data or a place cannot be used, or a process was killed.
    """
    started = time.time()
    if request.metrics_file:
        check_metrics_file(Path(request.metrics_file))
    launched = launched_group()
    if launched is not None and request.nproc != 1:
        raise UserError(
            f"nproc is {request.nproc}, but the processes were started by torchrun.",
            "Leave nproc out: torchrun's --nproc_per_node says how many there are.",
        )
    if request.nproc == 1:
        summary = _run_process(launched, request, say, verbose)
    else:
        from .integration.distributed import group_to_start

        group = group_to_start(request.nproc)
        summary, *_ = run_in_processes(_run_rank, request.nproc, group, request, say, verbose)
    if not _is_first(launched):
        return summary
    summary["seconds"] = round(time.time() - started, 1)
    if summary["checkpoint"]:
        say(f"Best model: {summary['checkpoint']}")
    say(f"Log: {summary['log']}")
    say(format_table(summary))
    if request.metrics_file:
        write_json(Path(request.metrics_file), summary)
    return summary


def _run_rank(rank: int, group: dict[str, Any], *args: Any) -> dict[str, Any]:
    return _run_process({**group, "local_rank": rank}, *args)


def _run_process(
    group: Mapping[str, Any] | None, request: Request, say: Say, verbose: bool
) -> dict[str, Any]:
    """Run in this process, alone or as one of a group, of which the first speaks."""
    if not _is_first(group):
        say, verbose = _say_nothing, False
    made = run(
        request.model,
        request.dataset,
        Checked({**request.settings, **(group or {})}),
        request.config_files,
        say=say,
        verbose=verbose,
        resume=request.resume,
    )
    return made.summary()


def _is_first(group: Mapping[str, Any] | None) -> bool:
    return group is None or group["offset"] + group["local_rank"] == 0


def measure_branches(trainer: Any, test_data: Any) -> dict[str, dict[str, float]]:
    """Measure each branch of a model alone, with the weights as they are.

    Parameters
    ----------
    trainer : recbole.trainer.Trainer
        Of the model.
    test_data : recbole.data.dataloader.AbstractDataLoader
        What to rank.

    Returns
    -------
    dict of str to dict
        Metrics by branch; {} for a model without branches, or with one.
    """
    model = trainer.model
    names = getattr(model, "branches", [])
    metrics = {}
    if len(names) > 1 and test_data:
        for name in names:
            with model.scoring_with([name]):
                metrics[name] = _plain(trainer.evaluate(test_data, load_best_model=False))
    return metrics


def check_surroundings(config: Any) -> None:
    """See that a run can write where it will.

    Parameters
    ----------
    config : recbole.config.Config
        Of the run.

    Raises
    ------
    UserError
        It cannot.
    """
    from .integration.logs import LOG_FOLDERS

    check_writable(config["checkpoint_dir"], "checkpoint_dir")
    for folder in LOG_FOLDERS:  # RecBole has no option for these
        check_writable(folder, "The folder of RecBole's logs")


def check_metrics_file(path: Path) -> None:
    """See that the closing table can be written as JSON, before there is something to lose.

    Parameters
    ----------
    path : Path
        Where to.

    Raises
    ------
    UserError
        It is a folder, or its folder may not be written.
    """
    if path.is_dir():
        raise UserError(f"metrics_file is {path}, which is a folder.", "Name a file.")
    check_writable(path.parent, "The folder of metrics_file")


def _plain(result: Mapping[str, Any] | None) -> dict[str, float]:
    return {name: float(value) for name, value in (result or {}).items()}
