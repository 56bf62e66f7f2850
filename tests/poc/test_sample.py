"""How a sample is split, and which are too small."""

from pathlib import Path

import numpy as np
import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.poc.lists import last_purchases
from recbole_mmdistill.poc.sample import read_sample

DAY = 86_400


def write(rows):
    lines = [f"{user}\t{item}\t{time}" for user, item, time in rows]
    header = "user_id:token\titem_id:token\ttimestamp:float"
    Path("shop.inter").write_text("\n".join([header, *lines]) + "\n")
    return read_sample("shop", Path())


def shop(n_users, start, step=DAY):
    rng = np.random.default_rng(0)
    times = start + step * rng.integers(0, 300, (n_users, 6))
    return [
        (f"u{u}", f"i{(u + n) % 40}", t) for u in range(n_users) for n, t in enumerate(times[u])
    ]


def test_the_last_tenth_is_tested_on_if_many_customers_bought_then():
    sample = write(shop(3000, 1.7e9))
    assert sample.time_is_real and sample.split_by_time
    assert sample.settings()["eval_args"]["split"] == {"TS": [0.8, 0.1, 0.1]}


def test_few_customers_have_their_last_purchase_tested():
    sample = write(shop(300, 1.7e9))
    assert sample.time_is_real and not sample.split_by_time
    assert sample.settings()["eval_args"]["split"] == {"LS": "valid_and_test"}


def test_an_order_is_no_time():
    sample = write(shop(3000, 0, step=1))
    assert not sample.time_is_real and not sample.split_by_time


def test_histories_are_as_long_as_nearly_all_are():
    rows = [(f"u{u}", f"i{n}", n) for u in range(100) for n in range(30 if u == 0 else 7)]
    assert write(rows).settings()["MAX_ITEM_LIST_LENGTH"] == 7


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(f"u{n}", f"i{n}", n) for n in range(50)], "0 users of"),
        ([(f"u{u}", f"i{n}", n) for u in range(9) for n in range(5)], "5 items"),
    ],
)
def test_what_teaches_nothing_is_refused(rows, said):
    with pytest.raises(UserError, match=said):
        write(rows).check()


def test_last_purchases_ask_for_what_is_new_to_a_customer():
    rows = [("ann", f"i{n}", n) for n in range(4)]
    rows += [("bob", item, n) for n, item in enumerate(["i1", "i2", "i1"])]
    rows += [("cid", "i1", 0), ("cid", "i2", 1)]
    asked = last_purchases(write(rows).inter, 10)
    assert asked.users == ["ann"]
    assert (asked.histories, asked.targets) == ([["i0", "i1", "i2"]], ["i3"])
    assert last_purchases(write(rows).inter, 10, after=3).users == []
