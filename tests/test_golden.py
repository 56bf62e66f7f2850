"""A small training on the CPU gives the numbers it always gave, or BEHAVIOUR is raised.

If a change of results is meant: raise ``BEHAVIOUR`` in recbole_mmdistill/version.py, say in
CHANGELOG.md what changed, and print the new numbers with ``python -m tests.test_golden``.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_mmdistill.features import FeatureInfo, write_features
from recbole_mmdistill.version import BEHAVIOUR, ID_BEHAVIOUR

N_USERS, N_ITEMS = 40, 30

COMMON = {
    "data_path": "dataset/",
    "checkpoint_dir": "saved",
    "use_gpu": False,
    "seed": 7,
    "epochs": 3,
    "train_batch_size": 96,
    "eval_batch_size": 64,
    "MAX_ITEM_LIST_LENGTH": 8,
    "item_encoder": "imt",
    "hidden_size": 16,
    "inner_size": 32,
    "repeat_bias_rate": 10.0,
    "learning_rate": 0.01,
    "show_progress": False,
    "state": "ERROR",
    "topk": [10],
    "valid_metric": "NDCG@10",
    "metrics": ["NDCG", "Hit"],
}
VARIANTS = {
    "shipped": {},
    "by short histories": {
        "item_encoder": "auto",
        "hidden_size": "auto",
        "learning_rate": "auto",
        "repeat_bias_rate": "auto",
    },
    "sampled": {
        "train_candidates": "sampled",
        "n_negatives": 8,
        "cold_item_ratio": 0.1,
        "kd_detach_teacher": False,
        "kd_ramp_epochs": 0,
    },
    "late": {
        "item_encoder": "late",
        "user_encoder": "id_apart",
        "sequence_encoder": "sasrec",
        "train_candidates": "in_batch",
        "kd_temperature": 0.5,
        "source_dropout_prob": 0.2,
    },
    "concat": {"item_encoder": "concat", "sequence_encoder": "gru4rec"},
    "shared": {
        "user_encoder": "shared",
        "sequence_encoder": "nextitnet",
        "train_sequences": "prefixes",
        "repeat_bias": False,
        "weight_average": 0,
        "mean_ce_weight": 0,
        "kd_pairs": [["id", "text"], ["id", "image"]],
    },
    "fixed weights": {"branch_weights": {"id": 2}, "id_init": "text", "feature_whitening": 0},
}

# By behaviour number and variant: the losses of each epoch, the best epoch's validation metrics,
# the test metrics, and the scores of four items for the first three test rows.
GOLDEN = {
    5: {
        "shipped": {
            "losses": [51.19151, 47.73306, 44.35915],
            "valid": [0.4729, 0.6],
            "test": [0.3131, 0.525],
            "scores": [
                [1.5802, 0.53151, 0.261873, 0.437469],
                [-0.340065, 0.13456, -0.369253, 0.222215],
                [-0.086304, 1.150753, -0.093557, -0.249605],
            ],
        },
        "by short histories": {
            "losses": [47.91633, 45.26333, 41.97817],
            "valid": [0.5009, 0.65],
            "test": [0.2918, 0.475],
            "scores": [
                [1.974764, -0.069646, 0.44481, -0.412252],
                [-0.826156, 0.638964, -0.396253, -0.628145],
                [-0.750926, 1.25827, -0.407993, -0.520552],
            ],
        },
        "sampled": {
            "losses": [46.86251, 44.40997, 41.30977],
            "valid": [0.5223, 0.641],
            "test": [0.2073, 0.4098],
            "scores": [
                [0.019542, 0.056695, -0.176479, -0.199785],
                [0.119528, 0.828406, 0.073385, -0.40606],
                [-0.092071, 0.05914, 0.115673, -0.163088],
            ],
        },
        "late": {
            "losses": [49.24863, 46.1062, 42.39826],
            "valid": [0.5168, 0.675],
            "test": [0.3645, 0.575],
            "scores": [
                [1.534989, 0.621606, -0.010623, 0.309271],
                [-0.627043, -0.118561, 0.03893, -0.543984],
                [-0.073656, 0.745977, 0.259797, -0.219106],
            ],
        },
        "concat": {
            "losses": [13.44096, 13.09639, 12.43217],
            "valid": [0.5074, 0.625],
            "test": [0.3972, 0.65],
            "scores": [
                [0.376742, 0.175805, -0.011924, -0.12383],
                [-0.487625, -0.068766, -0.011616, -0.120293],
                [-0.490364, 0.177463, 0.234935, -0.120968],
            ],
        },
        "shared": {
            "losses": [52.39616, 52.01223, 51.63488],
            "valid": [0.2211, 0.5],
            "test": [0.0975, 0.225],
            "scores": [
                [-0.278914, -0.065418, -0.037107, -0.254739],
                [-0.284173, -0.065528, -0.03638, -0.258668],
                [-0.286814, -0.06588, -0.037525, -0.262205],
            ],
        },
        "fixed weights": {
            "losses": [51.05811, 48.07673, 44.87332],
            "valid": [0.505, 0.675],
            "test": [0.3742, 0.65],
            "scores": [
                [1.422966, 0.454992, 0.122735, -0.039036],
                [-0.461884, -0.117715, -0.015375, 0.119159],
                [-0.195006, 0.541947, 0.000464, -0.264568],
            ],
        },
    }
}
# By ID_BEHAVIOUR: the same without features.
IDS_ALONE = {
    3: {
        "losses": [13.14894, 12.14869, 11.40327],
        "valid": [0.4941, 0.7],
        "test": [0.3501, 0.625],
        "scores": [
            [0.594525, 0.365569, -0.060521, 0.12003],
            [-0.237062, -0.153785, -0.2704, 0.090769],
            [-0.085127, 0.653234, 0.122865, -0.061494],
        ],
    }
}


def write_dataset():
    """Users who go round a few favourite items, and features that some items lack."""
    folder = Path("dataset/golden")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user in range(N_USERS):
        favourites = rng.permutation(N_ITEMS)[:8]
        for at in range(rng.integers(5, 16)):
            item = favourites[(at + rng.integers(2)) % 8]
            lines.append(f"u{user}\ti{item}\t{1_500_000_000 + at}")
    (folder / "golden.inter").write_text("\n".join(lines) + "\n")
    for modality, n_missing, n_tokens in (("text", 5, 1), ("image", 8, 2)):
        tokens = [f"i{item}" for item in rng.permutation(N_ITEMS)[n_missing:]]
        values = torch.from_numpy(rng.standard_normal((len(tokens), n_tokens, 24))).half()
        path = folder / f"golden.{modality}.safetensors"
        write_features(path, values, tokens, FeatureInfo(modality, encoder="numbers"))


def train(options):
    """Train as RecBole does, and say what came of it."""
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    settings = {**COMMON, **options}
    config = Config(model="IDMMDistill", dataset="golden", config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    train_data, valid_data, test_data = data_preparation(config, create_dataset(config))
    model = get_model("IDMMDistill")(config, train_data.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], "IDMMDistill")(config, model)
    _, valid = trainer.fit(train_data, valid_data, saved=True, show_progress=False, verbose=False)
    test = trainer.evaluate(test_data, load_best_model=True, show_progress=False)
    interaction = next(iter(test_data))[0]
    with torch.no_grad():
        scores = model.full_sort_predict(interaction)[:3, [1, 2, 11, 29]]
    return {
        "losses": [round(loss, 5) for loss in trainer.train_loss_dict.values()],
        "valid": [round(float(valid[name]), 5) for name in ("ndcg@10", "hit@10")],
        "test": [round(float(test[name]), 5) for name in ("ndcg@10", "hit@10")],
        "scores": [[round(score, 6) for score in row] for row in scores.tolist()],
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_results_change_only_with_the_behaviour_number(variant):
    assert BEHAVIOUR in GOLDEN, "print the numbers of this behaviour: python -m tests.test_golden"
    is_as_before(VARIANTS[variant], GOLDEN[BEHAVIOUR][variant])


def test_results_by_ids_alone_change_only_with_their_own_behaviour_number():
    assert ID_BEHAVIOUR in IDS_ALONE and ID_BEHAVIOUR <= BEHAVIOUR
    is_as_before({"modalities": []}, IDS_ALONE[ID_BEHAVIOUR])


def is_as_before(options, expected):
    write_dataset()
    found = train(options)
    for what, numbers in expected.items():
        assert np.array(found[what]) == pytest.approx(np.array(numbers), abs=1e-4, rel=1e-4), what


def main():
    """Print the numbers of the code as it is, as they stand in this file."""
    import logging
    import os

    import recbole_mmdistill  # noqa: F401

    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    sys.argv = sys.argv[:1]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_dataset()
        numbers = {variant: train(options) for variant, options in VARIANTS.items()}
        alone = train({"modalities": []})
    for name, key, value in (("GOLDEN", BEHAVIOUR, numbers), ("IDS_ALONE", ID_BEHAVIOUR, alone)):
        print(f"{name} = {{{key}: {json.dumps(value)}}}")


if __name__ == "__main__":
    main()
