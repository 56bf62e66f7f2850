"""An export of a tiny model, with titles and pictures, and a service on it."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from recbole_mmdistill.serving.export import Request, export
from tests.serving.builders import save_checkpoint, write_files

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
TOKEN = "a-token-that-is-hard-to-guess"


def make_exports(folder):
    """Write the exports ``one``, and ``two`` of other weights, without pictures, to a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["pytest"])
        write_files()
        titles = [f"i{n}\tFilm {n}" for n in range(14)]
        text = "\n".join(["item_id:token\ttitle:token_seq", *titles, f"i14\t{HOSTILE}"])
        Path("dataset/small/small.item").write_text(text + "\n")
        export(Request(Path(save_checkpoint(seed=1)[0]), Path("two")))
        images = Path("dataset/small/images")
        images.mkdir()
        for n in range(13):
            Image.new("RGB", (80, 120), (20 * n, 60, 90)).save(images / f"i{n}.png")
        export(Request(Path(save_checkpoint()[0]), Path("one")))


def put(export, place="served"):
    """Put an export where a service looks for it, as ``recbole-mm export`` does: by renaming."""
    place = Path(place)
    new, old = Path(f"{place}.new"), Path(f"{place}.old")
    shutil.copytree(export, new)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)
