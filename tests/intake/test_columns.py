"""What a column is taken for by its name; where that cannot be told, it stops."""

from pathlib import Path

import pytest

from recbole_mmdistill.intake.columns import candidates
from tests.intake.importing import imported, refused


def guess(role, names):
    columns = names.split(",")
    return [columns[n] for n in candidates(role, columns)]


@pytest.mark.parametrize(
    ("role", "names", "taken"),
    [
        ("user", "userId,movieId,rating,timestamp", ["userId"]),
        ("user", "InvoiceNo,StockCode,Description,InvoiceDate,CustomerID", ["CustomerID"]),
        ("item", "InvoiceNo,StockCode,Description,InvoiceDate,CustomerID", ["StockCode"]),
        ("time", "InvoiceNo,StockCode,Description,InvoiceDate,CustomerID", ["InvoiceDate"]),
        ("user", "session_id,user_name,USER-ID", ["USER-ID"]),
        ("user", "session_id,item", ["session_id"]),
        ("user", "uid,iid", ["uid"]),
        ("item", "uid,iid", ["iid"]),
        ("user", "customer,user", ["customer", "user"]),
        ("item", "sku,product_name,item_id", ["sku", "item_id"]),
        ("item", "user,content,news,artist,count", []),
        ("time", "created_at,updated_at,birth_date", ["created_at"]),
        ("time", "timestamp,date", ["timestamp"]),
        ("time", "watch_time,order_date,ship_date", ["order_date", "ship_date"]),
        ("rating", "rating,stars", ["rating", "stars"]),
        ("image", "photo,title", ["photo"]),
        ("user", "Kunden-Nr,Artikelnummer,Bestelldatum,Bild", ["Kunden-Nr"]),
        ("item", "Kunden-Nr,Artikelnummer,Bestelldatum,Bild", ["Artikelnummer"]),
        ("time", "Kunden-Nr,Artikelnummer,Bestelldatum,Bild", ["Bestelldatum"]),
        ("image", "Kunden-Nr,Artikelnummer,Bestelldatum,Bild", ["Bild"]),
    ],
)
def test_names_say_what_a_column_is(role, names, taken):
    assert guess(role, names) == taken


CLICKS = "customer,user,sku,when\nc1,u1,i1,1600000000\nc2,u2,i2,1600000001\n"


def test_a_column_that_cannot_be_told_stops_the_import(capsys):
    Path("clicks.csv").write_text(CLICKS)
    line = refused(capsys, "clicks.csv")
    assert line == (
        "error: The user of clicks.csv may be any of the columns 'customer', 'user'. "
        "Say which by --user."
    )


def test_all_columns_that_cannot_be_told_are_said_at_once(capsys):
    Path("orders.csv").write_text("who,what,price\na,b,1\n")
    Path("products.csv").write_text("key,label,grams\nb,Cup,300\n")
    assert refused(capsys, "orders.csv", "--items=products.csv") == (
        "error: No column of orders.csv is known for the user and for the item by its name; "
        "no column of products.csv is known for the item and for a text by its name. "
        "Say which by --user and --item, of 'who', 'what', 'price'; "
        "say which by --item_id and --text, of 'key', 'label', 'grams'."
    )
    Path("orders.csv").write_text("1,2\n3,4\n")
    assert refused(capsys, "orders.csv") == (
        "error: orders.csv has no header that says which of its 2 columns is the user and which "
        "is the item. Say its number, e.g. --user=1 --item=2."
    )


def test_an_option_says_which(capsys):
    Path("clicks.csv").write_text(CLICKS)
    assert imported("clicks.csv", "--user=customer", "--time=when")[0] == ("c1", "i1", "1600000000")
    assert "user = 'customer', item = 'sku', time = 'when'" in capsys.readouterr().out
    assert imported("clicks.csv", "--user=2", "--overwrite")[0][0] == "u1"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--user=custmer", "no column 'custmer' (--user). Its columns are 'customer'"),
        ("--user=custmer", "near it: customer"),
        ("--item=9", "no column '9' (--item)"),
        ("--user=sku", "'sku' is taken for the user and something else"),
        ("--time_format=ms", "--time_format is given, but clicks.csv has no times"),
        ("--item_id=sku", "--item_id is given without --items"),
        ("--encoding=klingon", "no encoding 'klingon'"),
        ("--encoding=rot13", "no encoding 'rot13'"),
        ("--min_user=-1", "-1 is not 0 or more"),
        ("--dedupe=all", "invalid choice: 'all'"),
        ("--separator=", "Argument --separator: nothing is given for it"),
        ('--separator="', "--separator is '\"'"),
    ],
)
def test_a_wrong_option_is_refused(capsys, word, said):
    Path("clicks.csv").write_text(CLICKS)
    first = "--rating=1" if word.startswith("--user") else "--user=user"
    assert said in refused(capsys, "clicks.csv", first, word)


def test_columns_with_one_name_are_told_by_number(capsys):
    Path("clicks.csv").write_text("user,item,item\nu,a,b\n")
    line = refused(capsys, "clicks.csv", "--item=item")
    assert "2 columns called 'item' (numbers 2 and 3)" in line and "--item=2" in line
    assert imported("clicks.csv", "--item=3") == [("u", "b", "0")]
