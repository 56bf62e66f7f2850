"""Today's numpy, pandas, scipy, torch and hyperopt, and no ray.

Each fix first tries what would fail. With libraries of RecBole's own day nothing is changed.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import torch

from .fixes import patches, replaces

_NUMPY_NAMES = {
    "float_": np.float64,
    "complex_": np.complex128,
    "unicode_": np.str_,
    "float": np.float64,
    "int": np.int_,
    "str": np.str_,
    "object": np.object_,
}


def _lacks_old_names() -> bool:
    return not _NUMPY_NAMES.keys() <= vars(np).keys()


@patches(*(f"numpy:{name}" for name in _NUMPY_NAMES), needed=_lacks_old_names)
def numpy_aliases() -> None:
    """Put back old names of numpy, such as ``np.float`` (gone in 1.24) and ``np.float_`` (2.0).

    RecBole uses them in data/interaction.py:31, data/dataset/dataset.py:652 and
    evaluator/metrics.py:90. A config sets some of them (config/configurator.py:629), too late for a
    process that only loads a checkpoint.
    """
    for name, value in _NUMPY_NAMES.items():
        if name not in vars(np):
            setattr(np, name, value)


@patches("ray.tune:report")
def import_recbole() -> None:
    """Import RecBole without ray, unless ray is imported already.

    quick_start/quick_start.py:20 imports ``ray.tune`` for one function, which matters only in a
    process that ray runs. RecBole asks for ray <= 2.6.3, which has no build for Python 3.12, takes
    a second to import, and takes over the handling of SIGTERM.
    """
    with without_ray():
        importlib.import_module("recbole.quick_start")


@contextmanager
def without_ray() -> Iterator[None]:
    """Let ``from ray import tune`` give a module whose ``report`` does nothing without ray.

    It is taken out of ``sys.modules`` again: it would deceive others that look for ray.
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


def _len_is_of_the_series() -> bool:
    return not isinstance(pd.Series([[1], [2, 3]]).agg(len), pd.Series)


@replaces(
    "recbole.data.dataset.dataset:len",
    "recbole.data.dataset.kg_dataset:len",
    "recbole.data.dataset.sequential_dataset:len",
    needed=_len_is_of_the_series,
)
def cell_length(value: Any) -> Any:
    """Let ``Series.agg(len)`` give each cell's length (in pandas 3 it gives the Series' own).

    data/dataset/dataset.py:712 and others: every field of type token_seq or float_seq fails.
    """
    if isinstance(value, pd.Series) and value.dtype == object:
        return value.map(builtins.len)
    return builtins.len(value)


def _column_is_copied() -> bool:
    frame = pd.DataFrame({"column": [np.nan]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame["column"].fillna(value=0, inplace=True)
    return bool(frame["column"].isna().any())


@replaces("recbole.data.dataset.dataset:Dataset._fill_nan", needed=_column_is_copied)
def fill_nan(self: Any) -> None:
    """Fill missing values for real (pandas 3 fills a copy, and says nothing of it).

    data/dataset/dataset.py:648: floats stay NaN, and a missing token becomes -9223372036854775808.
    """
    from recbole.utils import FeatureType

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


@replaces(
    "scipy.sparse:dok_matrix._update",
    needed=lambda: not hasattr(scipy.sparse.dok_matrix, "_update"),
)
def update_dok_matrix(self: Any, data: Any) -> None:
    """Put back ``dok_matrix._update``, which scipy 1.13 took out.

    model/general_recommender/lightgcn.py:111 builds its graph with it; so do NGCF, NCL, GCMC,
    SpectralCF, KGIN and MCCLK.
    """
    self._dict.update(data)


@patches("recbole.trainer.hyper_tuning:np")
def hyperopt_random_state() -> None:
    """Give hyperopt from 0.2.6 on the generator it draws from in an exhaustive search.

    trainer/hyper_tuning.py:117 passes a ``RandomState``, which has no ``integers``.
    """

    class RandomState(np.random.RandomState):
        def integers(self, low: int, high: int | None = None, size: Any = None) -> Any:
            return self.randint(low, high, size)

    module = importlib.import_module("recbole.trainer.hyper_tuning")
    vars(module)["np"] = _with(np, random=_with(np.random, RandomState=RandomState))


@patches("torch.autograd:set_detect_anomaly")
def anomaly_detection() -> None:
    """Turn off torch's debug mode, which RecBole leaves on in every run of a sequential model.

    model/sequential_recommender/sine.py:25 turns it on for the whole process when it is imported,
    which is as soon as any sequential model is looked up. The gradients of every model are then
    searched for NaN: an epoch of SASRec on ml-100k takes 271 CPU seconds instead of 146.
    """
    before = torch.is_anomaly_enabled()
    importlib.import_module("recbole.model.sequential_recommender")
    torch.autograd.set_detect_anomaly(before)


@patches("warnings:filters")
def quiet_warnings() -> None:
    """Silence warnings of numpy, pandas and torch about RecBole's use of old names.

    trainer/trainer.py:235 makes a ``torch.cuda.amp.GradScaler`` (deprecated since torch 2.4) in
    each epoch; data/dataset/dataset.py:648 says ``inplace=True``, and makes tensors of arrays that
    may not be written to.
    """
    for message in (r".*torch\.cuda\.amp\.GradScaler.*", r".*GradScaler is enabled, but CUDA.*"):
        warnings.filterwarnings("ignore", message=message)
    warnings.filterwarnings("ignore", module=r"recbole\.data\.")


def _with(module: types.ModuleType, **replaced: Any) -> types.ModuleType:
    """Give a module like another but for some names."""
    changed = types.ModuleType(module.__name__)
    vars(changed).update({name: v for name, v in vars(module).items() if name != "__dict__"})
    vars(changed).update(replaced)
    vars(changed)["__getattr__"] = lambda name: getattr(module, name)
    return changed
