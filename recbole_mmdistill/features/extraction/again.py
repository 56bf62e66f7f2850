"""The encoder that a feature file was made by, opened again for more items."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..source import FeatureInfo
from .encoder import Encoder
from .image_encoder import POOLED as POOLED_IMAGE
from .image_encoder import image_encoder
from .inputs import Inputs, Pictures
from .text_encoder import POOLED as POOLED_TEXT
from .text_encoder import TextEncoder
from .texts import Template

_UNIT_LENGTH = "each vector divided by its length"
_TEXT = re.compile(
    rf".*?, (?:fields joined by '\. '|template (?P<template>.+)); up to (?P<tokens>\d+) tokens"
    rf"(?:; {_UNIT_LENGTH})?",
    re.DOTALL,
)
_LAYER = re.compile(r"(?P<pooling>.*?)(?: of layer (?P<layer>-?\d+))?")


def info_of(modality: str, inputs: Inputs, encoder: Encoder) -> FeatureInfo:
    """Say how features are made.

    Parameters
    ----------
    modality, inputs, encoder
        As for :func:`.job.extract`.
    """
    done_to_vectors = [_UNIT_LENGTH] * encoder.normalize
    return FeatureInfo(
        modality=modality,
        encoder=encoder.name,
        weights_hash=encoder.weights_hash,
        pooling=encoder.pooling,
        preprocessing="; ".join([inputs.treatment, encoder.preprocessing, *done_to_vectors]),
        source_fields=inputs.source_fields,
    )


def is_of_text(info: FeatureInfo) -> bool:
    """Whether ``recbole-mm extract`` made features of texts, so that it can make more."""
    return _TEXT.fullmatch(info.preprocessing) is not None


def is_of_images(info: FeatureInfo) -> bool:
    """Whether ``recbole-mm extract`` made features of pictures."""
    return info.preprocessing.startswith(f"{Pictures.treatment}; ")


def template_again(info: FeatureInfo) -> Template:
    """Give the template of texts; ``is_of_text`` holds."""
    found = _TEXT.fullmatch(info.preprocessing)
    assert found is not None
    text = found["template"]
    try:
        return Template(info.source_fields, None if text is None else ast.literal_eval(text))
    except (ValueError, SyntaxError):
        raise UserError(
            f"The template of the {info.modality} features cannot be read: {text[:80]}.",
            "Give ready-made vectors of the new items.",
        ) from None


def text_encoder_again(info: FeatureInfo, encoder: str | None = None, **settings: Any) -> Encoder:
    """Open the encoder of texts that features name.

    Parameters
    ----------
    info : FeatureInfo
        Of these features.
    encoder : str, optional
        Its folder, or its name on the hub; by default the name that the features have.
    **settings
        ``device`` and ``precision`` of :class:`Encoder`.

    Raises
    ------
    UserError
        It is not to be had.
    """
    found, layer = _TEXT.fullmatch(info.preprocessing), _LAYER.fullmatch(info.pooling)
    assert found is not None and layer is not None
    with _options_of("text"):
        return TextEncoder(
            encoder or info.encoder,
            pooling=_key_of(POOLED_TEXT, layer["pooling"], info),
            layer=int(layer["layer"] or -1),
            max_length=int(found["tokens"]),
            **_common(info, settings),
        )


def image_encoder_again(
    info: FeatureInfo, encoder: str | None = None, weights: Path | None = None, **settings: Any
) -> Encoder:
    """Open the encoder of pictures that features name.

    Parameters
    ----------
    info, encoder, **settings
        As for :func:`text_encoder_again`.
    weights : pathlib.Path, optional
        Of a model of timm's; without it timm's own are fetched.

    Raises
    ------
    UserError
        It is not to be had.
    """
    way = info.preprocessing.removeprefix(f"{Pictures.treatment}; ").partition(" crop ")
    with _options_of("image"):
        return image_encoder(
            encoder or info.encoder,
            weights=weights,
            crop_mode=way[0] if way[1] else None,
            pooling=_key_of(POOLED_IMAGE, info.pooling, info),
            **_common(info, settings),
        )


@contextmanager
def _options_of(modality: str) -> Iterator[None]:
    """Name the options as they are called where encoders of several modalities are given."""
    try:
        yield
    except UserError as error:
        remedy = re.sub(r"--(encoder|weights)\b", rf"--{modality}_\1", error.remedy)
        raise UserError(error.what, remedy) from None


def check_same(made: FeatureInfo, of_training: FeatureInfo) -> None:
    """Refuse vectors that were made in another way than those of the training.

    Parameters
    ----------
    made, of_training : FeatureInfo
        How; what either does not know is not compared, nor is the encoder's name: its weights
        have a hash.

    Raises
    ------
    UserError
        They differ.
    """
    for name, what in (
        ("weights_hash", "weights"),
        ("pooling", "pooling"),
        ("preprocessing", "preprocessing"),
    ):
        mine, theirs = getattr(made, name), getattr(of_training, name)
        if mine != theirs and "unknown" not in (mine, theirs):
            if name == "weights_hash":
                mine, theirs = (
                    f"{info.encoder} {info.weights_hash[:12]}" for info in (made, of_training)
                )
            raise UserError(
                f"The {of_training.modality} vectors of the new items are of other {what} "
                f"({mine}) than those of the training ({theirs}).",
                "Give the encoder that the training's features were made by.",
            )


def not_by_extract(info: FeatureInfo) -> UserError:
    """Give the error of features that do not say how more of them are made."""
    return UserError(
        f"The {info.modality} features of the training do not say how `recbole-mm extract` could "
        f"make more of them (encoder {info.encoder!r}, {info.preprocessing!r}).",
        f"Give ready-made vectors of the new items with --{info.modality}_features.",
    )


def _key_of(pooled: dict[str, str], words: str, info: FeatureInfo) -> str:
    for key, said in pooled.items():
        if said == words:
            return key
    raise UserError(
        f"The {info.modality} features were pooled by {words!r}, which this version cannot do.",
        "Give ready-made vectors of the new items.",
    )


def _common(info: FeatureInfo, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "untrained": info.is_untrained,
        "normalize": info.preprocessing.endswith(_UNIT_LENGTH),
        **settings,
    }
