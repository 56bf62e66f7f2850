"""Items: their texts and pictures, what lacks, and that the next commands work on them."""

from pathlib import Path

import pandas as pd
import pytest

from recbole_mmdistill.cli import main
from recbole_mmdistill.features.atomic import ItemTable
from tests.intake.importing import dropped, header, imported, refused, report, written


@pytest.fixture(autouse=True)
def clicks():
    Path("clicks.csv").write_text("user,item\na,i1\nb,i2\na,i3\nb,i1\n")


PRODUCTS = "sku,Product title,photo,price\n"


def products(*lines):
    Path("products.csv").write_text(PRODUCTS + "".join(f"{line}\n" for line in lines))
    return "--items=products.csv"


def test_items_with_texts_and_pictures():
    words = products('i1,"A ""big""\ncup",cup.jpg,1', "i2,,,2", "new,New,new.jpg,3", "i1,Again,,")
    imported("clicks.csv", words, "--text=Product title", "--image=photo")
    assert header(suffix="item") == "item_id:token\tProduct_title:token_seq\tphoto:token"
    assert written(suffix="item") == [
        ("i1", 'A "big" cup', "cup.jpg"),
        ("i2", "", ""),
        ("new", "New", "new.jpg"),
    ]
    items = report()["items"]
    assert dropped(table="items") == {"item_again": 1}
    for key, token in (
        ("without_text", "i2"),
        ("without_picture", "i2"),
        ("without_interactions", "new"),
        ("without_row", "i3"),
    ):
        assert items[key] == {"rows": 1, "examples": [token]}


def test_columns_of_items_are_told_by_their_names(capsys):
    imported("clicks.csv", products("i1,Cup,cup.jpg,1"))
    said = "columns: item = 'sku', text = 'Product title' as Product_title, image = 'photo'"
    assert said in capsys.readouterr().out
    Path("products.csv").write_text("sku,name,brand,price\ni1,Cup,B,1\n")
    imported("clicks.csv", "--items=products.csv", "--overwrite")
    assert written(suffix="item") == [("i1", "Cup", "B")]


def test_texts_in_the_interactions_file_itself():
    Path("orders.csv").write_text("user,item,title\na,i1,Cup\nb,i1,Cup\na,i2,Jar\n")
    imported("orders.csv", "--text=title")
    assert written(suffix="item") == [("i1", "Cup"), ("i2", "Jar")]
    assert dropped(table="items") == {"item_again": 1}


def test_pictures_are_looked_for():
    Path("photos").mkdir()
    Path("photos/cup.jpg").write_bytes(b"x")
    Path("photos/i2.png").write_bytes(b"x")
    words = products("i1,Cup,cup.jpg,1", "i2,Jar,jar.jpg,1", "i3,Mug,https://x/mug.jpg,1")
    imported("clicks.csv", words, "--image=photo", "--images=photos")
    items = report()["items"]
    assert items["without_picture"] == {"rows": 2, "examples": ["i2", "i3"]}
    assert items["pictures_that_are_web_addresses"] == {"rows": 1, "examples": ["i3"]}
    Path("products.csv").write_text("sku,title\ni1,Cup\ni2,Jar\n")
    imported("clicks.csv", words, "--images=photos", "--overwrite")
    assert report()["items"]["without_picture"] == {"rows": 1, "examples": ["i1"]}


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("photo", "these are all: do the names in 'photo' match the files in wrong?"),
        ("price", "these are all: are the files in wrong called by the items' ids, e.g. i1.jpg?"),
    ],
)
def test_a_wrong_folder_of_pictures_is_said(capsys, column, said):
    Path("wrong").mkdir()
    Path("wrong/other.jpg").write_bytes(b"x")
    Path("products.csv").write_text(f"sku,title,{column}\ni1,Cup,cup.jpg\ni2,,jar.jpg\n")
    imported("clicks.csv", "--items=products.csv", "--images=wrong")
    out = capsys.readouterr().out
    assert "items without any text: 1 of 2 ('i2')" in out
    assert "items without picture: 2 of 2 ('i1', 'i2')\n  " + said in out


def test_lost_zeros_before_ids_are_said(capsys):
    Path("clicks.csv").write_text("user,item\na,7\nb,012\na,9\na,8.0\n")
    Path("products.csv").write_text("sku,title\n007,Cup\n12,Jar\n8,Pan\n")
    imported("clicks.csv", "--items=products.csv")
    out = capsys.readouterr().out
    said = "of these, known if zeros before an id, .0 behind it and outer spaces did not "
    assert f"{said}count: 3 of 4 ('012', '7', '8.0')" in out


def test_items_in_another_encoding_name_the_option_of_the_items(capsys):
    Path("products.csv").write_bytes("sku,title\ni1,Café\n".encode("cp1252"))
    line = refused(capsys, "clicks.csv", "--items=products.csv")
    assert "Line 2 of products.csv is not UTF-8" in line
    assert "--items_encoding=cp1252" in line and "--encoding" not in line
    imported("clicks.csv", "--items=products.csv", "--items_encoding=cp1252")
    assert written(suffix="item") == [("i1", "Café")]


def test_min_item_takes_items_out_of_both_files():
    words = (products("i1,Cup,,1", "i2,Jar,,1", "new,New,,1"), "--text=2", "--min_item=2")
    assert {item for _, item, _ in imported("clicks.csv", *words)} == {"i1"}
    assert written(suffix="item") == [("i1", "Cup", "")]
    assert dropped(table="items") == {"no_interactions": 2}
    imported("clicks.csv", *words, "--unused_items=keep", "--overwrite")
    assert len(written(suffix="item")) == 3


def test_lists_of_parquet_become_one_text():
    Path("items").mkdir()
    pd.DataFrame({"item_id": [1, 2], "tags": [["a", "b"], None]}).to_parquet("items/1.parquet")
    imported("clicks.csv", "--items=items", "--text=tags")
    assert written(suffix="item") == [("1", "a, b"), ("2", "")]


@pytest.mark.parametrize("column", ["rating", "user_id", "Timestamp?", "a:b", "x y,z", "標題"])
def test_any_column_gets_a_field_that_can_be_read(column):
    frame = pd.DataFrame({"sku": ["i1"], column: ["Cup"], column + " ": ["x"]})
    frame.to_parquet("items.parquet")
    imported("clicks.csv", "--items=items.parquet", "--text=2", "--image=3")
    table = ItemTable(Path("dataset/shop/shop.item"))
    assert len({*table.fields}) == 3 and not {*table.fields} & {"rating", "user_id", "timestamp"}
    assert list(table.item_tokens) == ["i1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--items=no.csv"], "no file no.csv"),
        (["--items=products.csv", "--text=titel"], "no column 'titel' (--text)"),
        (["--items=products.csv", "--item_id=id"], "no column 'id' (--item_id)"),
        (["--items=products.csv", "--images=nowhere"], "no folder nowhere"),
        (["--items=clicks.csv"], "No column of clicks.csv is known for a text"),
        (["--images=nowhere"], "--images is given without --items"),
    ],
)
def test_wrong_items_are_refused(capsys, words, said):
    products("i1,Cup,cup.jpg,1")
    assert said in refused(capsys, "clicks.csv", *words)


def test_the_command_that_comes_next_reads_the_items(capsys):
    imported("clicks.csv", products("i1,Cup,cup.jpg,1"), "--text=Product title")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "--modality=text" in line)
    words = line.split()[1:]
    assert words[:4] == ["extract", "--dataset=shop", "--modality=text", "--fields=Product_title"]
    assert main([*words[:4], "--encoder=./no-such-encoder"]) == 2
    assert "no-such-encoder" in capsys.readouterr().err


def test_items_without_a_header_are_read_by_number(capsys):
    Path("products.csv").write_text("i1,Cup\ni2,Jar\n")
    words = ["clicks.csv", "--items=products.csv"]
    assert "Say --items_header=yes or --items_header=no" in refused(capsys, *words)
    imported(*words, "--items_header=no", "--item_id=1", "--text=2")
    assert header(suffix="item") == "item_id:token\titem_2:token_seq"
    assert written(suffix="item") == [("i1", "Cup"), ("i2", "Jar")]


@pytest.mark.parametrize(
    ("lines", "said"),
    [((), "products.csv holds no rows"), ((",Cup,,", ",Jar,,", "i1,Pan,,"), "2 of 3 rows cannot")],
)
def test_items_of_which_most_cannot_be_read_are_refused(capsys, lines, said):
    assert said in refused(capsys, "clicks.csv", products(*lines))


def test_an_option_without_a_value_is_refused(capsys):
    assert "--items: nothing is given" in refused(capsys, "clicks.csv", "--items=")
    assert "--user: nothing is given" in refused(capsys, "clicks.csv", "--user", "")
