import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_mmdistill.model.positions import find_positions


@given(st.lists(st.lists(st.integers(0, 9), min_size=8, max_size=8), min_size=1, max_size=12))
def test_every_target_is_found_once(rows):
    rows[0][3] = 7  # at least one target
    target_seq = torch.tensor(rows)
    positions = find_positions(target_seq)
    found = []
    for group in positions.groups:
        row = group.row[group.row_index]
        assert (group.position_index < group.seq_len).all()
        found += list(zip(row.tolist(), group.position_index.tolist()))
    assert sorted(found) == [tuple(place) for place in target_seq.nonzero().tolist()]
    where = torch.tensor(found)
    assert torch.equal(positions.target, target_seq[where[:, 0], where[:, 1]])
    assert torch.equal(positions.row, where[:, 0])


def test_histories_of_like_length_are_read_together():
    target_seq = torch.zeros(4, 8, dtype=torch.long)
    for row, length in enumerate([8, 7, 2, 2]):
        target_seq[row, :length] = 1
    groups = find_positions(target_seq).groups
    assert [(group.row.tolist(), group.seq_len) for group in groups] == [([2, 3], 2), ([0, 1], 8)]


def test_nothing_after_the_last_target_is_read():
    target_seq = torch.tensor([[1, 0, 3, 0, 0], [0, 2, 4, 0, 0]])
    assert [group.seq_len for group in find_positions(target_seq).groups] == [3]
