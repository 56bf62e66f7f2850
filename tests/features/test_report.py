import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import FeatureInfo, source, write_features
from recbole_mmdistill.features.pictures import PictureFolder
from recbole_mmdistill.features.report import as_text, inspect_features, render_page
from recbole_mmdistill.features.report.catalogue import Catalogue, find_title
from recbole_mmdistill.features.report.document import Share, warnings
from tests import fresh
from tests.features.builders import TEXT

TITLES = {"a": "Apple", "b": "Banana", "c": "Cherry", "d": "Date"}
INTERACTIONS = "aaaabbcx"
NAN = float("nan")

A, B, C, D, X = range(5)  # places in the catalogue


def write_dataset(titles=TITLES, interactions=INTERACTIONS):
    """Write the dataset toy into the working directory; titles None: no .item file."""
    rows = [f"u{at}\t{item}" for at, item in enumerate(interactions)]
    Path("toy.inter").write_text("\n".join(["user_id:token\titem_id:token", *rows]) + "\n")
    if titles is not None:
        rows = [f"{item}\t{title}" for item, title in titles.items()]
        lines = ["item_id:token\ttitle:token_seq", *rows]
        Path("toy.item").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_text_features(rows, mask=None, info=TEXT):
    values = torch.tensor(list(rows.values()), dtype=torch.float32)
    write_features(f"toy.{info.modality}.safetensors", values, list(rows), info, mask)


@pytest.fixture
def toy():
    write_dataset()
    write_text_features({"b": [3, 4], "a": [3, 4], "d": [NAN, 1], "z": [1, 1], "c": [0, 0]})
    np.save("toy.image.npy", np.array([[0.6, 0.8], [2, 0]], dtype=np.float32))
    Path("toy.image.ids").write_text("x\na\n")


def look(**options):
    return inspect_features("toy", Path(), **options)


def rows_of(overview, title):
    """Give the cells of a table on the console, below its headings."""
    (block,) = [block for block in as_text(overview).split("\n\n") if block.startswith(title)]
    return [line.split() for line in block.splitlines()[1:]]


def test_size_of_the_dataset(toy):
    assert as_text(look()).startswith("Features of toy: 5 items, 8 interactions\n")


def test_how_the_features_are_stored(toy):
    text = as_text(look())
    assert f"text: {Path('toy.text.safetensors').absolute()}\n" in text
    assert f"  encoder        {TEXT.encoder}\n" in text
    assert "  values         5 items, 1 token x 2 numbers, float32\n" in text
    assert "  values         2 items, 1 token x 2 numbers, float32\n" in text


def test_coverage(toy):
    assert rows_of(look(), "What part has features")[:6] == [
        ["items", "5", "80.0%", "40.0%"],
        ["cold", "1", "100.0%", "0.0%"],  # d
        ["tail", "2", "50.0%", "50.0%"],  # c, x
        ["middle", "1", "100.0%", "0.0%"],  # b
        ["head", "1", "100.0%", "100.0%"],  # a
        ["interactions", "8", "87.5%", "62.5%"],
    ]


def test_which_modalities_items_have(toy):
    assert rows_of(look(), "Items that have") == [
        ["text", "and", "image", "1", "20.0%"],
        ["only", "text", "3", "60.0%"],
        ["only", "image", "1", "20.0%"],
        ["none", "0", "0.0%"],
    ]


def test_items_that_are_not_in_the_dataset(toy):
    assert "  text: 1 item of the file not in the dataset: z\n" in as_text(look())
    assert "image: 1 item" not in as_text(look())


def test_norms(toy):
    assert rows_of(look(), "Norms of vectors") == [
        ["text", "0", "5", "5", "1", "1"],
        ["image", "1", "1.5", "2", "0", "0"],
    ]


def test_histogram_of_the_norms(toy):
    page = render_page(look(modalities=["text"]))
    assert 'aria-label="Histogram of the norms from 0 to 5"' in page
    assert page.count("<title>1 item</title>") == 1  # c
    assert page.count("<title>2 items</title>") == 1  # a, b


def test_equal_norms_have_no_histogram():
    write_dataset()
    write_text_features({"a": [1.0, 0.0], "b": [0.0, 1.001]})
    page = render_page(look())
    assert "Histogram" not in page and "practically of the same length" in page


def test_duplicates(toy):
    text, image = look().modalities.values()
    assert [group.tolist() for group in text.duplicates] == [[A, B]]
    assert image.duplicates == []
    assert "text: 2 items share 1 vector.\n  2 items: Apple / Banana\n" in as_text(look())
    assert "image: No two items have the same vector.\n" in as_text(look())


def test_the_largest_groups_come_first():
    tokens = list("abcdefghijkl")
    write_dataset(titles=None, interactions=tokens)
    write_text_features({token: [min(at // 2, 4), 1] for at, token in enumerate(tokens)})
    (text,) = look().modalities.values()
    groups = ["".join(tokens[item] for item in group) for group in text.duplicates]
    assert groups == ["ijkl", "ab", "cd", "ef", "gh"]
    assert "  4 items: i / j / k / l\n" in as_text(look())


def test_neighbours(toy):
    text, image = look().modalities.values()
    assert text.neighbours[A] == [(B, pytest.approx(1))]
    assert image.neighbours[A] == [(X, pytest.approx(0.6))]
    assert "Apple  (4 interactions, popular)\n  text  1.000 Banana\n" in as_text(look())


def test_an_item_may_lack_a_modality_or_a_direction(toy):
    overview = look(n_examples=10)
    text, image = overview.modalities.values()
    assert set(overview.examples) == {A, B, C, D, X}
    assert set(text.neighbours) == {A, B}
    assert set(image.neighbours) == {A, X}
    assert "  text  no features\n  image  0.600 Apple\n" in as_text(overview)
    assert "  text  its vector is zero or not finite\n  image  no features" in as_text(overview)


def test_half_of_the_examples_are_the_most_popular(toy):
    examples = look(n_examples=3).examples
    assert list(examples)[:2] == [A, B]
    assert list(examples.values()) == [True, True, False]


def test_the_seed_draws_the_other_half():
    tokens = [f"i{at}" for at in range(100)]
    write_dataset(titles=None, interactions=tokens)
    write_text_features({token: [at, 1] for at, token in enumerate(tokens)})

    def drawn(seed):
        return list(look(seed=seed).examples)[4:]

    assert drawn(0) == drawn(0) != drawn(1)
    assert len(set(drawn(0))) == 4


def test_no_examples(toy):
    overview = look(n_examples=0)
    assert overview.examples == {}
    assert "Apple" in as_text(overview) and "Apple" in render_page(overview)  # among duplicates


def test_of_several_tokens_the_mean_of_the_real_ones_counts():
    write_dataset()
    values = torch.tensor(
        [
            [[2.0, 0.0], [0.0, 2.0]],  # mean [1, 1]
            [[3.0, 3.0], [NAN, NAN]],
            [[3.0, 3.0], [7.0, -7.0]],  # as b, but for what is masked
            [[1.0, 1.0], [1.0, 1.0]],
        ]
    )
    mask = torch.tensor([[1, 1], [1, 0], [1, 0], [0, 0]])
    write_features("toy.text.safetensors", values, ["a", "b", "c", "d"], TEXT, mask)
    (text,) = look().modalities.values()
    assert (text.items.tolist(), text.n_empty) == ([A, B, C], 1)
    assert text.norms == pytest.approx([2**0.5, 18**0.5, 18**0.5])
    assert [group.tolist() for group in text.duplicates] == [[B, C]]
    assert text.neighbours[A] == [(B, pytest.approx(1)), (C, pytest.approx(1))]
    assert "1 item of the file without a real token" in as_text(look())


@pytest.mark.parametrize("suffix", ["safetensors", "npy"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_reading_in_chunks_finds_what_reading_at_once_does(monkeypatch, suffix, dtype):
    tokens = [f"i{at}" for at in range(50)]
    write_dataset(titles=None, interactions=tokens[10:])
    values = np.random.default_rng(0).normal(size=(50, 3, 4)).astype(dtype)
    values[20] = values[45]
    if suffix == "npy":
        np.save("toy.text.npy", values)
        Path("toy.text.ids").write_text("\n".join(tokens))
    else:
        write_features("toy.text.safetensors", values, tokens, TEXT)
    whole = look()
    monkeypatch.setattr(source, "CHUNK_BYTES", 7 * values[0].nbytes)
    pieces = look()
    assert as_text(pieces) == as_text(whole)
    (text,) = pieces.modalities.values()
    assert [group.tolist() for group in text.duplicates] == [[10, 35]]
    mean = values[10:].astype(np.float32).mean(1)
    units = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    for item in pieces.examples:
        cosines = units @ units[item]
        expected = np.argsort(-cosines)[1:6]
        others, near = zip(*text.neighbours[item])
        assert list(others) == expected.tolist()
        assert near == pytest.approx(cosines[expected], abs=1e-5)


def closeness_of(values):
    tokens = [f"i{at}" for at in range(len(values))]
    write_dataset(titles=None, interactions=tokens)
    write_text_features(dict(zip(tokens, values.tolist())))
    (text,) = look().modalities.values()
    return text.closeness


def test_mean_cosine_of_all_pairs():
    values = np.random.default_rng(0).normal(1, 1, size=(40, 6))
    units = values / np.linalg.norm(values, axis=1, keepdims=True)
    cosines = (units @ units.T)[~np.eye(40, dtype=bool)]
    assert closeness_of(values).pairs == pytest.approx(cosines.mean(), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mean", [0, 2])
def test_random_vectors_are_found_out(seed, mean):
    values = np.random.default_rng(seed).normal(mean, 1, size=(500, 32))
    assert closeness_of(values).is_beyond_chance is False


@pytest.mark.parametrize("mean", [0, 2])
def test_vectors_that_say_something_are_told_from_random_ones(mean):
    rng = np.random.default_rng(0)
    centres = rng.normal(mean, 1, size=(25, 32))
    values = np.repeat(centres, 20, axis=0) + rng.normal(0, 0.7, size=(500, 32))
    assert closeness_of(rng.permutation(values)).is_beyond_chance is True


def test_few_vectors_are_not_judged(toy):
    image = look().modalities["image"]
    assert image.closeness.is_beyond_chance is None
    assert image.closeness.neighbours == pytest.approx(0.6)
    assert "too few vectors to tell" in as_text(look())


def test_without_item_file_tokens_are_titles():
    write_dataset(titles=None)
    write_text_features({"a": [1, 0], "b": [1, 1]})
    assert "\na  (4 interactions, popular)\n  text  0.707 b\n" in as_text(look())


def test_without_interactions_all_items_are_cold():
    write_dataset()
    Path("toy.inter").unlink()
    write_text_features({"a": [1, 0], "b": [1, 1]})
    rows = rows_of(look(), "What part has features")
    assert rows[:2] == [["items", "4", "50.0%"], ["cold", "4", "50.0%"]]
    assert rows[5] == ["interactions", "0", "-"]


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        (["item_id", "genre", "name", "title"], "title"),
        (["item_id", "movie_title", "Name"], "Name"),
        (["item_id", "brand", "product_title", "movie_title"], "movie_title"),
        (["item_id", "Brand_Name", "long_title"], "Brand_Name"),
        (["item_id", "genre"], None),
        (["name", "genre"], None),
    ],
)
def test_the_column_of_the_titles(fields, title):
    assert find_title(dict.fromkeys(fields, "token"), fields[0]) == title


@pytest.mark.parametrize(
    ("fields", "text_fields", "title"),
    [
        ("Marke:token Beschreibung:token_seq Titel:token_seq", ("Titel", "Marke"), "Titel"),
        ("Marke:token Titel:token_seq Beschreibung:token_seq", (), "Titel"),
        ("Markenname:token Titel:token_seq", ("Titel",), "Titel"),
        ("Titel:token_seq title:token", ("Titel",), "title"),
        ("Marke:token", ("Titel",), None),
    ],
)
def test_where_no_column_is_called_title_the_texts_say_it(fields, text_fields, title):
    types = dict(field.split(":") for field in fields.split())
    assert find_title({"item_id": "token", **types}, "item_id", text_fields) == title


def test_the_column_of_the_titles_may_be_said(toy):
    Path("toy.item").write_text("item_id:token\ttitle:token\tmaker:token\na\tApple\tTree\nb\t\t\n")
    assert Catalogue("toy", Path(), "item_id").title(0) == "Apple"
    assert Catalogue("toy", Path(), "item_id", "maker").title(0) == "Tree"
    assert Catalogue("toy", Path(), "item_id").title(1) == "b"
    with pytest.raises(UserError, match="has no column 'color'"):
        Catalogue("toy", Path(), "item_id", "color")


def test_no_features_at_all():
    write_dataset()
    with pytest.raises(
        UserError, match=r"no features of toy in .*recbole-mm extract --dataset=toy"
    ):
        look()


def test_features_of_none_of_the_items():
    write_dataset()
    write_text_features({"7": [1, 0], "8": [0, 1]})
    overview = look()
    assert len(overview.modalities["text"].items) == 0
    assert warnings(overview) == [
        "text: no item of the dataset has features; the file's are named '7', '8'."
    ]
    assert "No two items" in render_page(overview)
    as_text(overview)


def test_features_without_any_token():
    write_dataset()
    write_text_features({"a": [1, 0]}, mask=torch.tensor([[False]]))
    assert warnings(look()) == ["text: no item of the dataset has features."]


def test_warnings(toy):
    untrained = FeatureInfo("text", "bert", "untrained")
    write_text_features(
        {"a": [1, 0], "b": [1, 0], "c": [1, 0], "d": [NAN, 0], "x": [0, 0]}, info=untrained
    )
    found = warnings(look(modalities=["text"]))
    assert [sentence.split(".")[0] for sentence in found] == [
        "text: the encoder is UNTRAINED",
        "text: 1 vector with NaN or an infinite number",
        "text: 1 vector of nothing but zeros",
        "text: 3 items share one vector, as those with a placeholder do",
    ]
    assert as_text(look()).count("WARNING") == 4
    assert "the encoder is UNTRAINED" in render_page(look())


HOSTILE = {
    "a": "<script>alert(1)</script>",
    "b": "\"><img src=x onerror='alert(1)'> & co",
    "c": "{{ 7 * 7 }}",
    "d": "\x1b[31mred\x07 \u202eback" + "wards" * 40,
}


def test_hostile_titles_are_text():
    write_dataset(HOSTILE)
    write_text_features({"a": [1, 0], "b": [1, 0], "c": [1, 0], "d": [1, 0]})
    page = render_page(look())
    assert "<script" not in page
    assert "<img" not in page
    assert "{{ 7 * 7 }}" in page
    assert html.escape(HOSTILE["a"]) in page
    text = as_text(look())
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert max(map(len, text.splitlines())) <= 100


def test_what_a_file_says_of_itself_may_be_hostile(toy):
    info = FeatureInfo("text", "<b>\x1b[2J", "x", "</style><script>", "'", ("<i>",))
    write_text_features({"a": [1, 0]}, info=info)
    assert not re.search("<(b|i|script)>", render_page(look()))
    assert "\x1b" not in as_text(look())


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 0, "-"),
        (0, 9, "0.0%"),
        (1, 10**6, "0.1%"),
        (1, 3, "33.3%"),
        (10**6 - 1, 10**6, "99.9%"),
        (9, 9, "100.0%"),
    ],
)
def test_percent(part, whole, expected):
    assert str(Share(part, whole)) == expected


@pytest.fixture
def pictures(toy):
    os.mkdir("images")
    Image.new("RGB", (200, 300), "teal").save("images/a.jpg")
    Image.new("RGBA", (900, 100), "#ff000080").save("images/b.png")
    Path("images/c.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return PictureFolder(Path("images"))


def test_pictures_are_part_of_the_page(pictures):
    page = render_page(look(n_examples=10), pictures)
    assert 'width="64" height="96" alt="Apple"' in page
    assert 'width="144" height="16" alt="Banana"' in page
    assert 'alt="Cherry"' not in page
    assert 'title="c.jpg is ' in page
    assert 'title="no picture">no picture<' in page


def test_the_page_needs_nothing_else(pictures):
    page = render_page(look(), pictures)
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)', page))
    assert all(
        link.startswith("data:image/jpeg;base64,") for link in re.findall('src="([^"]*)', page)
    )
    page = page.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert not re.search(r"<script|<link|<iframe|@import|url\(|https?:", page)
    anchors = re.findall('href="#([^"]*)', page)
    assert anchors == ["encoders", "coverage", "norms", "duplicates", "neighbours"]
    assert all(f'id="{anchor}"' in page for anchor in anchors)


def test_pictures_are_named_by_the_column_that_their_features_were_made_by(pictures):
    rows = ["a\tApple\tb.png", "b\tBanana\t", "c\tCherry\tgone.jpg"]
    Path("toy.item").write_text(
        "\n".join(["item_id:token\ttitle:token_seq\tphoto:token", *rows]) + "\n"
    )
    Path("toy.image.npy").unlink()
    made = FeatureInfo("image", source_fields=("images", "photo"))
    write_text_features({"a": [1, 2], "b": [2, 1], "c": [1, 1]}, info=made)
    page = render_page(look(modalities=["image"]), pictures)
    assert 'width="144" height="16" alt="Apple"' in page
    assert 'width="144" height="16" alt="Banana"' in page  # by its id, for it names none
    assert 'title="gone.jpg does not exist"' in page


def test_without_a_folder_of_pictures_none_is_missed(toy):
    page = render_page(look())
    assert "<img" not in page and "no picture" not in page


CHECK = """
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(({contentDocument: page}) => ({
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    images: [...page.images].map(image => image.complete && image.naturalWidth),
    title: page.title,
    scripts: page.scripts.length,
    headings: [...page.querySelectorAll("h3")].map(heading => heading.textContent),
  }));
  document.getElementById("found").textContent = JSON.stringify(found);
});
"""
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def rendered(page, *widths):
    """Show a page in frames of some widths, and give what a browser made of it."""
    frames = [
        f'<iframe style="width: {width}px; height: 900px" srcdoc="{html.escape(page)}"></iframe>'
        for width in widths
    ]
    check = f'<meta charset="utf-8"><script>{CHECK}</script><pre id="found"></pre>'
    Path("frames.html").write_text("".join([check, *frames]), encoding="utf-8")
    command = ["chromium", *FLAGS, f"--user-data-dir={Path('profile').absolute()}", "--dump-dom"]
    done = subprocess.run(
        [*command, Path("frames.html").absolute().as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(found))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on the PATH")
def test_in_a_browser(pictures):
    write_dataset(HOSTILE)
    shown = rendered(render_page(look(n_examples=10), pictures), 400, 1200)
    assert len(shown) == 2
    for page in shown:
        assert page["overflow"] == 0
        assert page["title"] == "Features of toy"
        assert page["scripts"] == 0
        assert HOSTILE["a"] in page["headings"] and HOSTILE["b"] in page["headings"]
        assert set(page["images"]) == {64, 144}


PROBE = """
import resource
from pathlib import Path
from recbole_mmdistill.features.report import as_text, inspect_features
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
inspect_features("small", Path())
before = peak()
inspect_features("big", Path())
print(peak() - before, Path("big.text.safetensors").stat().st_size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
def test_a_big_file_is_never_held_as_a_whole():
    tokens = [f"i{at}" for at in range(2000)]
    for name, dim in (("small", 2), ("big", 512)):
        write_dataset(titles=None, interactions=tokens)
        os.rename("toy.inter", f"{name}.inter")
        values = torch.randn(2000, 64, dim).half()
        write_features(f"{name}.text.safetensors", values, tokens, TEXT)
    command = [sys.executable, "-c", PROBE]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    grown, n_bytes = map(int, output.split()[-2:])
    assert n_bytes > 131_000_000
    assert grown < 60_000_000


def test_the_report_does_not_import_the_encoders_libraries():
    code = (
        "import sys; import recbole_mmdistill.features.report; "
        "print({'timm', 'transformers'} & {*sys.modules})"
    )
    done = fresh.run(code)
    assert done.stdout == "set()\n", done.stderr
