"""The overview as one HTML page that needs nothing else: pictures are part of it."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from itertools import repeat
from pathlib import Path

import numpy as np

from ... import pages
from ..locate import shipped
from ..pictures import PictureFolder, UnreadablePicture, decode
from ..popularity import RULE
from . import wording
from .modality import ModalityFeatures
from .overview import FeatureOverview

N_BINS = 24
SAME_NORM = 0.01

Entry = tuple[pages.Picture | str, str, str]


def render_page(overview: FeatureOverview, pictures: PictureFolder | None = None) -> str:
    """Write an overview as HTML, with pictures of the items if there are any."""

    @functools.cache
    def picture_of(item: int) -> pages.Picture | str:
        """Give the picture of an item, or why there is none; nothing if no item has any."""
        if pictures is None:
            return ""
        name = pictures.name_of(overview.catalogue.item_tokens[item])
        if name is None:
            return "no picture"
        try:
            return pages.thumbnail(decode(pictures.read(name)))
        except UnreadablePicture as error:
            return f"{name} {error}"

    def entries(items: Iterable[int], below: Iterable[str] = repeat("")) -> list[Entry]:
        return [(picture_of(i), overview.catalogue.title(i), text) for i, text in zip(items, below)]

    def neighbours(part: ModalityFeatures, item: int) -> list[Entry]:
        near = part.neighbours.get(item, [])
        bars = [pages.bar(max(cosine, 0), f"{cosine:.3f}") for _, cosine in near]
        return entries([other for other, _ in near], bars)

    def share(part: int, whole: int) -> str:
        return pages.bar(part / whole if whole else 0, wording.percent(part, whole))

    return pages.render(
        "features/report/page.html.j2",
        title=f"Features of {overview.dataset}",
        overview=overview,
        words=wording,
        rule=RULE,
        share=share,
        histograms={name: _histogram(part) for name, part in overview.modalities.items()},
        picture_of=picture_of,
        entries=entries,
        neighbours=neighbours,
    )


def _histogram(part: ModalityFeatures) -> str:
    """Draw the norms; empty if all are practically equal."""
    norms = part.norms[np.isfinite(part.norms)]
    if not len(norms) or np.ptp(norms) <= SAME_NORM * norms.max():
        return ""
    heights, edges = np.histogram(norms, bins=N_BINS)
    ends = f"{edges[0]:.4g}", f"{edges[-1]:.4g}"
    texts = [wording.count(n, "item") for n in heights.tolist()]
    label = f"Histogram of the norms from {ends[0]} to {ends[1]}"
    return pages.column_chart(heights.tolist(), label, ends=ends, texts=texts)


def default_path(overview: FeatureOverview) -> Path:
    """Give the page's place: with the features that are not shipped, or where the user works."""
    files = [Path(wording.facts(part)["File"]) for part in overview.modalities.values()]
    folder = next((file.parent for file in files if file.parent != shipped()), None)
    if folder is None or not os.access(folder, os.W_OK):
        folder = Path.cwd()
    return folder / f"{overview.dataset}.features.html"
