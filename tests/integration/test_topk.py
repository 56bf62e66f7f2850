"""A list longer than the catalogue is refused before the first epoch."""

from pathlib import Path

import pytest
from recbole.quick_start import run_recbole

from recbole_mmdistill.errors import UserError
from tests.integration.builders import N_ITEMS, SMALL, write_dataset


@pytest.mark.parametrize("model", ["IDMMDistill", "BPR"])
def test_topk_is_checked_against_the_items(model):
    write_dataset()
    longer = {"topk": [5, N_ITEMS + 1], "valid_metric": "NDCG@5"}
    with pytest.raises(UserError, match=f"the dataset has {N_ITEMS} items"):
        run_recbole(model, "small", config_dict={**SMALL, **longer})
    assert not list(Path("saved").glob("*.pth"))


def test_a_list_of_all_items_is_taken():
    write_dataset()
    whole = {"topk": [N_ITEMS], "valid_metric": f"NDCG@{N_ITEMS}"}
    assert run_recbole("BPR", "small", config_dict={**SMALL, **whole})["test_result"]
