"""New items for a trained model, without training."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint
from ..errors import UserError
from ..files import check_output
from ..intake.engine import Engine
from ..intake.ids import read_ids
from ..intake.reading import AS_FOUND, Reading
from ..integration.catalogue import items_of, with_items, with_option, without_items
from ..integration.loading import load
from ..integration.trained import Unfilled, model_of, trained_of
from .item_file import ItemFile, cells_of, read_items
from .models import adapt
from .new_features import Encoding, Made, features_of_new
from .price import Price, price_of_new
from .recommender import Recommender


@dataclass
class Request:
    """What is to be added to a checkpoint, and taken away.

    Attributes
    ----------
    checkpoint : Path
        Of IDMMDistill. It stays as it is.
    output : Path
        The new checkpoint.
    items : Path or None
        The new items: CSV, TSV, Parquet, JSON lines or an atomic ``.item`` file.
    remove : Path or None
        Ids of items that are taken away. One that is in ``items``, too, gets its new features.
    item_id, image : str or None
        Columns of ``items``.
    text : tuple of str
        Columns of ``items``, in the order of the fields that the training's texts were made of; by
        default those of the same names.
    reading : Reading
        How text files are read.
    images : Path or None
        Folder of the pictures.
    features : dict of str to Path
        Ready-made vectors of the new items: a feature file by modality.
    encoders : Encoding
        Where the encoders are, and how they compute.
    new_item_weight : float or None
        How much what training never saw is wanted; None: as the checkpoint says.
    """

    checkpoint: Path
    output: Path
    items: Path | None = None
    remove: Path | None = None
    item_id: str | None = None
    text: tuple[str, ...] = ()
    image: str | None = None
    reading: Reading = AS_FOUND
    images: Path | None = None
    features: Mapping[str, Path] = field(default_factory=dict)
    encoders: Encoding = field(default_factory=Encoding)
    new_item_weight: float | None = None


@dataclass(frozen=True)
class Changed:
    """What was done.

    Attributes
    ----------
    new : tuple of str
        Tokens of the items that were added.
    removed : tuple of str
        Of those that were taken away.
    n_items : int
        Items of the new checkpoint.
    read : ItemFile or None
        What was read of the new items.
    made : dict of str to Made
        What became of their features, by modality.
    without_features : tuple of str
        Items that were left out because they have no feature at all.
    n_unknown : int
        Items to be taken away that the model did not know.
    price : Price or None
        What new items cost; None if it cannot be measured.
    no_price : str
        Why it cannot; empty if it was.
    """

    new: tuple[str, ...]
    removed: tuple[str, ...]
    n_items: int
    read: ItemFile | None
    made: Mapping[str, Made]
    without_features: tuple[str, ...]
    n_unknown: int
    price: Price | None
    no_price: str

    def text(self) -> str:
        """Give it in some lines."""
        lines = []
        if self.removed or self.n_unknown:
            lines.append(f"Items taken away: {len(self.removed):,}.")
        if self.n_unknown:
            lines.append(f"Items to be taken away that the model does not know: {self.n_unknown}.")
        if self.read is not None:
            lines += [*self.read.lines(), f"Items added: {len(self.new):,}."]
        lines += [f"  {made.line(modality)}" for modality, made in self.made.items()]
        if self.without_features:
            lines.append(
                "Left out, because nothing is known of them by which they could be recommended: "
                + _some(self.without_features)
            )
        lines.append(f"The new checkpoint has {self.n_items:,} items.")
        lines.append(self.no_price if self.price is None else self.price.text())
        return "\n".join(line for line in lines if line)


def add_items(request: Request) -> Changed:
    """Write a checkpoint with more items, or fewer. It appears when it is whole.

    Parameters
    ----------
    request : Request
        What is asked for.

    Returns
    -------
    Changed

    Raises
    ------
    UserError
        Something given cannot be used. Then nothing is written.
    """
    _check(request)
    saved, path = load(request.checkpoint), request.checkpoint
    unfilled = _model(saved, request)
    if request.new_item_weight is not None:
        saved = with_option(saved, "new_item_weight", request.new_item_weight)
    with tempfile.TemporaryDirectory(prefix="recbole-mm-") as folder:
        scratch = Path(folder)
        with Engine(scratch / "database") as engine:
            removed, n_unknown = _removed(request, engine, items_of(saved, path))
            saved = without_items(saved, removed, path)
            read = None
            if request.items is not None:
                read = read_items(request, engine, items_of(saved, path), unfilled, scratch)
        new: tuple[str, ...] = ()
        left_out: tuple[str, ...] = ()
        made: dict[str, Made] = {}
        if read is not None and len(read.tokens):
            made = features_of_new(request, read, unfilled, scratch)
            new, left_out = _with_features(read.tokens, made)
            features = {name: m.features for name, m in made.items() if m.features is not None}
            if not new and not len(removed):
                raise UserError(
                    f"None of the {len(read.tokens)} new items has a feature. "
                    + " ".join(m.line(name) for name, m in made.items()),
                    "Give texts, pictures or ready-made vectors of them.",
                )
            if new:
                titles = cells_of(read, read.title_field, new)
                pictures = cells_of(read, read.image_field, new)
                saved = with_items(saved, new, features, titles, pictures, path)
        elif read is not None and not len(removed):
            raise UserError(
                f"{request.items} has no item that {path} does not know. {' '.join(read.lines())}",
                "Give new items; one that is in the file of --remove, too, is made anew.",
            )
        price, no_price = _price(saved, request)
        checkpoint.write(request.output, saved)
    n_items = len(items_of(saved, path)) - 1
    return Changed(new, tuple(removed), n_items, read, made, left_out, n_unknown, price, no_price)


def _check(request: Request) -> None:
    check_output(request.output, "--output")
    if request.output.exists() and request.output.samefile(request.checkpoint):
        raise UserError(
            f"--output is {request.output}, the checkpoint itself.", "Name a new checkpoint."
        )
    if request.items is None and request.remove is None:
        raise UserError("Neither new items nor --remove is given.", "Give a file of items.")
    if request.new_item_weight is not None and not 0 <= request.new_item_weight < np.inf:
        raise UserError(
            f"--new_item_weight is {request.new_item_weight}.",
            "Give a number that is not negative.",
        )


def _model(saved: Mapping[str, Any], request: Request) -> Unfilled:
    """The model of the checkpoint, if it is one that can take new items."""
    unfilled = model_of(saved, request.checkpoint)
    if not hasattr(unfilled.model, "start_items"):
        raise UserError(
            f"{request.checkpoint} is a model {saved['model']}, which knows items by their ID "
            "alone.",
            "Give a checkpoint of IDMMDistill.",
        )
    if request.items is not None and not unfilled.features:
        raise UserError(
            f"{request.checkpoint} was trained without texts and pictures: it cannot tell new "
            "items apart.",
            "Give a checkpoint that has modalities.",
        )
    return unfilled


def _removed(request: Request, engine: Engine, items: np.ndarray) -> tuple[np.ndarray, int]:
    """Items to take away, and how many of those asked for are unknown."""
    if request.remove is None:
        return items[:0], 0
    asked = read_ids(engine, request.remove, "item", request.reading)
    known = set(items[1:])
    found = [token for token in asked if token in known]
    if not found:
        raise UserError(
            f"None of the {len(asked)} items of --remove={request.remove} is known (the first is "
            f"{asked[0]!r}).",
            "Give ids as the dataset has them.",
        )
    return np.array(found, dtype=object), len(asked) - len(found)


def _with_features(
    tokens: np.ndarray, made: Mapping[str, Made]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that have a feature of any modality, and the others."""
    has = {
        token
        for of_modality in made.values()
        if of_modality.features is not None
        for token in of_modality.features.item_tokens
    }
    new = tuple(token for token in tokens if token in has)
    return new, tuple(token for token in tokens if token not in has)


def _price(saved: Mapping[str, Any], request: Request) -> tuple[Price | None, str]:
    """What new items cost; this also proves that the new checkpoint can be used."""
    trained = trained_of(saved, request.output)
    return price_of_new(Recommender(trained, adapt(trained.model, request.output)))


def _some(tokens: tuple[str, ...]) -> str:
    return f"{len(tokens):,} ({', '.join(map(repr, tokens[:3]))})."
