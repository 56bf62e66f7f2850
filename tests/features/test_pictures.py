"""A zoo of files: each is a picture as people see it, or refused with a reason."""

import io
import os
import signal
import struct
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features.pictures import (
    FORMATS,
    MAX_BYTES,
    PictureFolder,
    UnreadablePicture,
    decode,
)

COLOURS = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "K": (0, 0, 0)}


def flag(corners="RGBK", size=(48, 32)):
    """Four quarters of one colour each, named from the upper left to the lower right."""
    width, height = size
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    for index, colour in enumerate(corners):
        rows = slice(0, height // 2) if index < 2 else slice(height // 2, height)
        columns = slice(0, width // 2) if index % 2 == 0 else slice(width // 2, width)
        pixels[rows, columns] = COLOURS[colour]
    return Image.fromarray(pixels)


def corners(image):
    """Name the colours of the four quarters, each by the nearest one."""
    assert image.mode == "RGB"
    width, height = image.size
    names = ""
    for y in (height // 4, 3 * height // 4):
        for x in (width // 4, 3 * width // 4):
            seen = np.array(image.getpixel((x, y)))
            names += min(COLOURS, key=lambda name: np.abs(seen - COLOURS[name]).sum())
    return names


def noise(seed=0, size=(24, 20)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows, *extra):
    """A PNG by hand; ``rows`` each begin with their filter, 0."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


GREY, RGB, GREY_ALPHA = 0, 2, 4
ANIMATED = {"save_all": True, "append_images": [noise(1), noise(2)], "duration": 100}
FILES = {
    "JPEG": saved(noise(), "JPEG"),
    "progressive JPEG": saved(noise(), "JPEG", progressive=True),
    "PNG": saved(noise(), "PNG"),
    "WEBP": saved(noise(), "WEBP"),
    "lossless WEBP": saved(noise(), "WEBP", lossless=True),
    "GIF": saved(noise(), "GIF"),
    "BMP": saved(noise(), "BMP"),
    "animated PNG": saved(noise(), "PNG", **ANIMATED),
    "animated WEBP": saved(noise(), "WEBP", **ANIMATED),
    "animated GIF": saved(noise(), "GIF", **ANIMATED),
}


# Formats


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format(kind):
    image = decode(saved(flag(), kind))
    assert (image.size, corners(image)) == ((48, 32), "RGBK")


def test_progressive_jpeg():
    assert corners(decode(saved(flag(), "JPEG", progressive=True))) == "RGBK"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    frames = {"save_all": True, "append_images": [flag("KKKK"), flag("BBBB")], "duration": 100}
    data = saved(flag(), kind, **frames)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert corners(decode(data)) == "RGBK"


def test_of_two_pictures_in_one_jpeg_the_first_is_taken():
    data = saved(flag(), "MPO", save_all=True, append_images=[flag("KKKK")])
    assert corners(decode(data)) == "RGBK"


@pytest.mark.parametrize("kind", ["TIFF", "ICO", "PDF", "EPS", "PPM", "TGA", "JPEG2000", "AVIF"])
def test_no_decoder_is_handed_another_format(monkeypatch, kind):
    Image.init()
    data = saved(flag(), kind)
    handed = []
    for other in set(Image.OPEN) - set(FORMATS):
        opener = (lambda file, name, other=other: handed.append(other), lambda prefix: True)
        monkeypatch.setitem(Image.OPEN, other, opener)
    with pytest.raises(UnreadablePicture, match="no picture of the formats JPEG, PNG, WEBP, GIF"):
        decode(data)
    assert handed == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!DOCTYPE html><title>404 Not Found</title>",
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"version https://git-lfs.github.com/spec/v1\n",
        b"\0" * 1000,
    ],
)
def test_what_is_no_picture(data):
    with pytest.raises(UnreadablePicture, match="is no picture"):
        decode(data)


# Pixels


def test_grey():
    assert decode(saved(Image.new("L", (9, 9), 77), "PNG")).getpixel((4, 4)) == (77, 77, 77)


def test_one_bit():
    image = Image.new("1", (9, 9), 1)
    image.putpixel((4, 4), 0)
    image = decode(saved(image, "PNG"))
    assert (image.getpixel((4, 4)), image.getpixel((0, 0))) == ((0, 0, 0), (255, 255, 255))


def test_palette():
    assert corners(decode(saved(flag().quantize(4), "PNG"))) == "RGBK"


def test_cmyk():
    assert corners(decode(saved(flag().convert("CMYK"), "JPEG", quality=95))) == "RGBK"


@pytest.mark.parametrize(
    ("grey", "expected"), [(0, 0), (255, 1), (32768, 128), (65279, 254), (65535, 255)]
)
def test_sixteen_bit_grey_is_scaled(grey, expected):
    pixel = decode(saved(Image.fromarray(np.full((2, 2), grey, np.uint16)), "PNG")).getpixel((1, 1))
    assert pixel == pytest.approx((expected,) * 3, abs=1)
    assert (pixel == (255, 255, 255)) == (grey == 65535)


def test_sixteen_bit_colour_is_scaled():
    rows = b"\0" + struct.pack(">HHH", 32768, 16384, 65535)
    pixel = decode(png(1, 1, 16, RGB, rows)).getpixel((0, 0))
    assert pixel == pytest.approx((128, 64, 255), abs=1)


def test_sixteen_bit_grey_with_alpha():
    rows = b"\0" + struct.pack(">HH", 0, 32768)
    pixel = decode(png(1, 1, 16, GREY_ALPHA, rows)).getpixel((0, 0))
    assert pixel == pytest.approx((127, 127, 127), abs=1)


@pytest.mark.parametrize(
    ("mode", "black"), [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0)), ("RGBA", (255, 0, 0, 0))]
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_behind_the_transparent_is_white(kind, mode, black):
    data = saved(Image.new(mode, (9, 9), black), kind, lossless=True)
    assert decode(data).getpixel((4, 4)) == (255, 255, 255)


def test_the_half_transparent_is_mixed_with_white():
    data = saved(Image.new("RGBA", (9, 9), (255, 0, 0, 128)), "PNG")
    assert decode(data).getpixel((4, 4)) == pytest.approx((255, 127, 127), abs=1)


@pytest.mark.parametrize(("kind", "index"), [("PNG", 1), ("GIF", 1), ("PNG", bytes([255, 0]))])
def test_a_transparent_colour_of_a_palette_becomes_white(kind, index):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 255, 255, 0, 0])
    image.putpixel((1, 0), 1)
    image = decode(saved(image, kind, transparency=index))
    assert (image.getpixel((0, 0)), image.getpixel((1, 0))) == ((0, 0, 255), (255, 255, 255))


def test_a_transparent_colour_of_an_rgb_picture_becomes_white():
    image = decode(saved(flag(), "PNG", transparency=COLOURS["B"]))
    assert image.getpixel((12, 24)) == (255, 255, 255)
    assert image.getpixel((12, 8)) == COLOURS["R"]


# EXIF

UPRIGHT = np.asarray(flag())
STORED_AS = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.swapaxes(0, 1),
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_all_orientations_come_out_upright(kind, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation]))
    image = decode(saved(stored, kind, exif=exif))
    assert (image.size, corners(image)) == ((48, 32), "RGBK")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"", b"rubbish", b"Exif\0\0rubbish", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"II*\0"]
)
def test_damaged_exif_costs_no_picture(kind, exif):
    assert corners(decode(saved(flag(), kind, exif=exif))) == "RGBK"


def test_exif_that_cannot_be_written_anew_is_obeyed_all_the_same(monkeypatch):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    data = saved(flag("KBGR"), "JPEG", exif=exif)
    monkeypatch.setattr(Image.Exif, "tobytes", lambda self: struct.pack("H", -1))
    assert corners(decode(data)) == "RGBK"


# Damage


@given(st.sampled_from(sorted(FILES)), st.floats(0, 1, exclude_max=True))
def test_cut_off_anywhere_it_is_whole_or_refused(kind, part):
    data = FILES[kind]
    try:
        image = decode(data[: int(part * len(data))])
    except UnreadablePicture:
        return
    assert image.tobytes() == decode(data).tobytes()


@pytest.mark.parametrize("kind", FILES)
def test_cut_off_in_the_middle_it_is_refused_whatever_another_library_has_set(monkeypatch, kind):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    first_frame = len(FILES[kind]) // (3 if kind.startswith("animated") else 1)
    with pytest.raises(UnreadablePicture, match="is damaged"):
        decode(FILES[kind][: first_frame * 3 // 4])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@settings(deadline=None)  # a changed size may still be decoded, slowly
@given(
    st.sampled_from(["JPEG", "progressive JPEG", "PNG", "WEBP", "GIF"]),
    st.dictionaries(st.floats(0.3, 0.9), st.integers(0, 255), min_size=1, max_size=5),
)
def test_with_bytes_changed_it_is_a_picture_or_refused(kind, changes):
    data = bytearray(FILES[kind])
    for part, value in changes.items():
        data[int(part * len(data))] = value
    try:
        image = decode(bytes(data))
    except UnreadablePicture as error:
        assert str(error)
    else:
        assert image.mode == "RGB"


@given(st.sampled_from([saved(noise(), kind)[:12] for kind in FORMATS]), st.binary(max_size=200))
def test_with_rubbish_after_the_signature_it_is_refused(signature, rubbish):
    with pytest.raises(UnreadablePicture):
        decode(signature + rubbish)


@pytest.mark.parametrize("error", [MemoryError(), RecursionError(), ValueError(), SyntaxError("x")])
def test_whatever_a_decoder_raises_is_an_unreadable_picture(monkeypatch, error):
    def load(self):
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(UnreadablePicture, match=r"is too large|is damaged"):
        decode(FILES["BMP"])


# Bombs


def gif_bomb(side):
    frame = struct.pack("<HHHHB", 0, 0, side, side, 0)
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + b"," + frame + b"\2\0;"


def bmp_bomb(side):
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, side, side, 1, 24, *[0] * 6)


def jpeg_bomb(side):
    data = saved(noise(), "JPEG")
    frame = data.index(b"\xff\xc0") + 5
    return data[:frame] + struct.pack(">HH", side, side) + data[frame + 4 :]


def webp_bomb(side):
    data = FILES["animated WEBP"]
    assert data[12:16] == b"VP8X"
    return data[:24] + (side - 1).to_bytes(3, "little") * 2 + data[30:]


@pytest.mark.parametrize("limit", [None, Image.MAX_IMAGE_PIXELS, 1])
@pytest.mark.parametrize("side", [10_001, 14_000, 60_000])
@pytest.mark.parametrize(
    "bomb",
    [lambda side: png(side, side, 8, RGB, b"\0"), gif_bomb, bmp_bomb, jpeg_bomb, webp_bomb],
    ids=["PNG", "GIF", "BMP", "JPEG", "WEBP"],
)
def test_a_small_file_that_claims_many_pixels_is_refused_unopened(monkeypatch, bomb, side, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    data = bomb(side)
    assert len(data) < 5000
    with pytest.raises(UnreadablePicture, match=f"has {side} x {side} pixels, more than"):
        decode(data)
    assert Image.MAX_IMAGE_PIXELS == limit


def test_no_smaller_limit_of_another_library_is_obeyed(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert corners(decode(saved(flag(), "PNG"))) == "RGBK"


@pytest.mark.parametrize(
    ("kind", "head"), [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")]
)
def test_a_text_that_unpacks_to_a_hundred_megabytes_is_refused(kind, head):
    bomb = chunk(kind, head + zlib.compress(bytes(100 << 20), 1))
    with pytest.raises(UnreadablePicture, match=r"is damaged .*too large"):
        decode(png(1, 1, 8, GREY, b"\0\x80", bomb))


# Pillow as before


@pytest.mark.parametrize("data", [FILES["GIF"], FILES["PNG"][:99], b"no picture"])
def test_warnings_and_settings_are_as_before(data):
    before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    try:
        decode(data)
    except UnreadablePicture:
        pass
    after = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    assert after == before


def test_warnings_neither_leak_nor_refuse():
    apng_without_frames = png(1, 1, 8, GREY, b"\0\x80", chunk(b"acTL", struct.pack(">II", 0, 0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="APNG"):
            Image.open(io.BytesIO(apng_without_frames))
        assert decode(apng_without_frames).getpixel((0, 0)) == (128, 128, 128)


# Folders


@contextmanager
def within(seconds):
    def ring(number, frame):
        raise AssertionError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def folder(tmp_path):
    """A folder with one picture, beside a file of someone else's."""
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    path = tmp_path / "images"
    path.mkdir()
    (path / "a.jpg").write_bytes(FILES["JPEG"])
    return path


def refusal(folder, name):
    with pytest.raises(UnreadablePicture) as caught, within(5):
        PictureFolder(folder).read(name)
    return str(caught.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no folder .*nowhere\. .*--images"):
        PictureFolder(tmp_path / "nowhere")


def test_pictures_are_found_by_token(folder):
    for name in ("b.PNG", "ü 1.JpEg", "7.5.webp", ".gif", "notes.txt", "c.jpg.part"):
        (folder / name).write_bytes(b"x")
    pictures = PictureFolder(folder)
    names = {token: pictures.name_of(token) for token in ("a", "b", "ü 1", "7.5", "notes", "c", "")}
    assert names == {
        "a": "a.jpg",
        "b": "b.PNG",
        "ü 1": "ü 1.JpEg",
        "7.5": "7.5.webp",
        "notes": None,
        "c": None,
        "": None,
    }
    assert len(pictures) == 4
    assert "ü 1" in pictures
    assert "c" not in pictures


@pytest.mark.parametrize("second", ["a.png", "a.JPG"])
def test_two_files_of_one_item(folder, second):
    (folder / second).write_bytes(b"x")
    first, last = sorted([second, "a.jpg"])
    with pytest.raises(UserError, match=f"{first} and {last} in .* are of the same item"):
        PictureFolder(folder)


def test_a_png_called_jpg(folder):
    (folder / "b.jpg").write_bytes(saved(flag(), "PNG"))
    assert corners(decode(PictureFolder(folder).read("b.jpg"))) == "RGBK"


def test_bytes_are_read_as_they_stand(folder):
    assert PictureFolder(folder).read("a.jpg") == FILES["JPEG"]


def test_a_file_in_a_folder_within(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "b.jpg").write_bytes(b"b")
    assert PictureFolder(folder).read("sub/b.jpg") == b"b"
    assert PictureFolder(folder).read("sub/../sub/b.jpg") == b"b"


def test_the_folder_may_be_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert PictureFolder(tmp_path / "link").read("a.jpg") == FILES["JPEG"]


def test_the_folder_may_be_relative(folder):
    assert PictureFolder(Path("images")).read("a.jpg") == FILES["JPEG"]


def test_a_link_within_the_folder_is_followed(folder):
    (folder / "b.jpg").symlink_to("a.jpg")
    assert PictureFolder(folder).read("b.jpg") == FILES["JPEG"]


@pytest.mark.parametrize("target", ["../secret.jpg", "..", "/etc/passwd", "/dev/zero"])
def test_a_link_out_of_the_folder_is_refused(folder, target):
    (folder / "b.jpg").symlink_to(target)
    assert refusal(folder, "b.jpg") == "leads out of the folder of images"


def test_a_link_to_nothing(folder):
    (folder / "b.jpg").symlink_to("nothing.jpg")
    assert refusal(folder, "b.jpg") == "does not exist"


def test_a_loop_of_links(folder):
    (folder / "b.jpg").symlink_to("c.jpg")
    (folder / "c.jpg").symlink_to("b.jpg")
    assert "links" in refusal(folder, "b.jpg")


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "..", "a/../../secret.jpg"])
def test_a_name_that_leads_out_of_the_folder(folder, name):
    assert refusal(folder, name) == "leads out of the folder of images"


def test_a_folder_with_a_longer_name_is_another_folder(folder, tmp_path):
    (tmp_path / "images2").mkdir()
    (tmp_path / "images2" / "b.jpg").write_bytes(b"b")
    assert refusal(folder, "../images2/b.jpg") == "leads out of the folder of images"


def test_an_absolute_name_within_the_folder(folder):
    assert PictureFolder(folder).read(str(folder / "a.jpg")) == FILES["JPEG"]


@pytest.mark.parametrize("name", ["https://example.org/a.jpg", "file:///etc/passwd"])
def test_nothing_is_fetched(folder, name):
    assert "web address" in refusal(folder, name)


@pytest.mark.parametrize("name", ["a\0.jpg", "\ud800.jpg", "a" * 5000, "a.jpg/b.jpg"])
def test_a_name_that_no_file_can_have(folder, name):
    assert refusal(folder, name).startswith("cannot be read (")


@pytest.mark.parametrize("name", ["b.jpg", "a"])
def test_a_file_that_is_not_there(folder, name):
    assert refusal(folder, name) == "does not exist"


@pytest.mark.parametrize("name", ["", ".", "b.jpg"])
def test_a_folder_is_no_picture_and_stays_not_open(folder, name):
    (folder / "b.jpg").mkdir()
    n_open = len(os.listdir("/proc/self/fd"))
    assert refusal(folder, name) == "is no plain file"
    assert len(os.listdir("/proc/self/fd")) == n_open


def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "b.jpg")
    assert refusal(folder, "b.jpg") == "is no plain file"


def test_an_empty_file(folder):
    (folder / "b.jpg").touch()
    assert refusal(folder, "b.jpg") == "is empty"


def test_a_huge_file_is_not_read(folder):
    (folder / "b.jpg").touch()
    os.truncate(folder / "b.jpg", MAX_BYTES + 1)
    assert refusal(folder, "b.jpg") == f"has {MAX_BYTES + 1} bytes, more than {MAX_BYTES}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(folder):
    (folder / "a.jpg").chmod(0)
    assert "Permission denied" in refusal(folder, "a.jpg")
