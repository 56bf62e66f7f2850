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
from recbole_mmdistill.features import FeatureInfo, write_features
from recbole_mmdistill.features.looking import as_text, inspect_features, render_page, vectors
from recbole_mmdistill.features.looking.catalogue import Catalogue, Item, find_title
from recbole_mmdistill.features.looking.neighbours import NearestNeighbours
from recbole_mmdistill.features.looking.overview import DuplicateGroup, Neighbour, Share
from recbole_mmdistill.features.looking.text import columns, cut
from recbole_mmdistill.features.looking.wording import percent, size, warnings
from recbole_mmdistill.features.pictures import PictureFolder
from tests import fresh
from tests.features.builders import TEXT

TITLES = {"a": "Apple", "b": "Banana", "c": "Cherry", "d": "Date"}
INTERACTIONS = "aaaabbcx"
NAN = float("nan")

APPLE, BANANA = Item("a", "Apple", 4), Item("b", "Banana", 2)
X = Item("x", "x", 1)


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


def test_size_of_the_dataset(toy):
    overview = look()
    assert (overview.n_items, overview.n_interactions) == (5, 8)
    assert overview.group_sizes == (1, 2, 1, 1)  # d; c and x; b; a


def test_how_the_features_are_stored(toy):
    text, image = look().modalities
    assert (text.info, text.dtype) == (TEXT, "float32")
    assert (text.n_rows, text.n_tokens, text.dim) == (5, 1, 2)
    assert (text.path, text.n_bytes) == (
        Path("toy.text.safetensors").absolute(),
        Path("toy.text.safetensors").stat().st_size,
    )
    assert (image.n_rows, image.n_tokens, image.dim) == (2, 1, 2)


def test_coverage(toy):
    text, image = look().modalities
    assert text.items == Share(4, 5)
    assert text.interactions == Share(7, 8)
    assert text.groups == (Share(1, 1), Share(1, 2), Share(1, 1), Share(1, 1))
    assert image.items == Share(2, 5)
    assert image.interactions == Share(5, 8)
    assert image.groups == (Share(0, 1), Share(1, 2), Share(0, 1), Share(1, 1))


def test_which_modalities_items_have(toy):
    assert look().combinations == (
        (("text", "image"), 1),
        (("text",), 3),
        (("image",), 1),
        ((), 0),
    )


def test_items_that_are_not_in_the_dataset(toy):
    text, image = look().modalities
    assert (text.unknown_items.count, text.unknown_items.examples) == (1, ("z",))
    assert image.unknown_items.count == 0


def test_norms(toy):
    text, image = look().modalities
    assert (text.norms.minimum, text.norms.median, text.norms.maximum) == (0, 5, 5)
    assert (text.norms.bins[0], text.norms.bins[-1], sum(text.norms.bins)) == (1, 2, 3)
    assert (text.n_zero, text.n_not_finite) == (1, 1)
    assert image.norms.minimum == pytest.approx(1)
    assert image.norms.maximum == 2


def test_equal_norms_have_no_histogram():
    write_dataset()
    write_text_features({"a": [1.0, 0.0], "b": [0.0, 1.001]})
    (text,) = look().modalities
    assert text.norms.bins == ()


def test_duplicates(toy):
    text, image = look().modalities
    assert (text.n_duplicates, text.n_duplicate_groups) == (2, 1)
    assert text.largest_groups == (DuplicateGroup(2, False, (APPLE, BANANA)),)
    assert (image.n_duplicates, image.largest_groups) == (0, ())


def test_the_largest_groups_come_first():
    tokens = list("abcdefghijk")
    write_dataset(titles=None, interactions=tokens)
    write_text_features({token: [min(at // 2, 3), 1] for at, token in enumerate(tokens)})
    (text,) = look().modalities
    assert text.n_duplicates == 11
    assert [group.size for group in text.largest_groups] == [5, 2, 2, 2]
    assert [group.examples[0].token for group in text.largest_groups] == ["g", "a", "c", "e"]


def test_neighbours(toy):
    apple = look().examples[0]
    assert (apple.item, apple.is_popular) == (APPLE, True)
    assert apple.neighbours["text"] == (Neighbour(BANANA, pytest.approx(1)),)
    assert apple.neighbours["image"] == (Neighbour(X, pytest.approx(0.6)),)


def test_an_item_may_lack_a_modality_or_a_direction(toy):
    near = {example.item.token: example.neighbours for example in look(n_examples=10).examples}
    assert set(near) == set("abcdx")
    assert set(near["x"]) == {"image"}
    assert near["c"] == near["d"] == {"text": None}


def test_half_of_the_examples_are_the_most_popular(toy):
    examples = look(n_examples=3).examples
    assert [example.item.token for example in examples[:2]] == ["a", "b"]
    assert [example.is_popular for example in examples] == [True, True, False]
    assert examples[2].item.token in "cdx"


def test_the_seed_draws_the_other_half():
    tokens = [f"i{at}" for at in range(100)]
    write_dataset(titles=None, interactions=tokens)
    write_text_features({token: [at, 1] for at, token in enumerate(tokens)})

    def drawn(seed):
        return [example.item.token for example in look(seed=seed).examples[4:]]

    assert drawn(0) == drawn(0) != drawn(1)
    assert len(set(drawn(0))) == 4


def test_no_examples(toy):
    overview = look(n_examples=0)
    assert overview.examples == ()
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
    overview = look()
    (text,) = overview.modalities
    assert (text.items, text.n_empty) == (Share(3, 5), 1)
    assert (text.n_zero, text.n_not_finite) == (0, 0)
    assert text.norms.minimum == pytest.approx(2**0.5)
    assert text.norms.maximum == pytest.approx(18**0.5)
    assert [item.token for item in text.largest_groups[0].examples] == ["b", "c"]
    near = overview.examples[0].neighbours["text"]
    assert [(n.item.token, n.similarity) for n in near] == [
        ("b", pytest.approx(1)),
        ("c", pytest.approx(1)),
    ]
    assert "1 item of the file without a real token" in as_text(overview)


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
    monkeypatch.setattr(vectors, "CHUNK_BYTES", 7 * values[0].nbytes)
    pieces = look()
    assert as_text(pieces) == as_text(whole)
    assert pieces.modalities[0].n_duplicates == 2
    mean = values[10:].astype(np.float32).mean(1)
    units = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    for example in pieces.examples:
        cosines = units @ units[int(example.item.token[1:]) - 10]
        expected = np.argsort(-cosines)[1:6]
        near = example.neighbours["text"]
        assert [int(n.item.token[1:]) - 10 for n in near] == expected.tolist()
        assert [n.similarity for n in near] == pytest.approx(cosines[expected], abs=1e-5)


def closeness_of(values):
    values = values.astype(np.float32)
    units = values / np.linalg.norm(values, axis=1, keepdims=True)
    nearest = NearestNeighbours(np.arange(30), units[:30])
    nearest.add(np.arange(len(units)), units)
    return nearest.closeness()


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
    text, image = look().modalities
    assert text.closeness.is_beyond_chance is None
    assert image.closeness.neighbours == pytest.approx(0.6)
    assert "2 vectors, too few" in as_text(look())


def test_without_item_file_tokens_are_titles():
    write_dataset(titles=None)
    write_text_features({"a": [1, 0], "b": [1, 1]})
    assert look().examples[0].item == Item("a", "a", 4)


def test_without_interactions_all_items_are_cold():
    write_dataset()
    Path("toy.inter").unlink()
    write_text_features({"a": [1, 0], "b": [1, 1]})
    overview = look()
    assert overview.group_sizes == (4, 0, 0, 0)
    assert overview.modalities[0].interactions == Share(0, 0)
    assert ["interactions", "0", "-"] in [line.split() for line in as_text(overview).splitlines()]


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        (["item_id", "genre", "name", "title"], "title"),
        (["item_id", "movie_title", "name"], "name"),
        (["item_id", "brand", "product_title", "movie_title"], "movie_title"),
        (["item_id", "Brand_Name", "long_title"], "Brand_Name"),
        (["item_id", "genre"], None),
        (["name", "genre"], None),
    ],
)
def test_the_column_of_the_titles(fields, title):
    assert find_title(fields, fields[0]) == title


def test_the_column_of_the_titles_may_be_said(toy):
    Path("toy.item").write_text("item_id:token\ttitle:token\tmaker:token\na\tApple\tTree\nb\t\t\n")
    assert Catalogue("toy", Path()).item(0).title == "Apple"
    assert Catalogue("toy", Path(), title_field="maker").item(0).title == "Tree"
    assert Catalogue("toy", Path()).item(1).title == "b"
    with pytest.raises(UserError, match="has no column 'color'"):
        Catalogue("toy", Path(), title_field="color")


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
    assert overview.modalities[0].items == Share(0, 5)
    assert warnings(overview) == [
        "text: no item of the dataset has features; the file's are named '7', '8'."
    ]
    assert "No two items" in render_page(overview)
    as_text(overview)


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
    lines = [line for line in text.splitlines() if not line.startswith("  file ")]  # never cut
    assert max(map(columns, lines)) <= 100


def test_what_a_file_says_of_itself_may_be_hostile(toy):
    info = FeatureInfo("text", "<b>\x1b[2J", "x", "</style><script>", "'", ("<i>",))
    write_text_features({"a": [1, 0]}, info=info)
    assert not re.search("<(b|i|script)>", render_page(look()))
    assert "\x1b" not in as_text(look())


def test_wide_letters_take_two_columns():
    assert columns("电影") == 4
    assert columns("e\u0301") == 1
    assert cut("电影电影电影", 8) == "电影..."
    assert cut("Apple", 5) == "Apple"


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (Share(0, 0), "-"),
        (Share(0, 9), "0.0%"),
        (Share(1, 10**6), "0.1%"),
        (Share(1, 3), "33.3%"),
        (Share(10**6 - 1, 10**6), "99.9%"),
        (Share(9, 9), "100.0%"),
    ],
)
def test_percent(share, expected):
    assert percent(share) == expected


@pytest.mark.parametrize(
    ("n_bytes", "expected"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_345_678, "2.3 MB")]
)
def test_sizes(n_bytes, expected):
    assert size(n_bytes) == expected


@pytest.fixture
def pictures(toy):
    os.mkdir("images")
    Image.new("RGB", (200, 300), "teal").save("images/a.jpg")
    Image.new("RGBA", (900, 100), "#ff000080").save("images/b.png")
    Path("images/c.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return PictureFolder(Path("images"))


def test_pictures_are_part_of_the_page(pictures):
    page = render_page(look(n_examples=10), pictures)
    assert 'width="64" height="96" alt="Picture of Apple"' in page
    assert 'width="144" height="16" alt="Picture of Banana"' in page
    assert "Picture of Cherry" not in page
    assert 'title="c.jpg ' in page and ">unreadable<" in page
    assert 'title="no picture">no picture<' in page


def test_the_page_needs_nothing_else(pictures):
    page = render_page(look(), pictures)
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)', page))
    assert all(
        link.startswith("data:image/jpeg;base64,") for link in re.findall('src="([^"]*)', page)
    )
    assert not re.search(r"<script|<link|<iframe|@import|url\(|https?:", page)
    anchors = re.findall('href="#([^"]*)', page)
    assert anchors == ["encoders", "coverage", "lengths", "duplicates", "neighbours"]
    assert all(f'id="{anchor}"' in page for anchor in anchors)


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
from recbole_mmdistill.features.looking import as_text, inspect_features
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
inspect_features("small", Path())
before = peak()
overview = inspect_features("big", Path())
print(peak() - before, overview.modalities[0].n_bytes)
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


def test_looking_does_not_import_the_encoders_libraries():
    code = (
        "import sys; import recbole_mmdistill.features.looking; "
        "print({'timm', 'transformers'} & {*sys.modules})"
    )
    done = fresh.run(code)
    assert done.stdout == "set()\n", done.stderr
