import subprocess
import sys

from recbole.utils import get_model

from recbole_mmdistill.data import MultiModalSequentialDataset
from recbole_mmdistill.model.idmmdistill import IDMMDistill


def test_recbole_finds_model_and_dataset_by_name():
    import recbole.data.dataset

    assert get_model("IDMMDistill") is IDMMDistill
    assert recbole.data.dataset.IDMMDistillDataset is MultiModalSequentialDataset


def test_one_import_is_enough_in_a_fresh_process():
    script = (
        "import recbole_mmdistill\nfrom recbole.utils import get_model\n"
        "print(get_model('IDMMDistill').__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "IDMMDistill", done.stderr
