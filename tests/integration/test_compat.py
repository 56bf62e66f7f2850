"""Each mend: what RecBole does with it, and that it fails without."""

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
from tests.integration.builders import SMALL, write_dataset

NUMPY_2 = int(np.__version__.split(".")[0]) >= 2
PANDAS_3 = int(pd.__version__.split(".")[0]) >= 3


def outcome_without(mend, script):
    """Run a script in a process where one mend is not applied: its error, or None."""
    head = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from recbole_mmdistill.integration import compat\n"
    )
    # The package mends when it is imported, so the mend is emptied in a bare import of the module.
    skip = (
        "import importlib.util, sys, types\n"
        "root = importlib.util.find_spec('recbole_mmdistill').submodule_search_locations[0]\n"
        "package = types.ModuleType('recbole_mmdistill'); package.__path__ = [root]\n"
        "sys.modules['recbole_mmdistill'] = package\n"
        "inner = types.ModuleType('recbole_mmdistill.integration')\n"
        "inner.__path__ = [root + '/integration']\n"
        "sys.modules['recbole_mmdistill.integration'] = inner\n"
    )
    without = (
        f"compat.MENDS[:] = [m for m in compat.MENDS if m.__name__ != {mend!r}]\n"
        f"if {mend!r} == 'numpy_aliases': compat.numpy_aliases = lambda: None\n"
        "sys.argv = ['x']\n"
        "compat.mend()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", skip + head + without + script], capture_output=True, text=True
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else None


DATASET = """
from recbole.config import Config
from recbole.data.dataset import Dataset
settings = {"data_path": "dataset/", "use_gpu": False, "load_col": None, "state": "ERROR"}
dataset = Dataset(Config(model="BPR", dataset="small", config_dict=settings))
"""


@pytest.mark.skipif(not NUMPY_2, reason="numpy 1 has the names")
def test_numpys_old_names_are_there():
    assert vars(np)["float_"] is np.float64 and vars(np)["float"] is np.float64
    from recbole.data.interaction import Interaction

    assert Interaction({"a": np.array([1.0, 2.0])})["a"].tolist() == [1.0, 2.0]
    error = outcome_without("numpy_aliases", "import numpy; numpy.float_\n")
    assert error is not None and "float_" in error


def test_numpys_own_names_are_left_alone(monkeypatch):
    monkeypatch.setitem(vars(np), "float_", "numpy's own")
    compat.numpy_aliases()
    assert vars(np)["float_"] == "numpy's own"


def test_no_stand_in_for_ray_is_left():
    assert "ray" not in sys.modules or hasattr(sys.modules["ray"], "__file__")
    importlib.util.find_spec("ray")  # raises ValueError where a stand-in was left


def test_ray_is_not_imported():
    with compat.ray_stand_in():
        from ray import tune
    assert "ray.tune" not in sys.modules
    tune.report(score=1)  # to nobody


def test_a_ray_that_runs_this_process_is_reported_to(monkeypatch):
    with compat.ray_stand_in():
        from ray import tune as imported_by_recbole
    reported = []
    tune = types.SimpleNamespace(report=lambda **scores: reported.append(scores))
    monkeypatch.setitem(sys.modules, "ray.tune", tune)
    imported_by_recbole.report(score=1)
    with compat.ray_stand_in():
        assert sys.modules["ray.tune"] is tune
    assert reported == [{"score": 1}]


@pytest.mark.skipif(not PANDAS_3, reason="pandas before 3 maps len over the cells")
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
    assert outcome_without("pandas_len", DATASET) is not None


@pytest.mark.skipif(not PANDAS_3, reason="pandas before 3 fills in place")
def test_missing_values_are_filled():
    write_dataset()
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
    assert outcome_without("pandas_fill_nan", script) is not None


def test_dok_matrices_are_updated():
    matrix = scipy.sparse.dok_matrix((2, 2), dtype=np.float32)
    matrix._update({(0, 1): 3.0})
    assert matrix.tocsr()[0, 1] == 3.0


@pytest.mark.skipif(
    "_update" in vars(scipy.sparse.dok_matrix) and not NUMPY_2, reason="this scipy has _update"
)
def test_dok_matrices_are_not_updated_without():
    script = "import scipy.sparse as s; s.dok_matrix((2, 2))._update({(0, 1): 3.0})\n"
    assert "_update" in outcome_without("scipy_dok_update", script)


def test_numbers_are_collected():
    script = """
import torch
from recbole.config import Config
from recbole.evaluator.collector import Collector
settings = {"metrics": ["ItemCoverage"], "use_gpu": False, "data_path": "dataset/"}
settings["valid_metric"] = "ItemCoverage@10"
collector = Collector(Config(model="BPR", dataset="small", config_dict=settings))
collector.data_struct.set("data.num_items", 9)
collector.data_struct.set("rec.items", torch.ones(2))
found = collector.get_data_struct()
assert found.get("data.num_items") == 9 and found.get("rec.items").tolist() == [1, 1]
assert "rec.items" not in collector.data_struct
"""
    write_dataset()
    exec(compile(script, "collected", "exec"), {})
    assert "cpu" in outcome_without("collector_numbers", script)


def test_models_are_not_trained_in_debug_mode():
    from recbole.utils import get_model

    get_model("SINE")
    assert not torch.is_anomaly_enabled()
    script = (
        "import torch\nfrom recbole.utils import get_model\nget_model('SASRec')\n"
        "assert not torch.is_anomaly_enabled()\n"
    )
    assert outcome_without("nothing", script) is None
    assert "AssertionError" in outcome_without("anomaly_detection", script)


@pytest.mark.parametrize(
    ("mend", "probe", "answer"),
    [
        ("pandas_fill_nan", "_column_is_copied", False),
    ],
)
def test_a_mend_that_is_not_needed_changes_nothing(monkeypatch, mend, probe, answer):
    import recbole.data.dataset.dataset as module

    monkeypatch.setattr(compat, probe, lambda: answer)
    before = dict(vars(module)), dict(vars(module.Dataset))
    getattr(compat, mend)()
    assert (dict(vars(module)), dict(vars(module.Dataset))) == before


def test_len_is_left_alone_where_pandas_maps_it(monkeypatch):
    import recbole.data.dataset.dataset as module

    monkeypatch.delitem(vars(module), "len", raising=False)
    monkeypatch.setattr(pd.Series, "agg", lambda self, function: self.map(function))
    compat.pandas_len()
    assert "len" not in vars(module)


def test_mending_twice_is_mending_once():
    import recbole.data.dataset.dataset as module
    from recbole.trainer import Trainer

    import recbole_mmdistill.integration as integration

    before = Trainer._save_checkpoint, Trainer.evaluate, module.pickle, torch.load
    from recbole.config import Config
    from recbole.data.dataset import SequentialDataset

    methods = dict(vars(Config)), dict(vars(SequentialDataset))
    integration.install()
    assert (Trainer._save_checkpoint, Trainer.evaluate, module.pickle, torch.load) == before
    assert (dict(vars(Config)), dict(vars(SequentialDataset))) == methods
