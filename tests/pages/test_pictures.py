"""Thumbnails."""

import base64
import io

import pytest
from PIL import Image

from recbole_mmdistill.pages import thumbnail


@pytest.mark.parametrize(
    ("size", "small"),
    [((200, 300), (64, 96)), ((900, 100), (144, 16)), ((20, 30), (20, 30)), ((9000, 1), (144, 1))],
)
def test_the_size(size, small):
    picture = thumbnail(Image.new("RGB", size))
    assert (picture.width, picture.height) == small


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "CMYK", "1"])
def test_any_image_becomes_a_jpeg_in_the_page(mode):
    image = Image.new(mode, (300, 300))
    kind, _, data = thumbnail(image, 50, 50).address.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (50, 50)
    assert image.size == (300, 300)
