"""The overview as one HTML page that needs nothing else: pictures are part of it."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from ..locate import shipped
from ..pictures import PictureFolder, UnreadablePicture, decode
from . import wording
from .overview import FeatureOverview
from .popularity import GROUPS, RULE

HEIGHT = 96
MAX_WIDTH = 144  # of a banner, which would else fill the page


@dataclass(frozen=True)
class Thumbnail:
    """A picture on the page, or why there is none.

    Parameters
    ----------
    address : str
        A ``data:`` URL; empty if there is no picture.
    width, height : int
        In pixels.
    lacking : str
        Why there is none.
    """

    address: str = ""
    width: int = 0
    height: int = 0
    lacking: str = ""


class Thumbnails:
    """Small pictures of items.

    Parameters
    ----------
    pictures : PictureFolder or None
        Where the pictures are; None: no item has any.
    """

    def __init__(self, pictures: PictureFolder | None) -> None:
        self._pictures = pictures
        self._made: dict[str, Thumbnail | None] = {}

    def of(self, item_token: str) -> Thumbnail | None:
        """Give the thumbnail of an item; None without a folder of pictures."""
        if item_token not in self._made:
            self._made[item_token] = self._make(item_token)
        return self._made[item_token]

    def _make(self, item_token: str) -> Thumbnail | None:
        if self._pictures is None:
            return None
        name = self._pictures.name_of(item_token)
        if name is None:
            return Thumbnail(lacking="no picture")
        try:
            image = decode(self._pictures.read(name))
        except UnreadablePicture as error:
            return Thumbnail(lacking=f"{name} {error}")
        scale = min(HEIGHT / image.height, MAX_WIDTH / image.width)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        file = io.BytesIO()
        image.resize(size).save(file, "JPEG", quality=85)
        data = base64.b64encode(file.getvalue()).decode("ascii")
        return Thumbnail(f"data:image/jpeg;base64,{data}", *size)


def render_page(overview: FeatureOverview, pictures: PictureFolder | None = None) -> str:
    """Write an overview as HTML.

    Parameters
    ----------
    overview : FeatureOverview
        What was found.
    pictures : PictureFolder, optional
        Pictures of the items.

    Returns
    -------
    str
        A whole page without scripts, that fetches nothing.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = resources.files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        overview=overview,
        names=tuple(part.modality for part in overview.modalities),
        groups=GROUPS,
        rule=RULE,
        words=wording,
        warnings=wording.warnings(overview),
        thumbnail=Thumbnails(pictures).of,
    )


def default_path(overview: FeatureOverview) -> Path:
    """Say where the page goes if nothing else is said.

    Parameters
    ----------
    overview : FeatureOverview
        What was found.

    Returns
    -------
    pathlib.Path
        Beside the first feature file that does not come with this package, if that folder may be
        written to; else in the working directory.
    """
    folders = [part.path.parent for part in overview.modalities]
    folder = next((folder for folder in folders if folder != shipped()), None)
    if folder is None or not os.access(folder, os.W_OK):
        folder = Path.cwd()
    return folder / f"{overview.dataset}.features.html"
