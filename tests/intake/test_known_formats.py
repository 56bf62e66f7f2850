"""MovieLens, Amazon Reviews, MMRec and UniSRec are known by sight, without options."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from tests.intake.importing import dropped, header, imported, refused, report, written


def files(**contents):
    """Write files of the folder ``source``; ``__`` is a dot, a dictionary a line of JSON."""
    Path("source").mkdir(exist_ok=True)
    for name, content in contents.items():
        if isinstance(content, list):
            content = "".join(json.dumps(line) + "\n" for line in content)
        data = content if isinstance(content, bytes) else content.encode()
        path = Path("source", name.replace("__", "."))
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def kind(capsys):
    return capsys.readouterr().out.split("\n")[0].partition(": ")[2]


def test_movielens_100k(capsys):
    flags = "|".join("1" if n in (3, 5) else "0" for n in range(19))
    files(
        u__data="196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
        u__item=f"242|Kolya (1996)|24-Jan-1997||http://us.imdb.com|{flags}\n"
        f"302|L\xe9on (1994)|24-Jan-1997||http://us.imdb.com|{flags}\n".encode("latin-1"),
        u__genre="unknown|0\n",
        README="The movielens files",
    )
    assert imported("source") == [
        ("196", "242", "3.0", "881250949"),
        ("186", "302", "3.0", "891717742"),
    ]
    assert kind(capsys) == "MovieLens"
    assert header(suffix="item") == "item_id:token\ttitle:token_seq\tgenres:token_seq"
    assert written(suffix="item") == [
        ("242", "Kolya (1996)", "Animation Comedy"),
        ("302", "Léon (1994)", "Animation Comedy"),
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_movielens_1m_and_10m(encoding, capsys):
    films = "1::Misérables, Les (1995)::Drama|Musical\n2::Jumanji::Adventure\n"
    files(
        ratings__dat="1::1::5::978300760\n1::2::3.5::978300761\n",
        movies__dat=films.encode(encoding),
    )
    assert imported("source") == [("1", "1", "5.0", "978300760"), ("1", "2", "3.5", "978300761")]
    assert kind(capsys) == "MovieLens"
    assert written(suffix="item")[0] == ("1", "Misérables, Les (1995)", "Drama Musical")


def test_movielens_csv(capsys):
    files(
        ratings__csv="userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,10,3,1260759179\n",
        movies__csv='movieId,title,genres\n31,"American, The",Crime|Drama\n9,New,Action\n',
        links__csv="movieId,imdbId\n31,1\n",
    )
    assert imported("source")[0] == ("1", "31", "2.5", "1260759144")
    assert kind(capsys) == "MovieLens"
    assert written(suffix="item") == [
        ("31", "American, The", "Crime Drama"),
        ("9", "New", "Action"),
    ]
    items = report()["items"]
    assert items["without_interactions"] == {"rows": 1, "examples": ["9"]}
    assert items["without_row"] == {"rows": 1, "examples": ["10"]}


def test_films_that_are_not_movielens_are_not_taken_for_it(capsys):
    ratings = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n"
    files(ratings__csv=ratings, movies__csv="movieId,name,year\n31,A,1995\n")
    assert "ratings.csv has other columns" in refused(capsys, "source")
    unisrec(train="0\t1\t2\n")
    Path("source/ratings.csv").unlink()
    Path("source/Pantry.text").write_text("item_id:token\nB00\n")
    assert "Pantry.text has 1 columns, not the 2" in refused(capsys, "source")


def test_one_file_of_movielens_says_what_lies_beside_it(capsys):
    files(
        ratings__csv="userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n",
        movies__csv="movieId,title,genres\n31,A,B\n",
    )
    imported("source/ratings.csv")
    assert "movies.csv lies beside the source and was not read" in capsys.readouterr().out
    assert not Path("dataset/shop/shop.item").exists()


REVIEW_2018 = {
    "overall": 5.0,
    "verified": True,
    "reviewTime": "09 4, 2015",
    "reviewerID": "ALJ66O1Y6SLHA",
    "asin": "B000K2PJ4K",
    "style": {"Size:": " Big"},
    "reviewText": "Great",
    "unixReviewTime": 1441324800,
}
META_2018 = {
    "category": ["Clothing", "Girls"],
    "description": ["<b>A</b>\tdress.", "Nice\nindeed."],
    "title": "Dress",
    "also_buy": [],
    "image": ["https://images-na.ssl-images-amazon.com/images/I/1.jpg"],
    "brand": "Big\u00e9",
    "feature": [],
    "main_cat": "Clothing",
    "asin": "B000K2PJ4K",
}


def test_amazon_reviews_2018(capsys):
    unused = {**META_2018, "asin": "B1"}
    files(
        AMAZON_FASHION__json__gz=[REVIEW_2018, {**REVIEW_2018, "asin": "B2", "overall": 1.0}],
        meta_AMAZON_FASHION__json__gz=[META_2018, unused, META_2018],
    )
    assert imported("source") == [
        ("ALJ66O1Y6SLHA", "B000K2PJ4K", "5.0", "1441324800"),
        ("ALJ66O1Y6SLHA", "B2", "1.0", "1441324800"),
    ]
    assert kind(capsys) == "Amazon Reviews 2018"
    assert written(suffix="item") == [
        ("B000K2PJ4K", "Dress", "Bigé", "Clothing, Girls", "", "<b>A</b> dress., Nice indeed.")
    ]
    assert dropped(table="items") == {"item_again": 1, "no_interactions": 1}
    assert len(imported("source", "--unused_items=keep", "--overwrite")) == 2
    assert len(written(suffix="item")) == 2


def test_amazon_reviews_2023(capsys):
    review = {
        **{"rating": 4.0, "title": "Such a lovely scent", "text": "...", "images": []},
        **{"asin": "B00YQ6X8EO", "parent_asin": "B00YQ6X8E0", "user_id": "AGKHL"},
        **{"timestamp": 1588687728923, "helpful_vote": 0, "verified_purchase": True},
    }
    meta = {
        **{"main_category": "All Beauty", "title": "Spray", "average_rating": 4.8, "features": []},
        **{"description": ["A"], "price": None, "images": [{"large": "https://x"}], "store": None},
        **{"categories": ["Beauty"], "details": {}, "parent_asin": "B00YQ6X8E0"},
    }
    files(All_Beauty__jsonl=[review], meta_All_Beauty__jsonl=[meta])
    assert imported("source") == [("AGKHL", "B00YQ6X8E0", "4.0", "1588687728.923")]
    assert kind(capsys) == "Amazon Reviews 2023"
    assert written(suffix="item") == [("B00YQ6X8E0", "Spray", "", "Beauty", "", "A")]
    options = ("source/All_Beauty.jsonl", "--items=source/meta_All_Beauty.jsonl", "--overwrite")
    assert len(imported(*options)) == 1
    assert written(suffix="item") == [("B00YQ6X8E0", "Spray", "", "Beauty", "", "A")]


def test_mmrec_with_its_split(capsys):
    files(
        baby__inter="userID\titemID\trating\ttimestamp\tx_label\n"
        "0\t1\t5.0\t300\t0\n0\t0\t4.0\t100\t2\n1\t1\t3.0\t200\t1\n",
        meta_baby__csv="itemID,asin,title,brand,categories\n0,B0,Cup,X,\"[['Baby']]\"\n1,B1,Bib,,\n",
    )
    np.save("source/text_feat.npy", np.zeros((2, 4), dtype=np.float32))
    assert imported("source") == [
        ("0", "0", "4.0", "100"),
        ("1", "1", "3.0", "200"),
        ("0", "1", "5.0", "300"),
    ]
    for split, row in (("train", "0\t1"), ("valid", "1\t1"), ("test", "0\t0")):
        text = Path(f"dataset/shop/shop.{split}.inter").read_text()
        assert [line[:3] for line in text.split("\n")[1:-1]] == [row]
    out = capsys.readouterr().out
    assert out.startswith("source/baby.inter: MMRec\n")
    assert "--benchmark_filename=[train,valid,test]" in out
    assert "convert source/text_feat.npy dataset/shop/shop.text.safetensors --ids=rows" in out
    assert written(suffix="item")[0] == ("0", "Cup", "X", "[['Baby']]")


def test_labels_of_mmrec_may_be_written_as_floats_and_others_are_counted(capsys):
    labels = ("0.0", "1.0", "2.0", "3", "", "0")
    rows = "".join(f"0\t{n}\t{label}\n" for n, label in enumerate(labels))
    files(baby__inter="userID\titemID\tx_label\n" + rows)
    imported("source")
    assert "as given, train 2, valid 1, test 1:" in capsys.readouterr().out
    assert report()["interactions"]["noted"]["label_of_no_part"]["rows"] == 2


def test_parts_of_a_split_without_times_are_read_in_their_order():
    head = "user_id:token\titem_id:token\n"
    parts = {f"shop__{part}__inter": f"{head}u\t{part}\n" for part in ("test", "train", "valid")}
    files(**parts)
    assert [row[1] for row in imported("source")] == ["train", "valid", "test"]


def test_a_folder_of_recbole_s():
    files(
        shop__inter='user_id:token\titem_id:token\ttimestamp:float\n"a\tx\t1\n',
        shop__item='item_id:token\ttitle:token_seq\nx\t"Big" cup\n',
        shop__text__safetensors=bytes(9),
        README__md="A shop.",
    )
    assert imported("source") == [('"a', "x", "1")]
    assert written(suffix="item") == [("x", '"Big" cup')]


UNISREC = "user_id:token\titem_id_list:token_seq\titem_id:token\n"


def unisrec(train, valid="", test=""):
    files(
        Pantry__train__inter=UNISREC + train,
        Pantry__valid__inter=UNISREC + valid,
        Pantry__test__inter=UNISREC + test,
        Pantry__text="item_id:token\ttext:token_seq\nB00\tTea. \nB01\tOil, olive\n",
        Pantry__item2index="B00\t0\nB01\t1\n",
        Pantry__user2index="A\t0\nB\t1\n",
        Pantry__feat1CLS=bytes(16),
    )


def test_unisrec_s_histories_become_plain_interactions(capsys):
    # The longest prefix first; lists are cut to the last items, here to 2.
    unisrec(
        train="0\t1 2\t3\n0\t0 1\t2\n0\t0\t1\n1\t1\t0\n",
        valid="0\t2 3\t4\n1\t1 0\t2\n2\t7\t8\n",
        test="0\t3 4\t5\n1\t0 2\t3\n2\t7 8\t9\n",
    )
    rows = imported("source")
    history = {user: [item for u, item, _ in rows if u == user] for user in "012"}
    assert history == {"0": list("012345"), "1": list("1023"), "2": list("789")}
    assert written(suffix="item") == [("0", "Tea."), ("1", "Oil, olive")]
    out = capsys.readouterr().out
    assert "source (3 files): UniSRec" in out
    assert "convert source/Pantry.feat1CLS dataset/shop/shop.text.safetensors --ids=rows" in out


def test_histories_that_do_not_go_on_are_dropped_and_counted():
    unisrec(train="0\t0 1\t2\n0\t5\t6\n1\t1\t0\n1\t1 0\t4\n2\t8\t9\tx\n")
    assert [row[:2] for row in imported("source")] == [("1", "1"), ("1", "0"), ("1", "4")]
    assert dropped() == {"history_does_not_go_on": 2, "wrong_number_of_columns": 1}


def test_a_validation_item_goes_on_from_the_training():
    unisrec(train="0\t1\t2\n1\t3\t4\n", valid="0\t1 2\t5\n1\t9 9\t5\n")
    assert [row[1] for row in imported("source")] == ["1", "2", "3", "4", "5"]
    assert dropped() == {"history_does_not_go_on": 1}


def test_histories_that_are_not_together_are_refused(capsys):
    unisrec(train="0\t1\t2\n1\t1\t2\n0\t1 2\t3\n")
    assert "rows of user '0' are not together" in refused(capsys, "source")
    assert "holds lists of items" in refused(capsys, "source/Pantry.train.inter")


def test_the_name_of_recbole_s_example_is_not_taken(capsys):
    Path("ml-100k").mkdir()
    Path("ml-100k/u.data").write_text("196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
    assert "RecBole's own example" in refused(capsys, "ml-100k", "--dataset=ml-100k")
    assert len(imported("ml-100k", name="movielens-100k")) == 2
