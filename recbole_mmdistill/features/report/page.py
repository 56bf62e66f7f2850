"""The overview as one HTML page that needs nothing else: pictures are part of it."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

import numpy as np

from ... import pages
from ..locate import shipped
from ..pictures import PictureFolder, UnreadablePicture, decode
from .document import Items, Share, count, sections, subtitle, warnings
from .modality import ModalityFeatures
from .overview import FeatureOverview

N_BINS = 24
SAME_NORM = 0.01


def render_page(overview: FeatureOverview, pictures: PictureFolder | None = None) -> str:
    """Write an overview as HTML, with pictures of the items if there are any.

    Pictures are named by the column that the image features were made by, else by the items.
    """
    image = overview.modalities.get("image")
    named = () if image is None else image.source.info.source_fields[1:]  # after the folder
    picture_field = next(iter(named), None)

    @functools.cache
    def picture_of(item: int) -> pages.Picture | str:
        """Give the picture of an item, or why there is none; nothing if no item has any."""
        if pictures is None:
            return ""
        own = overview.catalogue.cell(item, picture_field)
        name = own or pictures.name_of(overview.catalogue.item_tokens[item])
        if name is None:
            return "no picture"
        try:
            return pages.thumbnail(decode(pictures.read(name)))
        except UnreadablePicture as error:
            return f"{name} {error}"

    def entries(row: Items) -> list[tuple[pages.Picture | str, str, str]]:
        bars = [pages.bar(max(cosine, 0), f"{cosine:.3f}") for cosine in row.cosines]
        titles = map(overview.catalogue.title, row.items)
        return list(zip(map(picture_of, row.items), titles, bars or repeat("")))

    return pages.render(
        "features/report/page.html.j2",
        title=f"Features of {overview.dataset}",
        overview=overview,
        subtitle=subtitle(overview),
        warnings=warnings(overview),
        sections=sections(overview),
        cells=_cells,
        histograms={name: _histogram(part) for name, part in overview.modalities.items()},
        picture_of=picture_of,
        entries=entries,
    )


def _cells(rows: Sequence[Sequence[str | Share]]) -> list[list[str]]:
    """Draw the shares of a table as bars."""
    return [
        [pages.bar(cell.ratio, str(cell)) if isinstance(cell, Share) else cell for cell in row]
        for row in rows
    ]


def _histogram(part: ModalityFeatures) -> str:
    """Draw the norms; empty if all are practically equal."""
    norms = part.norms[np.isfinite(part.norms)]
    if not len(norms) or np.ptp(norms) <= SAME_NORM * norms.max():
        return ""
    heights, edges = np.histogram(norms, bins=N_BINS)
    ends = f"{edges[0]:.4g}", f"{edges[-1]:.4g}"
    texts = [count(n, "item") for n in heights.tolist()]
    label = f"Histogram of the norms from {ends[0]} to {ends[1]}"
    return pages.column_chart(heights.tolist(), label, ends=ends, texts=texts)


def default_path(overview: FeatureOverview) -> Path:
    """Give the page's place: with the features that are not shipped, or where the user works."""
    paths = [part.source.path for part in overview.modalities.values()]
    folders = [path.parent for path in paths if path is not None and path.parent != shipped()]
    folder = next(iter(folders), Path.cwd())
    return (
        folder if os.access(folder, os.W_OK) else Path.cwd()
    ) / f"{overview.dataset}.features.html"
