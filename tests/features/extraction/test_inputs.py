import numpy as np
import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features.atomic import ItemTable
from recbole_mmdistill.features.extraction import Pictures, Template, Texts, all_items
from recbole_mmdistill.features.pictures import PictureFolder, UnreadablePicture


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "toy.item"
    path.write_text(
        "item_id:token\ttitle:token_seq\tyear:float\tcover:token\n"
        "a\t<i>Heat</i>\t1995\tsub/heat.jpg\n"
        "b\t&nbsp;\t\t\n"
        "c\tAm&eacute;lie\t\t ../toy.item \n",
        encoding="utf-8",
    )
    return ItemTable(path)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "images"
    (path / "sub").mkdir(parents=True)
    (path / "a.jpg").write_bytes(b"picture of a")
    (path / "z.png").write_bytes(b"picture of z")
    (path / "c.png").touch()
    (path / "sub" / "heat.jpg").write_bytes(b"cover of a")
    return PictureFolder(path)


def tokens(*names):
    return np.array(names, dtype=object)


# Texts


def test_texts_are_clean_and_joined(table):
    texts = Texts(table, Template.of_text("{title}[ ({year})]"))
    assert [texts.read(row) for row in range(3)] == [b"Heat (1995)", None, "Amélie".encode()]
    assert texts.item_tokens.tolist() == ["a", "b", "c"]
    assert texts.source_fields == ("title", "year")
    assert texts.treatment.endswith(", template '{title}[ ({year})]'")
    assert texts.place(1) == "title,year"
    assert texts.unused() == 0


def test_columns_are_found_by_name_not_by_order(table):
    assert Texts(table, Template.of_fields("year,title")).read(0) == b"1995. Heat"


def test_texts_of_a_column_that_is_not_there(table):
    with pytest.raises(UserError, match="no column 'brand'"):
        Texts(table, Template.of_fields("title,brand"))


# Pictures


def test_pictures_are_found_by_token(folder):
    pictures = Pictures(folder, tokens("b", "a"))
    assert pictures.read(0) is None
    assert pictures.read(1) == b"picture of a"
    assert [pictures.place(row) for row in range(2)] == ["b.*", "a.jpg"]
    assert pictures.source_fields == ("images",)


def test_pictures_are_found_by_column(folder, table):
    pictures = Pictures(folder, table.item_tokens, table, "cover")
    assert pictures.read(0) == b"cover of a"
    assert pictures.read(1) is None
    assert [pictures.place(row) for row in range(3)] == ["sub/heat.jpg", "b.*", "../toy.item"]
    assert pictures.source_fields == ("images", "cover")


def test_pictures_of_no_use_say_why(folder, table):
    with pytest.raises(UnreadablePicture, match="is empty"):
        Pictures(folder, tokens("c")).read(0)
    with pytest.raises(UnreadablePicture, match="leads out of the folder"):
        Pictures(folder, table.item_tokens, table, "cover").read(2)


def test_pictures_of_a_column_that_is_not_there(folder, table):
    with pytest.raises(UserError, match="no column 'photo'"):
        Pictures(folder, table.item_tokens, table, "photo")


def test_a_folder_is_named_by_what_it_links_to(tmp_path, folder):
    (tmp_path / "link").symlink_to("images")
    assert Pictures(PictureFolder(tmp_path / "link"), tokens("a")).source_fields == ("images",)


def test_pictures_of_no_item_are_counted(folder, table):
    assert Pictures(folder, tokens("a", "b")).unused() == 2
    assert Pictures(folder, tokens("a", "c", "z")).unused() == 0
    assert Pictures(folder, table.item_tokens, table, "cover").unused() == 0


# all_items


def test_items_are_those_of_the_table(tmp_path, table):
    assert all_items(table, [tmp_path / "never.inter"], "item_id") is table.item_tokens


def test_without_a_table_items_are_those_of_the_interactions(tmp_path):
    path = tmp_path / "toy.inter"
    path.write_text("user_id:token\tasin:token\nu\tlonger\nu\ta\nv\tlonger\n")
    items = all_items(None, iter([path]), "asin")
    assert items.tolist() == ["longer", "a"]
    assert items.dtype == object


def test_without_any_file_there_are_no_items():
    assert all_items(None, [], "item_id").shape == (0,)
