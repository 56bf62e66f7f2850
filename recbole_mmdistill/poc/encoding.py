"""Features of the items: ready ones, those of an encoder, or TF-IDF where there is none."""

from __future__ import annotations

import glob
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..features import FeatureInfo, find_features, write_features
from ..features.atomic import ItemTable
from ..features.extraction import Inputs, Pictures, Template, TextEncoder, Texts, image_encoder
from ..features.extraction.hub import packaged_encoder
from ..features.extraction.job import NothingEncoded, TooSlow, extract
from ..features.pictures import PictureFolder
from .inputs import stamps
from .steps import OutOfTime

TFIDF = "TF-IDF and truncated SVD"
_TEXT_MODELS = ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-mpnet-base-v2")
_IMAGE_MODELS = ("openai/clip-vit-base-patch32", "google/siglip-base-patch16-224")
_DIMS = 128
READY, ENCODED, FALLBACK, NONE = "ready", "encoded", "fallback", "none"
SLOW = "slow_encoder"  # the reason of none that more time would change


@dataclass(frozen=True)
class Found:
    """Where the features of a modality come from.

    Attributes
    ----------
    how : str
        ``ready``, ``encoded``, ``fallback`` (TF-IDF), or ``none``.
    encoder : str
        What made them; for ``none`` the key of the reason.
    path : str
        Of the file; empty for ``none``.
    untrained : bool
        Whether the weights of the encoder of ready features were random numbers.
    """

    how: str
    encoder: str
    path: str = ""
    untrained: bool = False

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def choice(
    modality: str, dataset: str, folder: Path, encoder: str | None, weights: Path | None = None
) -> list[Any]:
    """Give what features would be made from now, as JSON has it.

    It changes when ready ones are put into the dataset's folder, or an encoder onto the machine.
    """
    ready = stamps(sorted(folder.glob(f"{glob.escape(dataset)}.{modality}.*")))
    here = _text_model_here() if modality == "text" else _image_model_here(weights)
    return [ready, encoder or here, stamps([weights] if weights else [])]


def text_inputs(table: ItemTable, fields: Sequence[str]) -> Texts:
    """The texts of the items; all fields of texts if none is named."""
    return Texts(table, Template.of_fields(",".join(fields)))


def make_text(
    dataset: str,
    folder: Path,
    home: Path,
    fields: Sequence[str],
    encoder: str | None,
    seconds: float = math.inf,
) -> Found:
    """Find the features of the texts, or make them.

    Parameters
    ----------
    dataset : str
        Its name.
    folder, home : Path
        Of its files, and where features are written.
    fields : sequence of str
        Columns of the ``.item`` file; none: there are no texts.
    encoder : str or None
        As ``recbole-mm extract`` takes it; None: one of this machine, or else TF-IDF.
    seconds : float
        For encoding.

    Returns
    -------
    Found

    Raises
    ------
    OutOfTime
        Encoding takes longer.
    UserError
        The encoder that is named cannot be had.
    """
    ready = _ready(dataset, "text", folder)
    if ready is not None and encoder is None:
        return ready
    if not fields:
        return Found(NONE, "no_texts")
    table = ItemTable(folder / f"{dataset}.item")
    inputs = text_inputs(table, fields)
    output = home / f"{dataset}.text.safetensors"
    named = encoder or _text_model_here()
    try:
        if named is None:
            _write_tfidf(inputs, output)
            return Found(FALLBACK, TFIDF, str(output))
        extract("text", inputs, TextEncoder(named), output, seconds=seconds)
    except TooSlow:
        raise OutOfTime(Found(NONE, SLOW).plain()) from None
    except NothingEncoded:
        return Found(NONE, "no_texts")
    return Found(ENCODED, _plain_name(named), str(output))


def make_image(
    dataset: str,
    folder: Path,
    home: Path,
    images: Path | None,
    image_field: str | None,
    encoder: str | None,
    weights: Path | None,
    seconds: float = math.inf,
) -> Found:
    """Find the features of the pictures, or make them.

    Parameters
    ----------
    dataset : str
        Its name.
    folder, home : Path
        Of its files, and where features are written.
    images : Path or None
        Folder of the pictures.
    image_field : str or None
        Column of the ``.item`` file that names them; None: the items' ids do.
    encoder : str or None
        As ``recbole-mm extract`` takes it; None: one of this machine, if there is one.
    weights : Path or None
        Of a timm model.
    seconds : float
        For encoding.

    Returns
    -------
    Found

    Raises
    ------
    OutOfTime
        Encoding takes longer.
    UserError
        The encoder that is named cannot be had.
    """
    ready = _ready(dataset, "image", folder)
    if ready is not None and encoder is None:
        return ready
    if images is None:
        return Found(NONE, "no_pictures")
    named = encoder or _image_model_here(weights)
    if named is None:
        return Found(NONE, "no_image_encoder")
    table = ItemTable(folder / f"{dataset}.item")
    pictures = PictureFolder(images)
    if image_field is None:
        inputs = Pictures(pictures, table.item_tokens)
    else:
        inputs = Pictures(pictures, table.item_tokens, table, image_field)
    output = home / f"{dataset}.image.safetensors"
    try:
        extract("image", inputs, image_encoder(named, weights=weights), output, seconds=seconds)
    except TooSlow:
        raise OutOfTime(Found(NONE, SLOW).plain()) from None
    except NothingEncoded:
        return Found(NONE, "no_usable_pictures")
    return Found(ENCODED, _plain_name(named), str(output))


def _ready(dataset: str, modality: str, folder: Path) -> Found | None:
    try:
        source = find_features(dataset, modality, folder)
    except UserError:
        if (folder / f"{dataset}.{modality}.safetensors").exists():
            raise
        return None
    info = source.info
    return Found(READY, info.encoder, str(source.path or folder), info.is_untrained)


def _text_model_here() -> str | None:
    packaged = packaged_encoder()
    return str(packaged) if packaged is not None else _in_cache(_TEXT_MODELS)


def _image_model_here(weights: Path | None) -> str | None:
    return "vit_tiny_patch16_224" if weights else _in_cache(_IMAGE_MODELS)


def _in_cache(names: Sequence[str]) -> str | None:
    """The first of some models that the hub's cache on this machine holds."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return name
    return None


def _plain_name(encoder: str) -> str:
    """Give the name of an encoder without the folders of this machine."""
    path = Path(encoder)
    if not path.is_dir():
        return encoder
    return path.parent.name if path.name == "model" else path.name


def _write_tfidf(inputs: Inputs, output: Path) -> None:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    read: list[Any] = [inputs.read(row) for row in range(len(inputs.item_tokens))]
    rows = [row for row, text in enumerate(read) if text]
    if len(rows) < 2:
        raise NothingEncoded("Hardly any item has a text.", "Leave --text out.")
    # Letters, not words: it works for languages without spaces, too.
    vectorizer = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), max_features=50_000, sublinear_tf=True
    )
    table = vectorizer.fit_transform([read[row].decode("utf-8") for row in rows])
    svd = TruncatedSVD(min(_DIMS, min(table.shape) - 1), random_state=0)
    values = svd.fit_transform(table)
    values /= np.linalg.norm(values, axis=1, keepdims=True).clip(min=1e-9)
    info = FeatureInfo("text", encoder=TFIDF, preprocessing=inputs.treatment)
    write_features(output, values.astype(np.float32), inputs.item_tokens[rows].tolist(), info)
