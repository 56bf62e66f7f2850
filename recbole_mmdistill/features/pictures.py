"""Pictures of items: found by the item's token, decoded without harm, standardised to plain RGB.

Nothing but the formats in :data:`FORMATS` is decoded, whatever a file is called, and nothing that
lies outside the folder is opened. What is wrong with a file is an :class:`UnreadablePicture`: it
costs the item its picture, and nobody else anything.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from ..errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
MAX_BYTES = 1 << 28
MAX_PIXELS = 100_000_000  # four times a camera's 24 megapixels; decoded, 300 MB

_SEE_THROUGH = ("RGBA", "LA", "PA", "RGBa", "La")
_TURN = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadablePicture(Exception):
    """Why a file holds no picture that could be used; its text is the reason."""


class MissingPicture(UnreadablePicture):
    """There is no such file."""


class PictureFolder:
    """A folder of pictures named ``<item token>.jpg`` (or one of :data:`SUFFIXES`).

    The folder may itself be a symbolic link. A UserError is raised if there is none, or two files
    are of the same item.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(
                f"There is no folder {folder}.", "Give the folder of <item_id>.jpg with --images."
            )
        self.folder = folder
        self._root = os.path.realpath(folder)
        self._name_of: dict[str, str] = {}
        for name in sorted(entry.name for entry in os.scandir(folder)):
            token, suffix = os.path.splitext(name)
            if suffix.lower() not in SUFFIXES:
                continue
            if token in self._name_of:
                raise UserError(
                    f"{self._name_of[token]} and {name} in {folder} are of the same item.",
                    "Remove one of them.",
                )
            self._name_of[token] = name

    def __len__(self) -> int:
        return len(self._name_of)

    def __contains__(self, item_token: str) -> bool:
        return item_token in self._name_of

    def name_of(self, item_token: str) -> str | None:
        """Give the name of the file of an item, or None if it has none."""
        return self._name_of.get(item_token)

    def read(self, name: str) -> bytes:
        """Read a file of the folder, given by its path from the folder on.

        An UnreadablePicture is raised if it is not there, leads out of the folder, is no plain
        file, empty or too large.
        """
        if "://" in name:
            raise UnreadablePicture("is a web address, and nothing is fetched")
        try:
            real = os.path.realpath(os.path.join(self._root, name))
            if os.path.commonpath([self._root, real]) != self._root:
                raise UnreadablePicture("leads out of the folder of images")
            # Not blocking: a named pipe would wait for its writer for ever.
            descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise UnreadablePicture("is no plain file")
                if status.st_size == 0:
                    raise UnreadablePicture("is empty")
                if status.st_size > MAX_BYTES:
                    raise UnreadablePicture(f"has {status.st_size} bytes, more than {MAX_BYTES}")
                with open(descriptor, "rb", closefd=False) as file:
                    return file.read(status.st_size)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            raise MissingPicture("does not exist") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UnreadablePicture(f"cannot be read ({reason})") from None


def decode(data: bytes) -> Image.Image:
    """Decode a picture (a whole file in one of :data:`FORMATS`) to 8-bit RGB.

    Its EXIF orientation is applied, transparency is laid over white, and palette, grey, CMYK and
    16-bit pixels become 8-bit RGB. Of an animation the first frame is taken. An UnreadablePicture
    is raised if it is of another format, damaged, cut off, or larger than :data:`MAX_PIXELS`.
    """
    try:
        with _strict_pillow():
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadablePicture(f"has {width} x {height} pixels, more than {MAX_PIXELS}")
            image.load()
            return _to_rgb(_upright(image))
    except UnreadablePicture:
        raise
    except UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        raise UnreadablePicture(f"is no picture of the formats {kinds}") from None
    except MemoryError:
        raise UnreadablePicture("is too large for this machine's memory") from None
    except Exception as error:  # decoders of damaged files raise nearly anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadablePicture(f"is damaged ({reason})") from None


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Let no other library's settings decide what is a picture: cut-off ones would pass as grey."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        try:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
            Image.MAX_IMAGE_PIXELS = None  # MAX_PIXELS holds instead
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; ``ImageOps`` would write the EXIF anew, and fail at odd ones."""
    try:
        turn = _TURN.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF; the pixels are none the worse
        return image
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits; convert() would clip, not scale
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode in _SEE_THROUGH or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
