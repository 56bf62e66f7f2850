"""Pictures that are part of a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Attributes
    ----------
    address : str
        A ``data:`` URL.
    width, height : int
        In pixels.
    """

    address: str
    width: int
    height: int


def thumbnail(image: Image.Image, width: int = 144, height: int = 96) -> Picture:
    """Make a small JPEG of an image.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any size; it is not changed.
    width, height : int
        The largest it may be, in pixels. Its proportions stay, and it is never enlarged.
    """
    small = image.convert("RGB")
    small.thumbnail((width, height))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return Picture(f"data:image/jpeg;base64,{data}", *small.size)
