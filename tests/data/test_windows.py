"""Training windows: every target of RecBole's rows, once, after the same history."""

import pytest
import torch
from recbole.data import data_preparation
from recbole.utils import init_seed

from recbole_mmdistill.data import WindowDataLoader
from tests.data.builders import config, ours, recboles, write_inter


def history_and_target(batch):
    """Every (history, target) of windows, histories as far as the window shows them."""
    for row, targets in zip(batch["item_id_list"].tolist(), batch["target_item_id_list"].tolist()):
        for at, target in enumerate(targets):
            if target:
                yield tuple(row[: at + 1]), target


@pytest.mark.parametrize("max_length", [2, 3, 50])
def test_windows_hold_each_target_once_after_its_history(max_length):
    write_inter()
    settings = {"MAX_ITEM_LIST_LENGTH": max_length}
    mine, theirs = ours(**settings).build()[0], recboles(**settings).build()[0]
    rows = [
        (tuple(row[:length]), target)
        for row, length, target in zip(
            theirs.inter_feat["item_id_list"].tolist(),
            theirs.inter_feat["item_length"].tolist(),
            theirs.inter_feat["item_id"].tolist(),
        )
    ]
    drawn = list(history_and_target(mine[range(len(mine))]))
    assert len(drawn) == len(rows) == mine.n_targets
    assert sorted(target for _, target in drawn) == sorted(target for _, target in rows)
    for history, target in drawn:  # what a window shows is the end of a row's history
        assert any(row[-len(history) :] == history and t == target for row, t in rows)


def test_a_batch_is_padded_to_its_own_longest_window():
    write_inter()
    train = ours(MAX_ITEM_LIST_LENGTH=50).build()[0]
    length = torch.tensor([int(train[[k]]["item_length"]) for k in range(len(train))])
    shortest = int(length.argmin())
    assert train[[shortest]]["item_id_list"].shape == (1, int(length.min()))
    assert train[range(len(train))]["item_id_list"].shape == (len(train), int(length.max()))


def test_windows_carry_the_three_fields_that_the_model_reads():
    write_inter()
    batch = ours().build()[0][[0]]
    assert set(batch) == {"item_id_list", "target_item_id_list", "item_length"}


def test_the_loader_draws_each_target_once_an_epoch_in_another_order():
    settings = config(dataset="ml-100k", MAX_ITEM_LIST_LENGTH=50, train_batch_size=2048)
    init_seed(1, True)
    dataset = ours(dataset="ml-100k", MAX_ITEM_LIST_LENGTH=50, train_batch_size=2048)
    loader, _, _ = data_preparation(settings, dataset)
    assert isinstance(loader, WindowDataLoader)
    epochs = [[batch["target_item_id_list"] for batch in loader] for _ in range(2)]
    n_targets = loader.dataset.n_targets
    for batches in epochs:
        assert sum(int((target > 0).sum()) for target in batches) == n_targets
        assert len(batches) == len(loader)
        assert abs(len(batches) - n_targets / 2048) < 3
    assert loader.dataset.steps_per_epoch(2048) == len(loader)
    assert epochs[0][0].shape != epochs[1][0].shape or not torch.equal(epochs[0][0], epochs[1][0])


def test_prefixes_are_drawn_by_recboles_own_loader():
    write_inter()
    settings = config(train_sequences="prefixes")
    loader, _, _ = data_preparation(settings, ours(train_sequences="prefixes"))
    assert type(loader).__name__ == "TrainDataLoader"
    assert next(iter(loader))["item_id_list"].shape == (4, 3)
