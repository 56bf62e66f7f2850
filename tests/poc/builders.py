"""Reports of made-up ranks: what the page and the verdict say needs no training."""

import numpy as np

from recbole_mmdistill.evaluation.rows import Rows
from recbole_mmdistill.poc.report import Measured, summarise
from recbole_mmdistill.poc.sample import read_sample

PICTURE = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


def ranks(share, n=1000, seed=0):
    """Ranks of which so large a share is 1, and all others are 50."""
    return np.where(np.random.default_rng(seed).random(n) < share, 1, 50).tolist()


def measured(shares, n=1000, unfinished=(), seeds=3):
    """Stages whose hits are among those of the better ones, with a checkpoint of each.

    SASRec is trained once, as ever.
    """
    rows = Rows(
        users=[f"u{row}" for row in range(n)],
        items=[f"i{row % 90}" for row in range(n)],
        popularity=[("head", "middle", "tail")[row % 3] for row in range(n)],
        history=[5] * n,
        has={},
        n_items=100,
    )
    made = Measured(rows)
    for name, share in shares.items():
        if name in ("popular", "markov"):
            made.add_baselines({name: ranks(share, n)})
        else:
            record = {
                "ranks": ranks(share, n),
                "valid": share,
                "curve": [[1.0, share / 2], [2.5, share]],
                "unfinished": name in unfinished,
                "cpu_seconds": 30.0,
                "parameters": 1000,
                "checkpoint": f"models/{name}.pth",
            }
            for _ in range(1 if name == "sasrec" else seeds):
                made.add(name, record)
    return made


def health(n=1000, coverage=1.0):
    features = {
        "items": 100,
        "of": 100,
        "coverage": coverage,
        "purchases": coverage,
        "sharing": 4,
        "largest_group": 2,
        "beyond_chance": True,
    }
    worst = [{"item": "i1", "purchases": 9, "said": "<b>pot</b>"}]
    return {
        "size": {
            "users": n,
            "items": 100,
            "interactions": 5 * n,
            "median_per_user": 5.0,
            "median_per_item": 40.0,
            "users_with_three": n,
            "items_below_five": 0.1,
            "share_of_head": 0.4,
        },
        "time": {"real": True, "split_by_time": False, "days": ["2025-01-01", "2025-06-30"]},
        "test": {
            "rows": n,
            "users": n,
            "train_rows": 3 * n,
            "valid_rows": n,
            "items": 100,
            "new": 0.02,
            "tail": 0.3,
            "repeats": 0.2,
        },
        "power": {"users": n, "needed": 4000, "effect": 0.05},
        "features": {"text": features, "image": features},
        "texts": {
            "fields": ["title"],
            "items": 100,
            "empty": 1,
            "short": 9,
            "median_length": 40.0,
            "cleaned": 3,
            "identical": 2,
            "languages": {"English": 0.9, "other": 0.1},
            "worst": worst,
        },
        "pictures": {
            "items": 100,
            "missing": 5,
            "unreadable": 1,
            "unused": 0,
            "identical": 20,
            "largest_group": 20,
            "looked_at": 94,
            "small": 2,
            "median_side": 300.0,
            "worst": worst,
        },
    }


def report(shares, n=1000, unfinished=(), coverage=1.0, folder=None, seeds=3, image=None):
    """A whole report of the shares of hits by stage."""
    card = {"item": "i1", "title": "<b>Pot</b>", "picture": None}
    shown = {**card, "picture": {"address": PICTURE, "width": 1, "height": 1}}
    person = {
        "user": "u1",
        "history": [card, shown],
        "recommendations": [{**shown, "shares": {"text": 0.75, "id": 0.25}, "because": "Pot"}],
    }
    compared = {"relative": -0.1, "low": -0.2, "high": -0.05}
    made = summarise(
        sample=read_sample("shop", folder),
        found={
            "text": {"how": "encoded", "encoder": "some-encoder", "path": "t"},
            "image": image or {"how": "ready", "encoder": "another", "path": "i"},
        },
        health=health(n, coverage),
        plan={"best_epochs": {"id": 20}, "left_out": ["sasrec"]},
        measured=measured(shares, n, unfinished, seeds),
        what_if={
            "stage": "all",
            "left_out": ["less_data"],
            "missing": {"text": compared},
            "new_items": {"hit": 0.1, "random": 0.01, "rows": 50, "share": 0.1},
            "policy": [
                {"source": "text", "factor": 2.0, "ndcg": 0.1, "ndcg_new": 0.01, "new": 0.2}
            ],
            "less_data": [
                {"share": share, "stage": "id", "ndcg": 0.1, "users": 200}
                for share in ("all", "half", "quarter")
            ],
        },
        costs={"id": {"megabytes": 1.0, "p50_ms": 1.0, "p99_ms": 4.0, "per_second": 900}},
        examples={
            "stage": "all",
            "people": [person],
            "summary": {"taken_away": {"text": {"replaced": 0.4}}},
        },
        budget=1800.0,
        spent=900.0,
        common={"data_path": ".", "feature_path": {}},
    )
    return {**made, "commands": ["recbole-mm run --model=IDMMDistill"]}
