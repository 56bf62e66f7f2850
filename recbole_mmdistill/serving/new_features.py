"""Features of new items, made as those of the training were."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import UserError
from ..features import FeatureInfo, FeatureSource, open_features, take_items
from ..features.pictures import PictureFolder
from ..integration.trained import Unfilled
from .item_file import IMAGE, TEXT, ItemFile, table_of

if TYPE_CHECKING:
    from ..features.extraction import Encoder, Inputs
    from .new_items import Request


_SHOWN = 3  # inputs of no use
_WITHOUT = {True: "gets ready-made vectors", False: "has no pictures"}


@dataclass(frozen=True)
class Encoding:
    """Where the encoders of the training's features are, and how they compute.

    Attributes
    ----------
    text, image : str or None
        Folder or name of an encoder; None: the name that the features have.
    image_weights : Path or None
        Of a model of timm's; None: timm's own.
    batch_size : int
        Inputs encoded at once.
    device, precision : str
        As for ``recbole-mm extract``.
    """

    text: str | None = None
    image: str | None = None
    image_weights: Path | None = None
    batch_size: int = 64
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class Made:
    """Features of one modality for new items.

    Attributes
    ----------
    features : FeatureSource or None
        None: no item has one.
    n_items, n_missing, n_failed : int
        New items, those without an input, and those with one of no use.
    remark : str
        What else a reader must know.
    """

    features: FeatureSource | None
    n_items: int
    n_missing: int
    n_failed: int = 0
    remark: str = ""

    def line(self, modality: str) -> str:
        """Say in a line how many items have features."""
        done = self.n_items - self.n_missing - self.n_failed
        said = f"{modality}: {done:,} of {self.n_items:,}"
        if self.n_missing:
            said += f", without: {self.n_missing:,}"
        if self.n_failed:
            said += f", of no use: {self.n_failed:,}"
        return f"{said}.{self.remark and ' '}{self.remark}"


def features_of_new(
    request: Request, read: ItemFile, model: Unfilled, scratch: Path
) -> dict[str, Made]:
    """Make or read the features of new items, for every modality of a model.

    Parameters
    ----------
    request : Request
        Names encoders and files.
    read : ItemFile
        The new items.
    model : Unfilled
        With the features of the training.
    scratch : Path
        Folder for what is made.

    Returns
    -------
    dict of str to Made

    Raises
    ------
    UserError
        An encoder, a file or a folder cannot be used, or is another one than that of the training.
    """
    from ..features.extraction import again

    for modality in request.features:
        if modality not in model.features:
            raise UserError(
                f"Vectors of {modality} are given, which is no modality of {request.checkpoint}.",
                f"Give those of {', '.join(model.features)}.",
            )
    if request.images is not None and (IMAGE not in model.features or IMAGE in request.features):
        raise UserError(
            f"--images is given, but the model {_WITHOUT[IMAGE in request.features]}.",
            "Leave it out.",
        )
    made = {}
    for modality, aligned in model.features.items():
        if modality in request.features:
            made[modality] = _ready(request.features[modality], aligned, read.tokens)
        elif modality == TEXT and read.has_text:
            made[modality] = _of_texts(request, read, aligned.info, scratch)
        elif modality == IMAGE and request.images is not None:
            made[modality] = _of_pictures(request, read, aligned.info, scratch)
        else:
            remark = f"Nothing of {modality} is given."
            if modality == TEXT and not again.is_of_text(aligned.info):
                remark = (
                    "Give --text_features: those of the training are not by recbole-mm extract."
                )
            made[modality] = Made(None, len(read.tokens), len(read.tokens), 0, remark)
        features = made[modality].features
        if features is not None and features.values.shape[2] != aligned.dim:
            raise UserError(
                f"The {modality} vectors of the new items have {features.values.shape[2]} numbers, "
                f"those of the training {aligned.dim}.",
                "Give vectors of the encoder that the training's features were made by.",
            )
    return made


def _ready(path: Path, aligned: Any, tokens: np.ndarray) -> Made:
    """Vectors that somebody else has made."""
    from ..features.extraction.again import check_same

    source = open_features(path)
    check_same(source.info, aligned.info)
    found = take_items(source, tokens)
    n_found = 0 if found is None else len(found)
    unsaid = "unknown" in (source.info.weights_hash, aligned.info.weights_hash)
    remark = "Their encoder is not compared: a file does not name its weights." if unsaid else ""
    return Made(found, len(tokens), len(tokens) - n_found, 0, remark)


def _of_texts(request: Request, read: ItemFile, info: FeatureInfo, scratch: Path) -> Made:
    from ..features.extraction import Texts, again

    inputs = Texts(table_of(read), again.template_again(info))
    encoder = again.text_encoder_again(info, request.encoders.text, **_settings(request))
    return _encode(request, inputs, encoder, info, scratch)


def _of_pictures(request: Request, read: ItemFile, info: FeatureInfo, scratch: Path) -> Made:
    from ..features.extraction import Pictures, again

    assert request.images is not None
    if not again.is_of_images(info):
        raise again.not_by_extract(info)
    folder = PictureFolder(request.images)
    if read.image_field is None:
        inputs = Pictures(folder, read.tokens)
    else:
        inputs = Pictures(folder, read.tokens, table_of(read), read.image_field)
    encoder = again.image_encoder_again(
        info, request.encoders.image, request.encoders.image_weights, **_settings(request)
    )
    return _encode(request, inputs, encoder, info, scratch)


def _settings(request: Request) -> dict[str, Any]:
    return {"device": request.encoders.device, "precision": request.encoders.precision}


def _encode(
    request: Request, inputs: Inputs, encoder: Encoder, info: FeatureInfo, scratch: Path
) -> Made:
    from ..features.extraction import again, extract
    from ..features.extraction.job import NothingEncoded, report_path

    again.check_same(again.info_of(info.modality, inputs, encoder), info)
    n_items, batch_size = len(inputs.item_tokens), request.encoders.batch_size
    n_workers = max(1, len(os.sched_getaffinity(0)) // 2) if info.modality == IMAGE else 0
    output = scratch / f"new.{info.modality}.safetensors"
    try:
        done = extract(info.modality, inputs, encoder, output, batch_size, n_workers)
    except NothingEncoded as nothing:
        n_failed = nothing.n_failed
        return Made(None, n_items, n_items - n_failed, n_failed, _reasons(report_path(output)))
    # The folder is cleared away before they are used.
    features = take_items(open_features(output), inputs.item_tokens)
    return Made(features, n_items, done.missing, done.failed, _reasons(done.report))


def _reasons(report: Path) -> str:
    """Say of the first inputs that are of no use why they are."""
    table = pd.read_csv(report, sep="\t", dtype=str, keep_default_na=False)
    failed = table[table["status"] == "failed"].head(_SHOWN)
    each = (f"{r.item_id} ({r.input}): {r.reason}" for r in failed.itertuples())
    return "; ".join(each) + "." if len(failed) else ""
