"""``topk`` against the number of items, which RecBole learns only when it sorts."""

from __future__ import annotations

from typing import Any

from ..settings import check_topk


def install() -> None:
    """Check ``topk`` before the first epoch, and before a test without one.

    ``Collector.data_collect`` (evaluator/collector.py:80) is what ``Trainer.fit`` and a test call
    first with the data; without the check, ``torch.topk`` fails after an epoch.
    """
    from recbole.evaluator.collector import Collector

    collect = Collector.data_collect

    def data_collect(self: Any, train_data: Any) -> None:
        if self.register.need("rec.topk") or self.register.need("rec.items"):
            items = train_data._dataset.num(self.config["ITEM_ID_FIELD"]) - 1
            check_topk(self.config["topk"], items)
        collect(self, train_data)

    Collector.data_collect = data_collect
