"""The one way a model is trained and measured, from its settings to its test metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .console import describe_data, describe_settings
from .files import check_writable

Say = Callable[[str], Any]
Seconds = float | Callable[[Sequence[float]], float]


def say_nothing(line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Prepared:
    """A model, its data and its trainer, ready to be trained.

    Attributes
    ----------
    config : recbole.config.Config
        All settings.
    dataset : recbole.data.dataset.Dataset
        All data, before it was split.
    train_data, valid_data, test_data : recbole.data.dataloader.AbstractDataLoader
        Its parts.
    trainer : recbole.trainer.AbstractTrainer
        Trains the model and measures it.
    """

    config: Any
    dataset: Any
    train_data: Any
    valid_data: Any
    test_data: Any
    trainer: Any

    @property
    def model(self) -> Any:
        """The model; after :meth:`measure` with the weights of the best epoch, if one was saved."""
        return self.trainer.model

    @property
    def saved(self) -> bool:
        """Whether the model of the best epoch is saved, to be measured."""
        return self.config["saved"] is not False

    def fit(self, seconds: Seconds | None = None) -> dict[str, float]:
        """Train to the end, or as far as there is time.

        Parameters
        ----------
        seconds : float or callable, optional
            After the first epoch, none begins that would end later, if it took as long as the last.
            A callable gives them by the validation scores so far.

        Returns
        -------
        dict of str to float
            The best epoch's validation metrics, {} where there are no rows.
        """
        from .integration.progress import Clock, TimeIsUp, one_bar_an_epoch

        trainer, shown = self.trainer, self.config["show_progress"]
        clock = None
        if seconds is not None:
            clock = Clock(seconds if callable(seconds) else lambda scores: seconds)
        try:
            with one_bar_an_epoch(trainer):
                _, best = trainer.fit(
                    *(self.train_data, self.valid_data),
                    saved=self.saved,
                    show_progress=shown,
                    callback_fn=clock,
                )
        except TimeIsUp:
            best = trainer.best_valid_result
        return _plain(best)

    def measure(self) -> dict[str, float]:
        """Load the best epoch, if it was saved; its test metrics, {} where there are no rows."""
        return _plain(
            self.trainer.evaluate(self.test_data, load_best_model=self.saved, show_progress=False)
        )

    def measure_branches(self) -> dict[str, dict[str, float]]:
        """Measure each branch of the model alone, with the weights as they are.

        Returns
        -------
        dict of str to dict
            Test metrics by branch; {} for a model without branches, or with one.
        """
        names = getattr(self.model, "branches", [])
        metrics = {}
        if len(names) > 1 and self.test_data:
            for name in names:
                with self.model.scoring_with([name]):
                    result = self.trainer.evaluate(self.test_data, load_best_model=False)
                metrics[name] = _plain(result)
        return metrics


@dataclass(frozen=True)
class Run(Prepared):
    """A finished run, with everything that took part in it.

    Attributes
    ----------
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


def load_data(
    config: Any, make_dataset: Callable[[Any], Any] | None = None, say: Say = say_nothing
) -> tuple[Any, Any, Any, Any]:
    """Read a dataset, split it, and make the dataloaders.

    Parameters
    ----------
    config : recbole.config.Config
        All settings.
    make_dataset : callable, optional
        Makes the dataset of the config; by default it is of the model's own class.
    say : callable
        Is told of the dataset once it is read.

    Returns
    -------
    dataset, train_data, valid_data, test_data
        As :class:`Prepared` has them.

    Raises
    ------
    UserError
        The data cannot be used.
    """
    from logging import getLogger

    from recbole.data import create_dataset, data_preparation
    from recbole.utils import init_seed

    init_seed(config["seed"], config["reproducibility"])
    dataset = (make_dataset or create_dataset)(config)
    getLogger().info(dataset)
    say(describe_data(dataset))
    return dataset, *data_preparation(config, dataset)


def prepare(
    config: Any, make_dataset: Callable[[Any], Any] | None = None, say: Say = say_nothing
) -> Prepared:
    """Load the data, and make the model and its trainer.

    Parameters
    ----------
    config, make_dataset, say
        See :func:`load_data`.

    Returns
    -------
    Prepared

    Raises
    ------
    UserError
        The data cannot be used.
    """
    from logging import getLogger

    from recbole.utils import get_model, get_trainer, init_seed

    data = load_data(config, make_dataset, say)
    init_seed(config["seed"] + config["local_rank"], config["reproducibility"])
    name = config["model"]
    model = get_model(name)(config, data[1]._dataset).to(config["device"])
    getLogger().info(model)
    trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
    return Prepared(config, *data, trainer)


def run(
    model: str,
    dataset: str,
    settings: Mapping[str, Any],
    config_files: Sequence[str] = (),
    say: Say = say_nothing,
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

    from .checkpoint.file import check_regular
    from .integration.config import make_config
    from .integration.logs import start_log

    started = time.time()
    config = make_config(model, dataset, settings, config_files)
    check_surroundings(config)
    if resume not in (None, "auto"):
        check_regular(Path(resume))
    log = start_log(config, verbose)
    logger = getLogger()
    logger.info(config)
    say(describe_settings(config))

    prepared = prepare(config, say=say)
    if resume is not None:
        _resume(prepared, resume, say)
    elif getattr(prepared.trainer, "epochs", None) == 0:
        say("epochs is 0: the model is untrained, and its metrics are those of random weights")
    best_valid = prepared.fit()
    test = prepared.measure()
    branches = prepared.measure_branches()
    logger.info(f"best valid: {best_valid}")
    logger.info(f"test result: {test}")
    if not config["single_spec"]:
        import torch

        torch.distributed.destroy_process_group()
    trainer = prepared.trainer
    return Run(
        **vars(prepared),
        best_valid=best_valid,
        test=test,
        branches=branches,
        epochs=len(getattr(trainer, "train_loss_dict", ())) or None,
        seconds=time.time() - started,
        checkpoint=Path(trainer.saved_model_file) if prepared.saved else None,
        log=log,
    )


def _resume(prepared: Prepared, file: str, say: Say) -> None:
    """Let training go on from a checkpoint; from the start if ``auto`` finds none."""
    from .integration.resuming import newest, resume

    config, trainer = prepared.config, prepared.trainer
    path = newest(config) if file == "auto" else Path(file)
    if path is None:
        say(f"Nothing to resume in {config['checkpoint_dir']}: training from the start")
        return
    resume(trainer, prepared.train_data, path)
    say(f"Resumed after epoch {trainer.start_epoch} from {path}")


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


def _plain(result: Mapping[str, Any] | None) -> dict[str, float]:
    return {name: float(value) for name, value in (result or {}).items()}
