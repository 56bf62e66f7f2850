"""What state a sample is in: its size, its texts and pictures, and what it can show."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..atomic import AtomicFile
from ..evaluation.rows import Rows
from ..features import open_features, read_npy
from ..features.atomic import ItemTable
from ..features.extraction import Inputs, Pictures, clean
from ..features.pictures import MissingPicture, PictureFolder, UnreadablePicture, decode
from ..features.report.catalogue import Catalogue
from ..features.report.modality import ModalityFeatures
from ..intake.items import field_name
from .encoding import NONE, text_inputs
from .gains import quality, seed_variance, users_needed
from .sample import ITEM, TIME, USER, Sample

EFFECT = 0.05
_SHORT = 20  # letters: less says hardly anything
_SMALL = 64  # pixels
_DECODED = 500  # pictures that are looked at in full
_WORST = 8
_SCRIPTS = {
    "Japanese": (0x3040, 0x30FF),
    "Korean": (0xAC00, 0xD7AF),
    "Chinese": (0x4E00, 0x9FFF),
    "Cyrillic": (0x0400, 0x04FF),
    "Arabic": (0x0600, 0x06FF),
    "Greek": (0x0370, 0x03FF),
}
_COMMON = {
    "English": "the and for with of to your",
    "German": "und der die das mit für von aus ein eine",
    "French": "le la les et des pour avec une",
    "Spanish": "el los las y para con una del",
    "Italian": "il di e per con una della gli",
    "Portuguese": "o os e para com uma do não",
    "Dutch": "de het en een van voor met op",
}
_LETTERS = {"German": "äöüß", "French": "çœêè", "Spanish": "ñ", "Portuguese": "ãõ"}
_SHARED = {word for word, n in Counter(" ".join(_COMMON.values()).split()).items() if n > 1}
_WORDS = {name: {*words.split()} - _SHARED for name, words in _COMMON.items()}


def text_fields(sample: Sample, given: Sequence[str]) -> list[str]:
    """Choose the columns of texts: those given, or all of several words that are no file's name."""
    path = sample.folder / f"{sample.dataset}.item"
    if not path.is_file():
        return []
    types = AtomicFile(path).types
    if given:
        names = [field_name(column, []) for column in given]
        return [name if name in types else column for name, column in zip(names, given)]
    fields = [name for name, ftype in types.items() if ftype == "token_seq" and "image" not in name]
    return fields or [name for name in types if name in ("title", "name")]


def describe(
    sample: Sample,
    fields: Sequence[str],
    images: Path | None,
    image: str | None,
    found: Mapping[str, Mapping[str, str]],
    rows: Rows,
    base: Mapping[str, Any],
) -> dict[str, Any]:
    """Measure a sample.

    Parameters
    ----------
    sample : Sample
        The interactions.
    fields : sequence of str
        Of texts, in the ``.item`` file.
    images : Path or None
        Folder of the pictures.
    image : str or None
        Column that names them; None: the items' ids do.
    found : Mapping
        By modality where its features come from.
    rows : Rows
        The test rows.
    base : Mapping
        What :func:`.stages.rank_baselines` gave.

    Returns
    -------
    dict
        ``size``, ``time``, ``test``, ``power``, ``features`` by modality, ``texts``, ``pictures``.
    """
    catalogue = Catalogue(sample.dataset, sample.folder)
    return {
        "size": _size(sample),
        "time": _time(sample),
        "test": _test(rows, base),
        "power": _power(rows, base),
        "features": {
            name: _features(Path(of["path"]), name, catalogue)
            for name, of in found.items()
            if of["how"] != NONE
        },
        "texts": _texts(sample, fields) if fields else None,
        "pictures": _pictures(sample, catalogue, images, image) if images else None,
    }


def _power(rows: Rows, base: Mapping[str, Any]) -> dict[str, Any]:
    """How many users show a gain, before there are models to compare.

    Two rankings whose quality for a user correlates by a half differ by as much as one of them
    varies. The two tables themselves do not serve: they may be nearly the same ranking. Two models
    of one seed each are expected.
    """
    tables = [quality([base["ranks"][name]]) for name in ("popular", "markov")]
    user = np.unique(np.asarray(rows.users), return_inverse=True)[1]
    of_user = np.bincount(user, max(tables, key=np.mean))
    return {
        "users": len(of_user),
        "needed": users_needed(of_user, of_user, EFFECT, 2 * seed_variance({"id": 1})),
        "effect": EFFECT,
    }


def _size(sample: Sample) -> dict[str, Any]:
    per_user, per_item = (sample.inter[of].value_counts() for of in (USER, ITEM))
    per_user, per_item = per_user[per_user > 0], per_item[per_item > 0]
    by_count = np.sort(per_item.to_numpy())[::-1]
    head = by_count[: int(np.ceil(len(by_count) / 10))].sum()
    return {
        "users": len(per_user),
        "items": len(per_item),
        "interactions": len(sample.inter),
        "median_per_user": float(per_user.median()),
        "median_per_item": float(per_item.median()),
        "users_with_three": int((per_user >= 3).sum()),
        "items_below_five": float((per_item < 5).mean()),
        "share_of_head": float(head / by_count.sum()),
    }


def _time(sample: Sample) -> dict[str, Any]:
    time = sample.inter[TIME].to_numpy()
    days = [
        datetime.fromtimestamp(float(moment), timezone.utc).date().isoformat()
        for moment in (time.min(), time.max())
        if sample.time_is_real
    ]
    same = sample.inter.duplicated([USER, TIME]).mean() if sample.time_is_real else 0.0
    return {
        "real": sample.time_is_real,
        "split_by_time": sample.split_by_time,
        "days": days,
        "same_moment": float(same),
    }


def _test(rows: Rows, base: Mapping[str, Any]) -> dict[str, Any]:
    popularity = Counter(rows.popularity)
    n = len(rows.users)
    return {
        "rows": n,
        "users": len(set(rows.users)),
        "train_rows": base["n_train"],
        "valid_rows": base["n_valid"],
        "items": rows.n_items,
        "new": popularity["cold"] / n,
        "tail": popularity["tail"] / n,
        "repeats": base["repeats"],
    }


def _features(path: Path, modality: str, catalogue: Catalogue) -> dict[str, Any]:
    if path.suffix == ".npy":
        source = read_npy(path, path.with_suffix(".ids"), modality)
    else:
        source = open_features(path)
    part = ModalityFeatures(source, catalogue)
    probes = np.random.default_rng(0).permutation(part.items)[:64]
    part.measure(probes)
    bought = catalogue.n_interactions
    largest = len(part.duplicates[0]) if part.duplicates else 0
    return {
        "items": len(part.items),
        "of": len(catalogue),
        "coverage": len(part.items) / max(len(catalogue), 1),
        "purchases": float(bought[part.items].sum() / max(bought.sum(), 1)),
        "sharing": sum(map(len, part.duplicates)),
        "largest_group": largest,
        "beyond_chance": None if part.closeness is None else part.closeness.is_beyond_chance,
    }


def _texts(sample: Sample, fields: Sequence[str]) -> dict[str, Any]:
    table = ItemTable(sample.folder / f"{sample.dataset}.item")
    inputs = text_inputs(table, fields)
    columns = table.columns(fields)
    changed = 0
    texts: list[str] = []
    for row, cells in enumerate(table):
        changed += any(clean(cells[column]) != cells[column].strip() for column in columns)
        texts.append((inputs.read(row) or b"").decode("utf-8"))
    length = np.array([len(text) for text in texts])
    same = Counter(text for text in texts if text)
    return {
        "fields": list(fields),
        "items": len(texts),
        "empty": int((length == 0).sum()),
        "short": int(((length > 0) & (length < _SHORT)).sum()),
        "median_length": float(np.median(length[length > 0])) if (length > 0).any() else 0.0,
        "cleaned": changed,
        "identical": sum(n for n in same.values() if n > 1),
        "languages": languages(texts),
        "worst": _worst(sample, table, np.flatnonzero(length < _SHORT), texts.__getitem__),
    }


def _worst(
    sample: Sample,
    table: ItemTable,
    rows: np.ndarray,
    said: Callable[[int], str],
    why: Mapping[int, str] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """The most bought of some items: these deserve better data first."""
    counts = sample.counts
    found = [(int(counts.get(table.item_tokens[row], 0)), int(row)) for row in rows]
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    return [
        {
            "item": str(table.item_tokens[row]),
            "purchases": n,
            "said": said(row)[:80],
            "why": why.get(row, ""),
        }
        for n, row in found[:_WORST]
        if n
    ]


def languages(texts: Sequence[str], n: int = 2000) -> dict[str, float]:
    """Guess the languages of texts by their scripts and by frequent words.

    Parameters
    ----------
    texts : sequence of str
        Of which the first ``n`` are read that are not empty.
    n : int
        How many.

    Returns
    -------
    dict of str to float
        Share of the texts, the largest first; ``other`` are texts without a word that tells.
    """
    count: Counter[str] = Counter()
    read = [text for text in texts if text][:n]
    for text in read:
        count[_language(text)] += 1
    return {name: k / len(read) for name, k in count.most_common(4)}


def _language(text: str) -> str:
    codes = [ord(letter) for letter in text[:200] if ord(letter) > 0x2FF]
    if len(codes) > 0.1 * min(len(text), 200):
        for name, (low, high) in _SCRIPTS.items():
            if any(low <= code <= high for code in codes):
                return name
    lower = text.lower()
    words = re.findall(r"\w+", lower)
    hits = {
        name: sum(word in of for word in words)
        + any(letter in lower for letter in _LETTERS.get(name, ""))
        for name, of in _WORDS.items()
    }
    best, second = sorted(hits, key=hits.__getitem__, reverse=True)[:2]
    return best if hits[best] > hits[second] else "other"


def _pictures(
    sample: Sample, catalogue: Catalogue, folder: Path, image: str | None
) -> dict[str, Any]:
    table = ItemTable(sample.folder / f"{sample.dataset}.item")
    pictures = PictureFolder(folder)
    inputs: Inputs
    if image is None:
        inputs = Pictures(pictures, table.item_tokens)
    else:
        inputs = Pictures(pictures, table.item_tokens, table, image)
    digests: Counter[bytes] = Counter()
    lacking, small = [], 0
    unusable: dict[int, str] = {}
    sizes: list[int] = []
    decoded = _drawn(len(table))
    for row in range(len(table)):
        try:
            data = inputs.read(row)
            if data is None:
                lacking.append(row)
                continue
            if row in decoded:
                side = min(decode(data).size)
                sizes.append(side)
                small += side < _SMALL
            digests[hashlib.sha256(data).digest()] += 1
        except MissingPicture:
            lacking.append(row)
        except UnreadablePicture as error:
            unusable[row] = str(error)
    repeated = [n for n in digests.values() if n > 1]
    return {
        "items": len(table),
        "missing": len(lacking),
        "unreadable": len(unusable),
        "unused": inputs.unused(),
        "identical": sum(repeated),
        "largest_group": max(repeated, default=0),
        "looked_at": len(sizes),
        "small": small,
        "median_side": float(np.median(sizes)) if sizes else 0.0,
        "worst": _worst(
            *(sample, table, np.array([*lacking, *unusable], dtype=int)),
            *(catalogue.title, unusable),
        ),
    }


def _drawn(n: int) -> frozenset[int]:
    """Rows whose pictures are decoded; of the others the bytes alone are read."""
    return frozenset(np.random.default_rng(0).permutation(n)[:_DECODED].tolist())
