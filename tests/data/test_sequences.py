import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recbole_mmdistill.data.sequences import (
    flat_order,
    group_order,
    make_rows,
    make_windows,
    padded_positions,
)

users = st.lists(st.integers(1, 6), max_size=60).map(sorted).map(np.array)
lengths = st.integers(1, 7)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=40))
def test_the_flat_order_is_by_user_then_time_then_as_it_was(pairs):
    user, time = (np.array([pair[k] for pair in pairs], dtype=np.int64) for k in (0, 1))
    expected = sorted(range(len(pairs)), key=lambda k: (user[k], time[k], k))
    assert flat_order(user, time.astype(np.float64)).tolist() == expected


@given(st.lists(st.sampled_from([0, 1, 65_535, 65_536, 65_537, 2**31]), max_size=40))
def test_groups_are_ordered_stably_beyond_16_bits(numbers):
    expected = sorted(range(len(numbers)), key=lambda k: numbers[k])
    assert group_order(np.array(numbers, dtype=np.int64)).tolist() == expected


@given(users, lengths)
def test_a_row_holds_the_interactions_just_before_its_target(user, max_length):
    expected = []
    for at in range(1, len(user)):
        before = [k for k in range(at) if user[k] == user[at]][-max_length:]
        if before:
            expected.append((at, before[0], len(before)))
    assert list(zip(*(column.tolist() for column in make_rows(user, max_length)))) == expected


@given(users, lengths, st.data())
def test_windows_cover_every_target_once_and_never_two_users(user, max_length, data):
    context = data.draw(st.integers(0, max_length - 1))
    rng = data.draw(st.sampled_from([None, np.random.default_rng(0)]))
    target = make_rows(user, max_length).target
    covered = []
    for start, length, read_only in zip(*make_windows(target, max_length, context, rng)):
        assert 0 <= read_only <= context
        assert length <= max_length
        assert len(set(user[start : start + length + 1])) == 1
        covered += range(start + read_only + 1, start + length + 1)
    assert covered == target.tolist()


@given(users, lengths, st.data())
def test_a_target_of_a_long_history_has_its_context(user, max_length, data):
    context = data.draw(st.integers(0, max_length - 1))
    target = make_rows(user, max_length).target
    for start, length, read_only in zip(*make_windows(target, max_length, context)):
        before = sum(user[:start] == user[start])  # of the same user, before the window
        if sum(user == user[start]) - 1 > max_length:
            assert read_only == context or before == 0
        else:
            assert (before, read_only) == (0, 0)
        assert length > read_only


@given(users, lengths, st.data())
def test_windows_cover_any_choice_of_targets_once(user, max_length, data):
    targets = make_rows(user, max_length).target
    chosen = np.array(
        data.draw(st.lists(st.sampled_from(targets), unique=True)) if len(targets) else []
    )
    windows = make_windows(chosen.astype(np.int64), max_length)
    covered = [
        k for start, length, _ in zip(*windows) for k in range(start + 1, start + length + 1)
    ]
    assert covered == sorted(chosen)


def test_only_the_oldest_window_of_a_history_is_short():
    target = make_rows(np.array([1] * 8 + [2] * 3), 3).target
    assert [w.tolist() for w in make_windows(target, 3)] == [[0, 1, 4, 8], [1, 3, 3, 2], [0] * 4]


def test_windows_with_context_reach_back_over_targets_of_the_one_before():
    target = make_rows(np.array([1] * 8 + [2] * 3), 3).target
    windows = make_windows(target, 3, context=1)
    assert [w.tolist() for w in windows] == [[0, 0, 2, 4, 8], [1, 3, 3, 3, 2], [0, 1, 1, 1, 0]]


def test_stretches_are_padded_with_minus_one():
    at = padded_positions(np.array([4, 0]), np.array([2, 3]), 4)
    assert at.tolist() == [[4, 5, -1, -1], [0, 1, 2, -1]]
