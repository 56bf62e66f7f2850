"""``recbole-mm recommend``: files in, a file out."""

import csv
import json
import re
from pathlib import Path

import duckdb
import pytest

from recbole_mmdistill.cli import main
from recbole_mmdistill.intake.dialect import NOTHING
from recbole_mmdistill.intake.engine import Engine
from recbole_mmdistill.intake.ids import read_ids
from recbole_mmdistill.intake.reading import AS_FOUND
from recbole_mmdistill.serving import Recommender, people
from tests.serving.builders import save_checkpoint, write_files

VISITORS = """\
customer,sku,bought_at
ann,i5,2021-01-02
bob,nothing,2021-01-01
ann,i1,2021-01-01
eve,i3,2021-01-05
ann,i9,2021-01-03
eve,unheard,2021-01-06
"""


@pytest.fixture
def checkpoint():
    write_files()
    Path("visitors.csv").write_text(VISITORS)
    return save_checkpoint()[0]


def recommend(checkpoint, *words, output="recs.csv"):
    return main(["recommend", checkpoint, f"--output={output}", *words])


def rows(path="recs.csv"):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def as_lists(found, users):
    return [
        [user, str(place + 1), item]
        for user, items in zip(users, found.items)
        for place, item in enumerate(items)
        if item is not None
    ]


def keys(rows):
    return [[row["user"], row["rank"], row["item"]] for row in rows]


def histories_of_users():
    """Histories as of now, read literally; the file is in the order of users and time."""
    histories = {}
    for line in Path("dataset/small/small.inter").read_text().splitlines()[1:]:
        user, item, *_ = line.split("\t")
        histories.setdefault(user, []).append(item)
    return histories


def test_all_users_with_all_that_they_chose(checkpoint, capsys):
    assert recommend(checkpoint, "--k=3") == 0
    histories = histories_of_users()
    found = Recommender.from_checkpoint(checkpoint).recommend(histories.values(), 3)
    assert keys(rows()) == as_lists(found, histories)
    assert {row["by"] for row in rows()} == {"model"}
    scores = [float(row["score"]) for row in rows()]
    assert scores == pytest.approx(found.scores.ravel().tolist(), abs=1e-6)
    said = capsys.readouterr().out
    assert said == "36 recommendations, users: 12.\nWritten: recs.csv\n"


def test_some_users_in_the_order_of_their_file(checkpoint):
    Path("some.txt").write_text("u7\nnobody\nu2\n")
    assert recommend(checkpoint, "--k=2", "--users=some.txt") == 0
    assert [row["user"] for row in rows()] == ["u7", "u7", "nobody", "nobody", "u2", "u2"]
    assert [row["by"] for row in rows()] == ["model"] * 2 + ["popularity"] * 2 + ["model"] * 2


def test_users_by_their_ids(checkpoint):
    assert recommend(checkpoint, "--k=1", "--users=u7, u2") == 0
    assert [row["user"] for row in rows()] == ["u7", "u2"]


def test_histories_of_people_that_the_model_never_saw(checkpoint, capsys):
    assert recommend(checkpoint, "--k=4", "--histories=visitors.csv") == 0
    recommender = Recommender.from_checkpoint(checkpoint)
    found = recommender.recommend([["i1", "i5", "i9"], ["nothing"], ["i3", "unheard"]], 4)
    assert keys(rows()) == as_lists(found, ["ann", "bob", "eve"])
    assert [row["by"] for row in rows()] == ["model"] * 4 + ["popularity"] * 4 + ["model"] * 4
    assert rows()[4]["score"] == ""
    said = capsys.readouterr().out
    assert "Unknown items of histories, skipped: 2." in said
    assert "got the most popular: 1." in said


def test_json_lines_and_columns_by_name(checkpoint):
    lines = [{"who": "ann", "thing": item} for item in ("i1", "i5", "i9")]
    Path("h.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["--k=4", "--histories=h.jsonl", "--user=who", "--item=thing"]
    assert recommend(checkpoint, *words, output="recs.jsonl") == 0
    read = [json.loads(line) for line in Path("recs.jsonl").read_text().splitlines()]
    found = Recommender.from_checkpoint(checkpoint).recommend([["i1", "i5", "i9"]], 4)
    assert [row["item"] for row in read] == found.items[0].tolist()
    assert [row["rank"] for row in read] == [1, 2, 3, 4]


LISTS = [
    {"user": "ann", "items": ["i5", "i1", "i9"]},
    {"user": "new", "items": []},
    {"user": "bob", "items": ["i3", "unheard"]},
    {"user": "ann", "items": ["i2"]},
]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_list_of_items_for_each_person(checkpoint, capsys, ending):
    Path("h.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LISTS))
    duckdb.sql("COPY (FROM 'h.jsonl') TO 'h.parquet'")
    assert recommend(checkpoint, "--k=4", f"--histories=h.{ending}") == 0
    recommender = Recommender.from_checkpoint(checkpoint)
    found = recommender.recommend([["i5", "i1", "i9", "i2"], ["i3", "unheard"], []], 4)
    assert keys(rows()) == as_lists(found, ["ann", "bob", "new"])
    assert [row["by"] for row in rows()] == ["model"] * 8 + ["popularity"] * 4
    said = capsys.readouterr().out
    assert "Unknown items of histories, skipped: 1." in said
    assert "could not be read" not in said


def test_lists_of_items_in_the_order_of_their_times(checkpoint):
    lines = [{"user": "ann", "n": 9, "item": ["i5", "i1"]}, {"user": "ann", "n": 3, "item": "i2"}]
    Path("h.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert recommend(checkpoint, "--k=4", "--histories=h.jsonl", "--time=n") == 0
    found = Recommender.from_checkpoint(checkpoint).recommend([["i2", "i5", "i1"]], 4)
    assert keys(rows()) == as_lists(found, ["ann"])


def test_ids_stay_as_they_stand(checkpoint):
    Path("h.csv").write_text('user,item\n007,i1\n" a ",i1\nЖ🎬,i1\n1.0,i1\n')
    assert recommend(checkpoint, "--k=1", "--histories=h.csv", output="recs.parquet") == 0
    read = duckdb.sql("SELECT DISTINCT \"user\" FROM 'recs.parquet'").fetchall()
    assert sorted(read) == sorted([("007",), (" a ",), ("Ж🎬",), ("1.0",)])


def test_shares_add_up_to_the_score(checkpoint):
    words = ["--exclude=none", "--shares", "--weights=text:2,id:0.5", "--k=15"]
    assert recommend(checkpoint, *words) == 0
    for row in rows():
        shares = [float(row[f"share_{part}"]) for part in ("id", "text", "image", "repeats")]
        assert sum(shares) == pytest.approx(float(row["score"]), abs=1e-5)


def test_sources_only_and_exclude(checkpoint):
    Path("only.csv").write_text("item_id,stock\ni1,3\ni5,4\ni9,1\ni2,9\n")
    Path("sold.txt").write_text("item\ni9\n")
    words = ["--sources=text", "--only=only.csv", "--exclude=sold.txt", "--histories=visitors.csv"]
    assert recommend(checkpoint, *words) == 0
    recommender = Recommender.from_checkpoint(checkpoint).with_sources(["text"])
    found = recommender.recommend(
        [["i1", "i5", "i9"], ["nothing"], ["i3"]], 4, only=["i1", "i5", "i2"]
    )
    assert keys(rows()) == as_lists(found, ["ann", "bob", "eve"])
    assert [row["item"] for row in rows() if row["user"] == "ann"] == ["i2"]


@pytest.mark.parametrize(
    "only",
    [
        'sku\n"i3"\n"i4"\n',  # as R, and whoever quotes all cells, writes one column
        "i3\r\ni4\r\n",
        "i3, the blue one\ni4\ni3\n",  # ids with commas in them are no table
        "sep=;\nitem;stock\ni3;1\ni4;2\n",
    ],
)
def test_a_list_of_ids_may_be_one_column_of_any_kind(checkpoint, only):
    Path("only.txt").write_text(only)
    assert recommend(checkpoint, "--only=only.txt", "--exclude=none", "--k=3") == 0
    assert {row["item"] for row in rows()} == {"i3", "i4"}


def test_ids_with_marks_in_them():
    Path("ids.csv").write_text('item\n"a,b"\n"say ""hi"""\n"x" and "y"\n7"\n')
    ids = ["a,b", 'say "hi"', '"x" and "y"', '7"']
    with Engine(Path("database")) as engine:
        assert read_ids(engine, Path("ids.csv"), "item") == ids
        raw = AS_FOUND._replace(wanted=NOTHING._replace(quoted=False, header=False))
        assert read_ids(engine, Path("ids.csv"), "item", raw)[:2] == ["item", '"a,b"']


def test_a_list_of_ids_may_be_a_folder_of_parts(checkpoint):
    Path("only").mkdir()
    for name, text in {"1.txt": "i3\n", "2.txt": "", "3.txt": "i4\n"}.items():
        Path("only", name).write_text(text)
    assert recommend(checkpoint, "--only=only", "--exclude=none", "--k=3") == 0
    assert {row["item"] for row in rows()} == {"i3", "i4"}


def test_unknown_items_of_lists_are_counted(checkpoint, capsys):
    Path("only.txt").write_text("i3\ni4\n03\n04\n")
    Path("sold.txt").write_text("i4\nx\n")
    assert recommend(checkpoint, "--only=only.txt", "--exclude=sold.txt") == 0
    assert "Unknown items of --only and --exclude, skipped: 3." in capsys.readouterr().out


def test_a_model_of_recbole():
    write_files()
    path, _ = save_checkpoint("SASRec")
    assert recommend(path, "--k=2") == 0
    found = Recommender.from_checkpoint(path).recommend(histories_of_users().values(), 2)
    assert keys(rows()) == as_lists(found, histories_of_users())


def test_new_users_and_items_of_the_dataset(checkpoint, capsys):
    with open("dataset/small/small.inter", "a") as file:
        file.write("new\ti1\t1\t1600000000\nnew\ti99\t1\t1600000001\nu0\ti1\t1\t1600000000\n")
    assert recommend(checkpoint, "--k=3") == 0
    recommender = Recommender.from_checkpoint(checkpoint)
    histories = histories_of_users()
    assert histories["new"] == ["i1", "i99"] and histories["u0"][-1] == "i1"
    assert keys(rows()) == as_lists(recommender.recommend(histories.values(), 3), histories)
    assert "skipped: 1." in capsys.readouterr().out


def test_items_with_leading_zeros_that_were_lost(checkpoint, capsys):
    inter = Path("dataset/small/small.inter")
    inter.write_text(re.sub(r"\ti(\d+)", r"\t00\1", inter.read_text()))
    path, _ = save_checkpoint(modalities=[])
    Path("h.csv").write_text("user,item\nann,1\nann,2\nbob,003\n")
    assert recommend(path, "--histories=h.csv") == 0
    said = capsys.readouterr().out
    assert "skipped: 2, such as '1', which the checkpoint knows as '001' (leading zeros" in said
    Path("h.csv").write_text("user,item\nann,1\n")
    assert recommend(path, "--histories=h.csv", output="none.csv") == 2
    assert "knows as '001' (leading zeros were lost). Do they" in capsys.readouterr().err
    assert not Path("none.csv").exists()


def test_the_dataset_of_another_shop(checkpoint, capsys):
    inter = Path("dataset/small/small.inter")
    inter.write_text(re.sub(r"\ti(\d+)", r"\tsku-\1", inter.read_text()))
    assert recommend(checkpoint) == 2
    assert "none of the 108 items of the histories, such as 'sku-" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--histories=many.csv"]])
def test_many_people_come_in_parts(checkpoint, words, monkeypatch):
    monkeypatch.setattr(people, "AT_ONCE", 5)
    lines = [
        f"{user},{item},{n}"
        for user, history in histories_of_users().items()
        for n, item in enumerate(history)
    ]
    Path("many.csv").write_text("\n".join(["user,item,n", *lines[::-1]]) + "\n")
    words = [*words, "--time=n"] if words else []
    assert recommend(checkpoint, "--k=3", *words) == 0
    found = Recommender.from_checkpoint(checkpoint).recommend(histories_of_users().values(), 3)
    assert sorted(keys(rows())) == sorted(as_lists(found, histories_of_users()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--k=0"], "--k: 0 is not 1 or more"),
        (["--k=99"], "k is 99. Give a number from 1 to 15"),
        (["--sources=id,txt"], "'txt' is no branch of the model. Choose from id, text, image"),
        (["--weights=text"], "'text' is no NAME:NUMBER"),
        (["--weights=txt:2"], "weights names 'txt'"),
        (["--weights=text:-2"], "The weight of text is -2.0"),
        (["--weights=text:nan"], "The weight of text is nan"),
        (
            ["--users=absent.txt"],
            "None of the 1 users is in the dataset (the first is 'absent.txt')",
        ),
        (["--users=visitors.csv"], "None of the 3 users is in the dataset (the first is 'ann')"),
        (["--users=empty.txt"], "empty.txt is empty"),
        (["--histories=empty.txt"], "empty.txt is empty"),
        (["--histories=odd.csv"], "No column of odd.csv is known for the user"),
        (["--histories=visitors.csv", "--item=product"], "has no column 'product' (--item)"),
        (["--histories=bad.csv"], "2 of 2 rows cannot be read"),
        (["--histories=nested.jsonl"], "nested value (nested.jsonl:1). Give a row for each user"),
        (["--histories=times.jsonl"], "The column 'time' of times.jsonl holds lists of times."),
        (["--histories=visitors.csv", "--users=visitors.csv"], "Both --users and --histories"),
        (["--only=one.txt", "--exclude=one.txt"], "Nobody is left an item: --only is one.txt"),
        (["--only=odd.csv"], "No column of odd.csv is known for the item"),
        (["--only=foreign.txt"], "None of the 2 items of --only=foreign.txt is known"),
        (["--exclude=everything"], "--exclude is 'everything', and there is no such file."),
        (["--only=absent.txt"], "There is no file absent.txt"),
        (["--exclude=binary"], "is a zip archive"),
        (
            ["--histories=other.csv"],
            "The checkpoint knows none of the 3 items of the histories, such as 'x1' (the "
            "checkpoint knows 'i6'). Do they belong to this checkpoint?",
        ),
        (
            ["other.pth"],
            "One checkpoint is wanted, but 2 are given: saved/IDMMDistill-",
        ),
        (["--output=recs.xlsx"], "--output is recs.xlsx, whose ending says no format"),
        (["--output=visitors.csv/recs.csv"], "visitors.csv is no folder"),
        (["--output=folder.csv"], "folder.csv, which is a folder"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(checkpoint, words, said, capsys):
    Path("empty.txt").write_text("")
    Path("odd.csv").write_text("colour,size\nred,3\n")
    Path("bad.csv").write_text("user,item,time\n,i1,1\n,i2,2\n")
    Path("nested.jsonl").write_text('{"user": "ann", "items": [{"id": "i1"}, {"id": "i2"}]}\n')
    Path("times.jsonl").write_text('{"user": "ann", "items": ["i1", "i2"], "time": [1, 2]}\n')
    Path("other.csv").write_text("user,item\nann,x1\nann,x2\nbob,x1\n")
    Path("foreign.txt").write_text("x1\nx2\n")
    Path("one.txt").write_text("i1\n")
    Path("binary").write_bytes(b"PK\x03\x04 and more")
    Path("folder.csv").mkdir()
    before = sorted(Path().rglob("*"))
    assert recommend(checkpoint, *words) == 2
    complaint = capsys.readouterr().err
    assert said in complaint and complaint.count("\n") == 1
    assert [path for path in sorted(Path().rglob("*")) if path not in before] == []


def test_a_checkpoint_that_is_none_is_said(checkpoint, capsys):
    for path in ("absent.pth", "visitors.csv"):
        assert recommend(path) == 2
        assert path in capsys.readouterr().err


def test_files_are_read_as_the_import_reads_them(checkpoint, capsys):
    visitors = "Kunde;Artikel;Datum\nMüller;i5;31-12-25\nMüller;i1;30-12-25\n"
    Path("visitors.csv").write_bytes(visitors.encode("cp1252"))
    assert recommend(checkpoint, "--histories=visitors.csv") == 2
    assert "--encoding=cp1252" in capsys.readouterr().err
    words = ["--histories=visitors.csv", "--encoding=cp1252", "--time_format=%d-%m-%y", "--k=1"]
    Path("few.txt").write_bytes("i3\ni4\né\n".encode("cp1252"))
    assert recommend(checkpoint, *words, "--only=few.txt") == 0
    assert [row["user"] for row in rows()] == ["Müller"]
    found = Recommender.from_checkpoint(checkpoint).recommend([["i1", "i5"]], 1, only=["i3", "i4"])
    assert [row["item"] for row in rows()] == [*found.items[0]]


def test_a_list_of_ids_in_another_encoding_is_said(checkpoint, capsys):
    Path("some.txt").write_bytes("u1\né\n".encode("cp1252"))
    assert recommend(checkpoint, "--users=some.txt") == 2
    assert "Line 2 of some.txt is not UTF-8" in capsys.readouterr().err
