"""One trial: a model trained and tested once, and everything a comparison needs to know of it.

A trial runs in a process of its own (``python -m recbole_mmdistill.evaluation.trial``): so its peak
memory is its own, its failure costs nothing but itself, and killed it leaves nothing behind.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import signals
from ..version import BEHAVIOUR, __version__

if TYPE_CHECKING:
    from ..pipeline import Seconds
    from .store import Store

CPU = "cpu"
TOP_K = [5, 10, 20]
_METRICS = {"topk": TOP_K, "metrics": ["Hit", "NDCG", "MRR"], "valid_metric": "NDCG@10"}


def run_trial(
    model: str,
    dataset: str,
    settings: Mapping[str, Any],
    grouped_by: Sequence[str] = (),
    store: Store | None = None,
    seconds: Seconds | None = None,
    with_variants: bool = True,
) -> dict[str, Any]:
    """Train a model, load its best epoch, and rank the test targets among all items.

    The dataset is :class:`~recbole_mmdistill.data.MultiModalSequentialDataset` for every model: so
    all of them see the same rows in the same exact order of time, and its options (cold items,
    missing features) are there for all. Training, validation and stopping are RecBole's own.

    Parameters
    ----------
    model, dataset : str
        Their names.
    settings : Mapping of str to object
        Options over RecBole's and this package's defaults.
    grouped_by : sequence of str
        Modalities by whose presence test rows are told apart, whatever the model reads.
    store : Store, optional
        Where the description of the test rows goes; by default it is dropped.
    seconds : float or callable, optional
        For the training, see :meth:`recbole_mmdistill.pipeline.Prepared.fit`.
    with_variants : bool
        Whether the targets are ranked among all items and by each branch, too; else ``ranks`` has
        those of unseen items only.

    Returns
    -------
    dict
        ``version`` and ``behaviour`` of this package;
        ``epochs``: what :func:`~recbole_mmdistill.integration.monitoring.watch_training` keeps;
        ``valid``: the best epoch's validation metrics, and ``valid_ndcg``: its NDCG@10 by
        :func:`~.ranking.variants`; ``test``: RecBole's own test metrics;
        ``ranks``: the test targets' ranks by :func:`~.ranking.variants`, and as ``unseen`` those
        of the whole model with each history's own items put last; ``rows``: name of the
        description of the test rows (:class:`~.rows.Rows`); ``parameters``; ``peak_memory_mib``;
        ``test_cpu_seconds`` of RecBole's full-ranking evaluation; ``device``: ``cpu``, or the
        GPU's name.

    Raises
    ------
    UserError
        An option has no sense.
    """
    import numpy as np
    import torch

    from ..data import MultiModalSequentialDataset
    from ..data.features import load_features
    from ..integration.config import make_config
    from ..integration.monitoring import tensorboard_in, watch_training
    from ..pipeline import prepare
    from .ranking import UNSEEN, ndcg, rank_targets, variants
    from .rows import describe_rows

    present = {}

    def make_dataset(config: Any) -> MultiModalSequentialDataset:
        whole = MultiModalSequentialDataset(config)
        present.update({name: f.present for name, f in load_features(whole, grouped_by).items()})
        return whole

    with tempfile.TemporaryDirectory() as scratch, tensorboard_in(scratch):
        presets = {
            "use_gpu": torch.cuda.is_available(),
            "checkpoint_dir": scratch,
            "show_progress": False,
            **_METRICS,
        }
        config = make_config(model, dataset, {**presets, **settings})
        prepared = prepare(config, make_dataset)
        network, valid, test = prepared.model, prepared.valid_data, prepared.test_data
        with watch_training(prepared.trainer) as epochs:
            valid_result = prepared.fit(seconds)
        started = time.process_time()
        test_result = prepared.measure()
        test_seconds = time.process_time() - started
        ranks, valid_ndcg = {}, {}
        for name, scoring in (variants(network) if with_variants else {}).items():
            with scoring:
                ranks[name] = rank_targets(network, test, config["device"])
                valid_ranks = rank_targets(network, valid, config["device"])
            valid_ndcg[name] = round(float(ndcg(np.array(valid_ranks)).mean()), 5)
        ranks[UNSEEN] = rank_targets(network, test, config["device"], unseen_only=True)
    rows = describe_rows(prepared.train_data.dataset, test.dataset, present)
    return {
        "version": __version__,
        "behaviour": BEHAVIOUR,
        "epochs": epochs,
        "valid": valid_result,
        "test": test_result,
        "valid_ndcg": valid_ndcg,
        "ranks": ranks,
        "rows": rows.name if store is None else store.write_rows(rows),
        "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "test_cpu_seconds": round(test_seconds, 3),
        "device": CPU if config["device"].type == "cpu" else torch.cuda.get_device_name(),
    }


def main() -> None:
    """Run the trial that stands as JSON on stdin; its record goes to the folder named first."""
    signals.install(parent=int(os.environ.get(signals.PARENT, os.getppid())))
    from ..bench.report import machine
    from ..files import check_room
    from .store import Store

    logging.disable(logging.WARNING)
    folder, key = sys.argv[1:]
    spec, store = json.load(sys.stdin), Store(folder)
    check_room(store.folder)  # a training whose record cannot be kept is lost
    started = time.time()
    record = run_trial(**spec, store=store)
    seconds = round(time.time() - started, 1)
    store.write(key, {**spec, **record, "seconds": seconds, "machine": machine()})


if __name__ == "__main__":
    main()
