"""A trained model without its dataset, and the dataset's interactions as they are now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

from ..datasets import dataset_folder
from ..errors import UserError
from ..features import align_features, find_features, join_features
from ..features.locate import PRELOADED
from .loading import compare_features, load
from .options import OTHER, config_of


class Trained(NamedTuple):
    """A model with the weights of a checkpoint.

    Attributes
    ----------
    model : recbole.model.abstract_recommender.SequentialRecommender
        In evaluation mode.
    config : recbole.config.Config
        The checkpoint's options, for this machine.
    items : numpy.ndarray
        Tokens by number, dtype object ``[n_items]``; number 0 is the padding.
    path : Path
        The checkpoint.
    """

    model: Any
    config: Any
    items: np.ndarray
    path: Path


class Interactions(NamedTuple):
    """A dataset's interactions, ordered by user and then by time.

    Attributes
    ----------
    user, item : numpy.ndarray
        Numbers, int64 ``[n_interactions]``. The checkpoint's items have its numbers, and items
        that it does not know have those behind them.
    users, items : numpy.ndarray
        Tokens of users and of items by number, dtype object.
    """

    user: np.ndarray
    item: np.ndarray
    users: np.ndarray
    items: np.ndarray


def load_trained(path: str | Path) -> Trained:
    """Load a model for use alone: of its dataset, the feature files must be there, no more.

    Parameters
    ----------
    path : str or Path
        A checkpoint of a sequential model.

    Returns
    -------
    Trained

    Raises
    ------
    UserError
        The checkpoint is refused, or its feature files are not there or of another kind.
    """
    return trained_of(load(path), path)


def trained_of(saved: Mapping[str, Any], path: str | Path) -> Trained:
    """Make a model for use alone of what a checkpoint holds.

    Parameters
    ----------
    saved : Mapping
        As :func:`~.loading.load` gives it.
    path : str or Path
        The checkpoint.

    Returns
    -------
    Trained

    Raises
    ------
    UserError
        As for :func:`load_trained`.
    """
    empty = model_of(saved, path)
    hashes = {name: table.hash_items() for name, table in empty.features.items()}
    compare_features(saved, hashes, path)
    fill(empty.model, saved["state_dict"], path)
    return Trained(empty.model.eval(), empty.config, empty.items, Path(path))


class Unfilled(NamedTuple):
    """A model as a checkpoint describes it, whose weights are of no meaning yet.

    Attributes
    ----------
    model, config, items
        As :class:`Trained` has them.
    features : dict of str to AlignedFeatures
        By modality.
    """

    model: Any
    config: Any
    items: np.ndarray
    features: dict[str, Any]


def model_of(saved: Mapping[str, Any], path: str | Path) -> Unfilled:
    """Make the model that a checkpoint is of, for its items.

    Parameters
    ----------
    saved : Mapping
        As :func:`~.loading.load` gives it.
    path : str or Path
        The checkpoint.

    Returns
    -------
    Unfilled

    Raises
    ------
    UserError
        It does not know its items, or is no sequential model, or its features are not there.
    """
    from recbole.model.abstract_recommender import SequentialRecommender
    from recbole.utils import get_model

    from ..model.whitening import without_fitting

    if saved["vocabulary"] is None:
        raise UserError(f"The checkpoint {path} does not know its items.", OTHER)
    config = config_of(saved, path, with_data=False)
    kind = get_model(config["model"])
    if not issubclass(kind, SequentialRecommender):
        raise UserError(
            f"{config['model']} of {path} is not a sequential model.",
            "Give a checkpoint of IDMMDistill, SASRec or GRU4Rec.",
        )
    tokens = saved["vocabulary"]
    if config["ITEM_ID_FIELD"] not in tokens:
        raise UserError(f"The checkpoint {path} does not know its items.", OTHER)
    items = tokens[config["ITEM_ID_FIELD"]]
    features = _features(saved, config, items)
    with _fitting(path), without_fitting():
        model = kind(config, _dataset(config, tokens, features)).to(config["device"])
    return Unfilled(model, config, items, features)


def fill(model: Any, state: Mapping[str, Any], path: str | Path) -> None:
    """Load weights into a model.

    Raises
    ------
    UserError
        They are of another one.
    """
    with _fitting(path):
        model.load_state_dict(state)


@contextmanager
def _fitting(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, AttributeError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"The checkpoint {path} does not fit its model: {reason}.", OTHER) from None


def read_interactions(trained: Trained) -> Interactions:
    """Read the dataset of a trained model as it is now, through the filters of its options.

    Parameters
    ----------
    trained : Trained
        As :func:`load_trained` gives it.

    Returns
    -------
    Interactions

    Raises
    ------
    UserError
        The dataset is not there, or is refused.
    """
    from recbole.data.dataset import Dataset, SequentialDataset

    from ..data.dataset import MultiModalSequentialDataset
    from ..data.parts import check_time, has_lists
    from ..data.sequences import flat_order

    class WithoutFeatures(MultiModalSequentialDataset):
        """Interactions as they are read."""

        def __init__(self, config: Any) -> None:
            SequentialDataset.__init__(self, config)

    config = trained.config
    dataset_folder(config["dataset"], Path(config["data_path"]).parent)
    dataset = WithoutFeatures(config)
    if has_lists(dataset):
        raise UserError(
            f"The files of {dataset.dataset_name} hold histories as lists.",
            "Give histories by --histories.",
        )
    check_time(dataset)
    Dataset._change_feat_format(dataset)  # SequentialDataset's makes a row of each interaction
    columns = dataset.inter_feat
    user, item = (columns[field].numpy() for field in (dataset.uid_field, dataset.iid_field))
    time = columns[dataset.time_field]
    order = flat_order(user, (time if time.dim() == 1 else time[..., 0]).numpy())
    users, items = (
        np.asarray(dataset.field2id_token[field], dtype=object)
        for field in (dataset.uid_field, dataset.iid_field)
    )
    return Interactions(user[order], item[order], users, items)


def _features(saved: Mapping[str, Any], config: Any, items: np.ndarray) -> dict[str, Any]:
    """The features of a checkpoint's items, without those that were held back in training."""
    if config["train_sequences"] is None:  # a model of RecBole's
        return {}
    given = config["feature_path"]
    if isinstance(given, dict) and any(str(f).startswith(PRELOADED) for f in given.values()):
        from recbole.data import create_dataset

        dataset_folder(config["dataset"], Path(config["data_path"]).parent)
        return create_dataset(config).item_features
    modalities = config["modalities"] or []
    found = {}
    for modality in [modalities] if isinstance(modalities, str) else modalities:
        source = find_features(config["dataset"], modality, Path(config["data_path"]), given)
        aligned = align_features(join_features(source, config.added_features.get(modality)), items)
        hashes = saved["features"].get(modality)
        if (config["missing_features"] or {}).get(modality) and hashes is not None:
            held_back = np.pad(hashes == 0, (0, len(items) - len(hashes)))
            aligned = aligned.without(torch.from_numpy(held_back))
        found[modality] = aligned
    return found


def _dataset(config: Any, tokens: Mapping[str, np.ndarray], features: Mapping[str, Any]) -> Any:
    """What models ask of a dataset when they are made; the weights come from the checkpoint."""
    return SimpleNamespace(
        item_features=features,
        inter_feat={config["ITEM_ID_FIELD"]: torch.empty(0, dtype=torch.long)},
        num=lambda field: len(tokens[field]),
        steps_per_epoch=lambda batch_size: 1,
        targets_per_user=0.0,
    )
