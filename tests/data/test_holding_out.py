"""What a dataset holds back: cold items, features, interactions with unpopular items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mmdistill.data import holding_out
from recbole_mmdistill.data.sequences import make_rows, make_rows_of_warm
from tests.data.builders import ITEMS, ours, write_inter, write_vectors

flat_users = st.lists(st.integers(1, 4), min_size=1, max_size=30).map(sorted).map(np.array)


@given(user=flat_users, max_length=st.integers(1, 5))
@settings(deadline=None)
def test_rows_without_cold_items_are_all_rows(user, max_length):
    none = np.zeros(len(user), dtype=bool)
    plain, warm = make_rows(user, max_length), make_rows_of_warm(user, none, max_length)
    assert [part.tolist() for part in warm] == [part.tolist() for part in plain]


@given(data=st.data(), user=flat_users, max_length=st.integers(1, 5))
@settings(deadline=None)
def test_a_row_reads_the_warm_items_before_it_and_no_other(data, user, max_length):
    size = len(user)
    cold = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    warm_position = np.flatnonzero(~cold)
    for target, start, length in zip(*make_rows_of_warm(user, cold, max_length)):
        before = [n for n in range(target) if user[n] == user[target] and not cold[n]]
        assert warm_position[start : start + length].tolist() == before[-max_length:]


def tokens_read(dataset):
    """Tokens of all targets and of all histories of a split."""
    batch = dataset[np.arange(len(dataset))]
    fields = [name for name in ("item_id", "item_id_list", "target_item_id_list") if name in batch]
    ids = {number for field in fields for number in batch[field].flatten().tolist()} - {0}
    return {dataset.id2token("item_id", number) for number in ids}


@pytest.mark.parametrize("train_sequences", ["windows", "prefixes"])
def test_cold_items_are_in_no_training_row_and_all_their_rows_are_in_test(train_sequences):
    write_inter()
    settings = {"cold_item_ratio": 0.34, "seed": 5, "train_sequences": train_sequences}
    whole = ours(**settings)
    train, valid, test = whole.build()
    cold = {
        whole.id2token("item_id", n)
        for n in np.flatnonzero(holding_out.choose_cold(whole.item_num, 0.34, 5))
    }
    assert len(cold) == 2
    assert not cold & tokens_read(train)
    assert not cold & tokens_read(valid)
    targets = [test.id2token("item_id", n) for n in test.inter_feat["item_id"].tolist()]
    histories = set(test.inter_feat["item_id_list"].flatten().tolist()) - {0}
    assert not cold & {test.id2token("item_id", n) for n in histories}
    with_history = sum(row.split()[1] in cold for row in everything_but_first_warm(cold))
    assert sum(token in cold for token in targets) == with_history


def everything_but_first_warm(cold):
    """Interactions that have one with a warm item of the same user before them."""
    from tests.data.builders import INTERACTIONS

    rows = sorted(INTERACTIONS.splitlines()[1:], key=lambda row: int(row.split()[3]))
    seen = set()
    for row in rows:
        user, item = row.split()[:2]
        if user in seen:
            yield row
        if item not in cold:
            seen.add(user)


def test_features_are_missing_in_nested_shares_and_of_the_same_items():
    count = np.arange(11)
    few, many = (holding_out.choose_missing(count, share, "all", seed=3) for share in (0.2, 0.5))
    assert (few.sum(), many.sum()) == (2, 5)
    assert not (few & ~many).any()
    assert not many[0]


def test_features_are_missing_from_the_tail():
    count = np.array([0, 9, 1, 8, 2, 7])
    missing = holding_out.choose_missing(count, 0.4, "tail", seed=3)
    assert np.flatnonzero(missing).tolist() == [2, 4]


def test_a_modality_loses_its_share_and_keeps_it_when_pickled():
    import pickle

    write_vectors(write_inter() / "tiny.text.safetensors")
    dataset = ours(modalities=["text"], missing_features={"text": 0.5})
    features = dataset.item_features["text"]
    assert features.present.sum() == len(ITEMS) / 2
    again = pickle.loads(pickle.dumps(features))
    assert again.present.tolist() == features.present.tolist()


def test_skew_spares_the_last_interactions_of_each_user():
    user = np.repeat([1, 2], 50)
    item = np.tile(np.r_[np.ones(40, int), np.arange(2, 12)], 2)
    keep = holding_out.thin_out(user, item, skew=4.0, seed=1)
    assert keep[[48, 49, 98, 99]].all()
    assert keep[item == 1].all()
    assert keep[(item > 1)].sum() == 4
    assert holding_out.thin_out(user, item, skew=0.0, seed=1).all()
