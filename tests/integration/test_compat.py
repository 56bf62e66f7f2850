"""Each fix for today's libraries: what RecBole does with it, and that it fails without."""

import importlib.util
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from recbole_mmdistill.integration import compat
from recbole_mmdistill.integration.fixes import all_fixes
from tests.integration.builders import SMALL, write_dataset

ACTIVE = {fix.name: fix.active for fix in all_fixes()}


def needs(name):
    return pytest.mark.skipif(not ACTIVE[name], reason="these libraries do not need it")


def error_without(name, script):
    """Run a script in a process where one fix is not applied: its error, or None."""
    without = f"""
import warnings; warnings.simplefilter("ignore")
from recbole_mmdistill.integration import fixes
all_fixes = fixes.all_fixes
fixes.all_fixes = lambda: [fix for fix in all_fixes() if fix.name != {name!r}]
import recbole
"""
    done = subprocess.run([sys.executable, "-c", without + script], capture_output=True, text=True)
    return done.stderr.strip().splitlines()[-1] if done.returncode else None


@needs("compat.numpy_aliases")
def test_numpys_old_names_are_there():
    assert vars(np)["float_"] is np.float64 and vars(np)["float"] is np.float64
    from recbole.data.interaction import Interaction

    assert Interaction({"a": np.array([1.0, 2.0])})["a"].tolist() == [1.0, 2.0]
    error = error_without("compat.numpy_aliases", "import numpy; numpy.float_\n")
    assert error is not None and "float_" in error


def test_numpys_own_names_are_left_alone(monkeypatch):
    monkeypatch.setitem(vars(np), "float_", "numpy's own")
    compat.numpy_aliases()
    assert vars(np)["float_"] == "numpy's own"


def test_nothing_that_looks_like_ray_is_left():
    assert "ray" not in sys.modules or hasattr(sys.modules["ray"], "__file__")
    importlib.util.find_spec("ray")  # raises ValueError for a module without a spec


def test_ray_is_not_imported():
    with compat.without_ray():
        from ray import tune
    assert "ray.tune" not in sys.modules
    tune.report(score=1)  # to nobody


def test_a_ray_that_runs_this_process_is_reported_to(monkeypatch):
    with compat.without_ray():
        from ray import tune as imported_by_recbole
    reported = []
    tune = types.SimpleNamespace(report=lambda **scores: reported.append(scores))
    monkeypatch.setitem(sys.modules, "ray.tune", tune)
    imported_by_recbole.report(score=1)
    with compat.without_ray():
        assert sys.modules["ray.tune"] is tune
    assert reported == [{"score": 1}]


def test_sequence_fields_know_their_lengths():
    write_dataset()
    from recbole.config import Config
    from recbole.data.dataset import Dataset

    settings = {**SMALL, "load_col": None}
    dataset = Dataset(Config(model="BPR", dataset="small", config_dict=settings))
    assert dataset.field2seqlen["genres"] == 2
    genres = dataset.field2id_token["genres"][dataset.item_feat["genres"][1]]
    item = dataset.field2id_token["item_id"][1]
    number = int(item[1:])
    assert genres.tolist() == [f"g{number % 3}", f"g{number % 4}"]
    if ACTIVE["compat.cell_length"]:
        script = """
from recbole.config import Config
from recbole.data.dataset import Dataset
settings = {"data_path": "dataset/", "use_gpu": False, "load_col": None, "state": "ERROR"}
Dataset(Config(model="BPR", dataset="small", config_dict=settings))
"""
        assert error_without("compat.cell_length", script) is not None


def test_the_length_of_a_column_of_lists_is_each_lists_length():
    assert compat.cell_length(pd.Series([[1], [2, 3]])).tolist() == [1, 2]
    assert compat.cell_length([4, 5, 6]) == 3


@needs("compat.fill_nan")
def test_missing_values_are_filled():
    script = """
import numpy as np, pandas as pd
from types import SimpleNamespace
from recbole.data.dataset import Dataset
from recbole.utils import FeatureType
frame = pd.DataFrame({"rating": [1.0, np.nan, 3.0], "class": [1.0, np.nan, 2.0]})
types = {"rating": FeatureType.FLOAT, "class": FeatureType.TOKEN}
bare = SimpleNamespace(feat_name_list=["inter_feat"], inter_feat=frame, field2type=types)
bare.logger = SimpleNamespace(debug=print)
Dataset._fill_nan(bare)
assert frame["rating"].tolist() == [1.0, 2.0, 3.0], frame
assert frame["class"].tolist() == [1.0, 0.0, 2.0], frame
"""
    exec(compile(script, "filled", "exec"), {})
    assert error_without("compat.fill_nan", script) is not None


@needs("compat.update_dok_matrix")
def test_dok_matrices_are_updated():
    matrix = scipy.sparse.dok_matrix((2, 2), dtype=np.float32)
    matrix._update({(0, 1): 3.0})
    assert matrix.tocsr()[0, 1] == 3.0
    script = "import scipy.sparse as s; s.dok_matrix((2, 2))._update({(0, 1): 3.0})\n"
    assert "_update" in error_without("compat.update_dok_matrix", script)


def test_models_are_not_trained_in_debug_mode():
    from recbole.utils import get_model

    get_model("SINE")
    assert not torch.is_anomaly_enabled()
    script = (
        "import torch\nfrom recbole.utils import get_model\nget_model('SASRec')\n"
        "assert not torch.is_anomaly_enabled()\n"
    )
    assert error_without("nothing", script) is None
    assert "AssertionError" in error_without("compat.anomaly_detection", script)
