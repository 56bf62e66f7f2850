"""``recbole-mm explain``: a page, and the same as JSON."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recbole_mmdistill.cli import main
from recbole_mmdistill.explain import Explainer, summarise
from recbole_mmdistill.explain.job import spread
from recbole_mmdistill.features import FeatureInfo, open_features, write_features
from recbole_mmdistill.serving import Recommender
from recbole_mmdistill.serving.items import Items
from tests.serving.builders import save_checkpoint, write_files

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def checkpoint():
    write_files()
    titles = [f"i{n}\tFilm {n}" for n in range(14)]
    header = "item_id:token\ttitle:token_seq"
    lines = [header, *titles, f"i14\t{HOSTILE}"]
    Path("dataset/small/small.item").write_text("\n".join(lines) + "\n")
    Path("visitors.csv").write_text(
        f'user,item\nann,i1\nann,i5\nbob,unheard\n"{HOSTILE[:25]}",i2\n'
    )
    return save_checkpoint()[0]


def explain(checkpoint, *words, output="why.html"):
    return main(["explain", checkpoint, f"--output={output}", "--json=why.json", *words])


def page():
    return Path("why.html").read_text()


def document():
    return json.loads(Path("why.json").read_text())


def users(words="u3,u7"):
    return [f"--users={words}", "--sample=0"]


def test_the_document_holds_what_the_explainer_says(checkpoint, capsys):
    assert explain(checkpoint, *users(), "--k=4") == 0
    said = "Recommendations explained one by one, users: 2.\nWritten: why.html\n"
    assert capsys.readouterr().out == said
    written = document()
    assert (written["sources"], written["branches"]) == (["id", "text", "image"],) * 2
    assert [person["user"] for person in written["people"]] == ["u3", "u7"]
    assert written["summary"] is None
    history = [entry["item"] for entry in written["people"][0]["history"]]
    assert written["people"][0]["n_known"] == len(history) == 9
    explained = Explainer(Recommender.from_checkpoint(checkpoint)).explain([history], 4)
    found = explained.recommendations
    assert len(written["people"][0]["recommendations"]) == 4
    for place, told in enumerate(written["people"][0]["recommendations"]):
        assert (told["item"], told["rank"]) == (found.items[0, place], place + 1)
        assert told["score"] == pytest.approx(found.scores[0, place], rel=1e-5)
        for name in ("values", "without"):
            numbers = getattr(explained, name)[0, place].tolist()
            assert [*told[name].values()] == pytest.approx(numbers, rel=1e-5)
        for name in ("place_alone", "place_without"):
            places = getattr(explained, name)[0, place].tolist()
            assert [*told[name].values()] == [number or None for number in places]
        assert [*told["shares"]] == ["id", "text", "image", "repeats"]
        change = dict(zip(explained.past[0].items, explained.past[0].change[place]))
        falling = sorted(change.values(), reverse=True)
        assert [entry["change"] for entry in told["past"]] == pytest.approx(falling, rel=1e-5)
        assert change[told["past"][0]["item"]] == falling[0]


def test_users_of_a_file_and_one_that_nobody_knows(checkpoint):
    Path("some.txt").write_text("u7\nnobody\nu2\n")
    assert explain(checkpoint, *users("some.txt")) == 0
    people = document()["people"]
    assert [(person["user"], person["by"]) for person in people] == [
        ("u7", "model"),
        ("nobody", "popularity"),
        ("u2", "model"),
    ]
    assert "Nothing is known of this person" in page()


def test_histories_of_anybody_and_the_whole_of_them(checkpoint):
    assert explain(checkpoint, "--histories=visitors.csv", "--k=3") == 0
    written = document()
    assert [person["user"] for person in written["people"]] == ["ann", "bob", HOSTILE[:25]]
    assert [person["n_unknown"] for person in written["people"]] == [0, 1, 0]
    explainer = Explainer(Recommender.from_checkpoint(checkpoint))
    histories = explainer.recommender.histories([["i1", "i5"], ["i2"]])
    summary = summarise(explainer, histories, 3)
    assert written["summary"]["n_people"] == 2
    assert written["summary"]["all"]["carried"] == pytest.approx(summary.all.carried)
    assert written["summary"]["taken_away"]["text"]["replaced"] == pytest.approx(
        summary.taken_away["text"].replaced
    )


def test_without_a_name_five_users_and_a_sample(checkpoint, capsys):
    assert explain(checkpoint, "--sample=4") == 0
    written = document()
    assert [p["user"] for p in written["people"]] == ["u1", "u3", "u6", "u8", "u10"]
    assert written["summary"]["n_people"] == 4
    said = capsys.readouterr().out
    assert "Of 24 recommendations the sources carry: id " in said
    assert (
        "users: 5. Chosen by the length of their histories: u1, u3, u6, u8, u10; --users or "
        "--histories name others." in said
    )
    assert explain(checkpoint, "--sample=0") == 0
    assert document()["people"] == written["people"] and document()["summary"] is None


def test_people_of_all_lengths_of_histories():
    length = np.array([9, 1, 8, 2, 7, 3, 6, 4, 5, 10])
    assert length[spread(length, 5)].tolist() == [8, 2, 6, 4, 10]
    assert spread(length[:3], 5).tolist() == [0, 1, 2]
    assert spread(length[:0], 5).tolist() == []


def test_of_many_people_the_first_twenty_are_shown(checkpoint):
    lines = [f"v{n},i{n % 15}" for n in range(30)]
    Path("many.csv").write_text("\n".join(["user,item", *lines]) + "\n")
    assert explain(checkpoint, "--histories=many.csv") == 0
    assert [p["user"] for p in document()["people"]] == [f"v{n}" for n in range(20)]
    assert document()["summary"]["n_people"] == 30


def test_titles_and_users_never_become_markup(checkpoint):
    assert explain(checkpoint, "--histories=visitors.csv", "--exclude=none", "--k=15") == 0
    shown = page()
    assert HOSTILE[:8] in json.dumps(document())
    assert "<script>alert" not in shown and "<img" not in shown
    assert shown.count("<script") == 2  # the data, and the page's own
    assert "Film 3" in shown


def test_the_page_fetches_nothing(checkpoint):
    assert explain(checkpoint, *users()) == 0
    assert not re.search(r"<link|<iframe|<img|@import|https?:", page())
    assert "default-src 'none'" in page()


def test_each_picture_is_in_the_page_once(checkpoint):
    Path("photos").mkdir()
    for n in range(13):
        Image.new("RGB", (80, 120), (20 * n, 0, 0)).save(f"photos/i{n}.png")
    Path("photos/i13.png").write_bytes(b"no picture")
    assert explain(checkpoint, *users(), "--images=photos", "--exclude=none") == 0
    pictures = re.findall(r"url\((data:image/jpeg;base64,[\w+/=]+)\)", page())
    assert len(pictures) == len({*pictures}) == 13
    assert "no picture" in page()


def test_pictures_are_those_of_the_column_that_the_features_were_made_by(checkpoint):
    item = Path("dataset/small/small.item")
    item.write_text("item_id:token\tFoto:token\ni1\tred.png\ni5\t../i5.png\n")
    Path("photos").mkdir()
    for path in ("photos/red.png", "photos/i2.png", "photos/i1.png", "i5.png"):
        Image.new("RGB", (80, 120)).save(path)
    info = FeatureInfo("image", encoder="numbers", source_fields=("photos", "Foto"))
    features = open_features("dataset/small/small.image.safetensors")
    path = Path("dataset/small/small.image.safetensors")
    values = features.values.clone()
    path.unlink()
    write_features(path, values, features.item_tokens, info)
    items = Items.of_dataset(Recommender.from_checkpoint(checkpoint).trained, None, Path("photos"))
    Path("photos/i1.png").unlink()
    shown = [token for token in ("i1", "i2", "i3", "i5") if items.picture(token) is not None]
    assert shown == ["i1", "i2"]


def test_a_column_of_titles_by_name(checkpoint):
    item = Path("dataset/small/small.item")
    item.write_text(item.read_text().replace("title:token_seq", "label:token"))
    assert explain(checkpoint, *users()) == 0
    assert document()["people"][0]["recommendations"][0]["title"].startswith("i")
    assert explain(checkpoint, *users(), "--title_field=label") == 0
    assert document()["people"][0]["recommendations"][0]["title"].startswith("Film ")


def test_without_the_item_file_the_tokens_are_shown(checkpoint):
    Path("dataset/small/small.item").unlink()
    assert explain(checkpoint, "--histories=visitors.csv") == 0
    assert document()["people"][0]["history"][0] == {"item": "i1", "title": "i1"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--users=zoe,yan"], "None of the 2 users is in the dataset (the first is 'zoe')"),
        (["--users=,"], "--users is ','"),
        (["--users=u1", "--histories=visitors.csv"], "Both --users and --histories are given"),
        (["--sample=-1"], "--sample: -1 is not 0 or more"),
        (["--k=99"], "k is 99. Give a number from 1 to 15"),
        (["--histories=absent.csv"], "There is no file absent.csv"),
        (["--images=absent"], "There is no folder absent"),
        (["--title_field=name"], "name"),
        (["--output=why.pdf"], "--output is why.pdf, but a page is written"),
        (["--output=folder.html"], "--output is folder.html, which is a folder"),
        (["--output=visitors.csv/why.html"], "visitors.csv is no folder"),
        (["--json=folder.html"], "--json is folder.html, which is a folder"),
        (["--json=why.html"], "--output and --json are both why.html"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(checkpoint, words, said, capsys):
    Path("folder.html").mkdir()
    before = sorted(Path().rglob("*"))
    assert explain(checkpoint, *words) == 2
    complaint = capsys.readouterr().err
    assert said in complaint and complaint.count("\n") == 1
    assert [path for path in sorted(Path().rglob("*")) if path not in before] == []


def test_a_model_of_recbole_is_refused(capsys):
    write_files()
    path, _ = save_checkpoint("SASRec")
    assert explain(path) == 2
    assert "model SASRec, which has one source" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [400, 1200])
def test_in_a_browser_a_slider_puts_the_items_in_another_order(checkpoint, width):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    words = ["--histories=visitors.csv", "--exclude=none", "--k=5"]
    assert explain(checkpoint, *words) == 0
    recommender = Recommender.from_checkpoint(checkpoint)

    def best(**weights):
        found = recommender.recommend([["i1", "i5"]], 5, exclude_seen=False, weights=weights)
        titles = [f"Film {item[1:]}" for item in found.items[0]]
        return [HOSTILE if title == "Film 14" else title for title in titles]

    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": width, "height": 900})
        errors = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.on("request", lambda request: errors.append(request.url[:40]))
        opened.goto(Path("why.html").absolute().as_uri())
        cards = opened.locator(".ranked").first.locator("li.card:visible > div > h4")

        def titles():
            return [re.sub(r"^\d+ ", "", text.strip()) for text in cards.all_inner_texts()]

        assert titles() == best()
        opened.locator("#weight1").fill("3")
        assert titles() == best(text=3.0) != best()
        assert ", was " in opened.locator(".ranked").first.inner_text()
        opened.locator("#weight0").fill("0")
        assert titles() == best(text=3.0, id=0.0)
        opened.get_by_role("button", name="All 1").click()
        opened.wait_for_timeout(50)
        assert titles() == best()
        why = opened.locator(".ranked").first.locator("details").nth(1)
        assert not why.locator("table").is_visible()
        why.locator("summary").first.click()
        assert why.locator("table").is_visible()
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        assert [error for error in errors if not error.startswith(("file:", "data:"))] == []
        browser.close()


def test_unknown_users_and_items_are_counted(checkpoint, capsys):
    assert explain(checkpoint, "--histories=visitors.csv") == 0
    said = capsys.readouterr().out
    assert "Unknown items of histories, skipped: 1." in said
    assert "Users of whom nothing is known, who get the most popular: 1." in said


def test_the_dataset_of_another_shop(checkpoint, capsys):
    inter = Path("dataset/small/small.inter")
    inter.write_text(re.sub(r"\ti(\d)", r"\tother\1", inter.read_text()))
    assert explain(checkpoint, *users()) == 2
    assert "The checkpoint knows none of the" in capsys.readouterr().err
    assert not Path("why.html").exists()
