"""Mends of what today's libraries break in RecBole 1.2.1, one function each.

Each looks whether it is needed by trying what would fail, and does nothing where it does not:
with the libraries of RecBole's own day nothing is changed. No file of RecBole is edited.
"""

from __future__ import annotations

import builtins
import copy
import importlib
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import torch


def numpy_aliases() -> None:
    """Put back the names that numpy took out: ``np.float`` (1.24), ``np.float_`` (2.0), ...

    RecBole uses them in config/configurator.py:628-635, evaluator/metrics.py,
    data/interaction.py:31 and data/dataset/dataset.py:652; a ``Config`` sets some of them, too
    late for a process that only loads a checkpoint.
    """
    names = {
        "float_": np.float64,
        "complex_": np.complex128,
        "unicode_": np.str_,
        "float": np.float64,
        "int": np.int_,
        "str": np.str_,
        "object": np.object_,
    }
    for name, value in names.items():
        if name not in vars(np):
            setattr(np, name, value)


@contextmanager
def ray_stand_in() -> Iterator[None]:
    """Let RecBole be imported without ray, unless ray is there already.

    quick_start/quick_start.py:20 imports ``ray.tune``, for ``tune.report`` alone, which matters
    only in a process that ray runs. RecBole asks for ray <= 2.6.3, which needs setuptools < 81 and
    numpy < 2 and has no build for Python >= 3.12; where it works its import takes a second, and
    the handling of SIGTERM (ray/_private/worker.py:1722). A stand-in left in ``sys.modules`` would
    deceive others that look for ray, so it is taken out again.
    """
    if "ray.tune" in sys.modules:
        yield
        return
    before = sys.modules.get("ray")
    ray, tune = types.ModuleType("ray"), types.ModuleType("ray.tune")
    vars(ray).update(tune=tune, __path__=[])
    vars(tune).update(report=_report_to_ray)
    sys.modules.update({"ray": ray, "ray.tune": tune})
    try:
        yield
    finally:
        for name in ("ray", "ray.tune"):
            sys.modules.pop(name, None)
        if before is not None:
            sys.modules["ray"] = before


def _report_to_ray(*args: Any, **kwargs: Any) -> None:
    tune = sys.modules.get("ray.tune")
    if tune is not None:
        tune.report(*args, **kwargs)


def pandas_len() -> None:
    """Let ``Series.agg(len)`` give each cell's length again (pandas 3 gives the Series' own).

    data/dataset/dataset.py:712, 792, 809 and 1217, kg_dataset.py:316, sequential_dataset.py:165:
    every field of type token_seq or float_seq fails without it.
    """
    if isinstance(pd.Series([[1], [2, 3]]).agg(len), pd.Series):
        return

    def length(value: Any) -> Any:
        if isinstance(value, pd.Series) and value.dtype == object:
            return value.map(builtins.len)
        return builtins.len(value)

    for name in ("dataset", "kg_dataset", "sequential_dataset"):
        vars(importlib.import_module(f"recbole.data.dataset.{name}"))["len"] = length


def pandas_fill_nan() -> None:
    """Fill missing values for real (pandas 3 fills a copy, and says nothing of it).

    data/dataset/dataset.py:648 and 650: floats stay NaN, and a missing token becomes
    -9223372036854775808.
    """
    if not _column_is_copied():
        return
    from recbole.data.dataset import Dataset
    from recbole.utils import FeatureType

    def _fill_nan(self: Any) -> None:
        for feat_name in self.feat_name_list:
            feat = getattr(self, feat_name)
            for field in feat:
                ftype = self.field2type[field]
                if ftype == FeatureType.TOKEN:
                    feat[field] = feat[field].fillna(0)
                elif ftype == FeatureType.FLOAT:
                    feat[field] = feat[field].fillna(feat[field].mean())
                else:
                    dtype = np.int64 if ftype == FeatureType.TOKEN_SEQ else np.float64
                    feat[field] = feat[field].map(
                        lambda cell, dtype=dtype: (
                            np.array([], dtype=dtype) if isinstance(cell, float) else cell
                        )
                    )

    Dataset._fill_nan = _fill_nan


def _column_is_copied() -> bool:
    frame = pd.DataFrame({"column": [np.nan]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame["column"].fillna(value=0, inplace=True)
    return bool(frame["column"].isna().any())


def scipy_dok_update() -> None:
    """Put back ``dok_matrix._update``, which scipy 1.13 took out.

    LightGCN, NGCF, NCL, GCMC, SpectralCF, KGIN and MCCLK build their graph with it.
    """
    if hasattr(scipy.sparse.dok_matrix, "_update"):
        return

    def _update(self: Any, data: Any) -> None:
        self._dict.update(data)

    scipy.sparse.dok_matrix._update = _update


def collector_numbers() -> None:
    """Collect plain numbers, too (a bug of RecBole's own).

    evaluator/collector.py:227 calls ``.cpu()`` on all it collected; the number of items, which
    ItemCoverage and others need, has no such method.
    """
    from recbole.evaluator.collector import Collector

    def get_data_struct(self: Any) -> Any:
        collected = self.data_struct._data_dict
        for key, value in collected.items():
            if isinstance(value, torch.Tensor):
                collected[key] = value.cpu()
        returned = copy.deepcopy(self.data_struct)
        for key in ("rec.topk", "rec.meanrank", "rec.score", "rec.items", "data.label"):
            if key in self.data_struct:
                del self.data_struct[key]
        return returned

    Collector.get_data_struct = get_data_struct


def hyperopt_random_state() -> None:
    """Give hyperopt >= 0.2.6 the generator it draws from in an exhaustive search.

    trainer/hyper_tuning.py:117 passes a ``RandomState``, which has no ``integers``.
    """
    module = importlib.import_module("recbole.trainer.hyper_tuning")

    class RandomState(np.random.RandomState):
        def integers(self, low: int, high: int | None = None, size: Any = None) -> Any:
            return self.randint(low, high, size)

    vars(module)["np"] = _with(np, random=_with(np.random, RandomState=RandomState))


def anomaly_detection() -> None:
    """Turn off the debug mode that importing SINE leaves on for the whole process (RecBole's own).

    model/sequential_recommender/sine.py:25 calls ``set_detect_anomaly(True)``, and whoever looks
    for a built-in sequential model imports that file: gradients of every model are then searched
    for NaN (SASRec on ml-100k takes a third longer, small models ten times as long).
    """
    before = torch.is_anomaly_enabled()
    importlib.import_module("recbole.model.sequential_recommender")
    torch.autograd.set_detect_anomaly(before)


def quiet_warnings() -> None:
    """Silence what RecBole's use of old names makes numpy, pandas and torch print at every run.

    trainer/trainer.py: ``torch.cuda.amp.GradScaler`` (deprecated since torch 2.4), once an epoch;
    data/dataset/dataset.py: ``inplace=True`` (pandas 3; where it matters it is mended above), and
    tensors made of arrays that may not be written to, which are copied.
    """
    for message in (r".*torch\.cuda\.amp\.GradScaler.*", r".*GradScaler is enabled, but CUDA.*"):
        warnings.filterwarnings("ignore", message=message)
    warnings.filterwarnings("ignore", module=r"recbole\.data\.")


def _with(module: types.ModuleType, **replaced: Any) -> types.ModuleType:
    """Give a module that looks like another but for some names."""
    look_alike = types.ModuleType(module.__name__)
    vars(look_alike).update({name: v for name, v in vars(module).items() if name != "__dict__"})
    vars(look_alike).update(replaced)
    vars(look_alike)["__getattr__"] = lambda name: getattr(module, name)
    return look_alike


MENDS: list[Callable[[], None]] = [
    pandas_len,
    pandas_fill_nan,
    scipy_dok_update,
    collector_numbers,
    hyperopt_random_state,
    anomaly_detection,
    quiet_warnings,
]


def import_recbole() -> None:
    """Import RecBole with what it needs at import time."""
    numpy_aliases()
    with ray_stand_in():
        importlib.import_module("recbole.quick_start")


def mend() -> None:
    """Import RecBole and apply every mend; done once, whoever asks again."""
    import_recbole()
    for apply in MENDS:
        apply()
