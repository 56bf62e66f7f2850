from recbole.utils import get_model

from recbole_mmdistill.data import MultiModalSequentialDataset
from recbole_mmdistill.model.idmmdistill import IDMMDistill


def test_recbole_finds_model_and_dataset_by_name():
    import recbole.data.dataset

    assert get_model("IDMMDistill") is IDMMDistill
    assert recbole.data.dataset.IDMMDistillDataset is MultiModalSequentialDataset
