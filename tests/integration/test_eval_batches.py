"""However many items there are, a batch that is ranked holds a bounded number of scores."""

import pytest
from recbole.quick_start import run_recbole

from recbole_mmdistill.integration import eval_batches
from recbole_mmdistill.model import IDMMDistill
from tests.integration.builders import N_ITEMS, SMALL, write_dataset


def test_a_million_items_are_ranked_for_a_few_rows_at_once():
    assert eval_batches.most_rows(1_000_000) == 67
    assert eval_batches.most_rows(10**9) == 1


@pytest.mark.parametrize("mode", ["full", "uni5"])
def test_smaller_batches_give_the_same_metrics(mode, monkeypatch):
    write_dataset()
    sizes = []
    for name in ("full_sort_predict", "predict"):
        whole = getattr(IDMMDistill, name)

        def recorded(model, interaction, whole=whole):
            sizes.append(len(interaction["user_id"].unique()))
            return whole(model, interaction)

        monkeypatch.setattr(IDMMDistill, name, recorded)
    plan = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": mode}
    settings = {**SMALL, "eval_args": plan, "watch_branches": 0, "seed": 3}
    whole = run_recbole("IDMMDistill", "small", config_dict=settings)["test_result"]
    assert max(sizes) > 3
    sizes.clear()
    monkeypatch.setattr(eval_batches, "_MOST_SCORES", 3 * (N_ITEMS + 1))
    in_parts = run_recbole("IDMMDistill", "small", config_dict=settings)["test_result"]
    assert max(sizes) == 3
    assert in_parts == whole
