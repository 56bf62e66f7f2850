"""``recbole-mm poc``: from files to a report."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from recbole_mmdistill.cli import main
from recbole_mmdistill.poc.commands import write_commands
from recbole_mmdistill.poc.page import missing_lines

HOSTILE = "<script>alert(1)</script>"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def write_orders(n_users=40, n_items=30):
    rng = np.random.default_rng(0)
    orders = ["customer,sku,bought_at"]
    for user in range(n_users):
        for day, item in enumerate(rng.permutation(n_items)[:5]):
            orders.append(f"c{user},p{item},2025-03-{day + 1:02}")
    Path("orders.csv").write_text("\n".join(orders) + "\n")
    words = rng.choice(["green", "tea", "the", "pot", "with", "lid"], (n_items, 5))
    texts = [f"p{item},{' '.join(of)}" for item, of in enumerate(words)]
    texts[3] = f"p3,{HOSTILE}"
    Path("products.csv").write_text("\n".join(["sku,title", *texts]) + "\n")


def prove(*words, source=("orders.csv",), budget="30s"):
    given = ["--user=customer", "--item=sku", "--time=bought_at"] if source else []
    products = ["--items=products.csv", "--item_id=sku", "--text=title"] if source else []
    return main(["poc", *source, *given, *products, f"--budget={budget}", "--output=poc", *words])


def report():
    return json.loads(Path("poc/report.json").read_text())


@pytest.fixture(scope="module")
def without_encoder():
    """No text encoder on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recbole_mmdistill.poc.encoding._text_model_here", lambda: None)
        yield


@pytest.mark.slow
def test_a_small_sample_cannot_tell_and_killed_it_goes_on(without_encoder, capsys, monkeypatch):
    write_orders()
    assert prove() == 0
    said = capsys.readouterr().out
    assert "Written: poc/index.html" in said
    found = report()
    assert found["verdict"]["enough"] is False
    assert {of["outcome"] for of in found["verdict"]["sources"].values()} <= {"unclear", "no_data"}
    assert found["found"]["text"]["how"] == "fallback"
    assert found["found"]["image"] == {
        **{"how": "none", "encoder": "no_pictures", "path": ""},
        "untrained": False,
    }
    assert [*found["stages"]][:2] == ["popular", "markov"]
    page = Path("poc/index.html").read_text()
    assert "This sample cannot tell." in page
    assert "TF-IDF and truncated SVD, as no text encoder was found" in page
    assert "<script>alert" not in page
    assert not re.search(r"<link|<iframe|@import|(src|href)=.http", page)
    # Started again, it reads what it has done; another language takes no new training.
    Path("poc/steps/examples.json").unlink(missing_ok=True)
    monkeypatch.setattr("recbole_mmdistill.poc.stages.run_trial", lambda *_: 1 / 0)
    assert prove("--language=ja") == 0
    page = Path("poc/index.html").read_text()
    assert '<html lang="ja">' in page and "このサンプルでは判断できません" in page
    again = report()
    assert again["stages"]["popular"] == found["stages"]["popular"]
    assert again["plan"]["best_epochs"] == found["plan"]["best_epochs"]


@pytest.mark.slow
@pytest.mark.parametrize("truth", ["text", "image", "neither"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_verdict_on_a_planted_shop_is_right(truth, seed, tmp_path):
    from recbole_mmdistill.bench.planted import decide

    assert decide(tmp_path / "shop", truth, seed)["right"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget=soon"], "'soon' is no time such as 90s, 30m or 2h"),
        (["--budget=1s"], "--budget is 1 s"),
        (["--language=fr"], "invalid choice: 'fr'"),
        (["--images=absent"], "absent"),
        (["--user=nobody"], "nobody"),
    ],
)
def test_what_cannot_be_is_said(words, said, capsys):
    write_orders()
    assert prove(*words) == 2
    complaint = capsys.readouterr().err
    assert said in complaint and complaint.count("\n") == 1


def test_files_are_read_as_the_import_reads_them(capsys):
    Path("orders.csv").write_bytes("customer;sku;bought_at\né;p1;31-12-25\n".encode("cp1252") * 2)
    Path("products.csv").write_bytes("sku,title\np1,Café\n".encode("cp1252"))
    words = ["--separator=semicolon", "--encoding=cp1252", "--time_format=%d-%m-%y", "--dedupe"]
    assert prove(*words) == 2
    assert "--items_encoding=cp1252" in capsys.readouterr().err
    assert prove(*words, "--items_encoding=cp1252") == 2
    assert "0 users of" in capsys.readouterr().err  # read, but too few
    assert Path("poc/dataset/orders/orders.inter").read_text().splitlines()[1:] == [
        "é\tp1\t1767139200"
    ]


def test_neither_orders_nor_a_dataset(capsys):
    assert prove(source=()) == 2
    assert "Neither a file of orders nor --dataset is given" in capsys.readouterr().err


def test_users_with_one_purchase_teach_nothing(capsys):
    orders = [f"c{n},p{n},2025-03-01" for n in range(300)]
    Path("orders.csv").write_text("\n".join(["customer,sku,bought_at", *orders]) + "\n")
    Path("products.csv").write_text("sku,title\np1,tea\n")
    assert prove() == 2
    assert "0 users of" in capsys.readouterr().err


@pytest.mark.parametrize(("budget", "hours"), [(90, 2), (7200, 8)])
def test_where_time_was_lacking_the_same_words_are_to_be_said_with_more(budget, hours):
    verdict = {"recommended": "markov", "sources": {"text": {"outcome": "unfinished"}}}
    report = {"verdict": verdict, "plan": {"budget": budget}}
    words = ["my orders.csv", "--user=c", "--images=photos", "--budget", "90s", "--output=poc"]
    assert write_commands(Path("poc"), report, [], words) == [
        f"recbole-mm poc 'my orders.csv' --user=c --images=photos --output=poc --budget={hours}h"
    ]
    assert write_commands(Path("poc"), report, []) == []


def test_time_may_be_lacking_to_beat_a_table_of_counts():
    text = {"outcome": "on", "over_base": {"outcome": "unfinished"}}
    verdict = {"recommended": "markov", "sources": {"text": text}}
    report = {"verdict": verdict, "plan": {"budget": 90}}
    assert write_commands(Path("poc"), report, [], ["orders.csv"]) == [
        "recbole-mm poc orders.csv --budget=2h"
    ]


def test_where_a_table_of_counts_is_best_there_is_nothing_to_train():
    report = {"verdict": {"recommended": "markov", "sources": {"text": {"outcome": "not"}}}}
    assert write_commands(Path("poc"), report, [], ["orders.csv"]) == []


def test_the_pictures_are_shown_by_what_comes_next():
    settings = {"data_path": "d", "MAX_ITEM_LIST_LENGTH": 9, "eval_args": {}, "feature_path": {}}
    report = {"verdict": {"recommended": "id"}, "settings": settings, "dataset": "shop"}
    report["plan"] = {"best_epochs": {"id": 7}}
    lines = write_commands(Path("poc"), report, [], images=Path("my photos"))
    assert lines[1:3] == [
        "recbole-mm explain CHECKPOINT --output=why.html --images='my photos'",
        "recbole-mm export CHECKPOINT served/ --images='my photos'",
    ]
    assert all("--images" not in line for line in write_commands(Path("poc"), report, []))


def test_the_terminal_hears_why_a_source_is_left_out():
    found = {
        "text": {"how": "encoded", "encoder": "MiniLM"},
        "image": {"how": "none", "encoder": "no_image_encoder"},
    }
    (line,) = missing_lines(found, "en")
    assert line == "pictures: there is no image encoder on this machine, and none was named."
