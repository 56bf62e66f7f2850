"""Features of three items, what each format calls its file, and what is refused."""

import numpy as np
import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import open_features, write_features
from recbole_mmdistill.features.convert import convert
from recbole_mmdistill.features.formats import Options
from tests.features.builders import TEXT

NAMES = {
    "safetensors": "toy.text.safetensors",
    "npy": "toy.text.npy",
    "itememb": "toy.text.itememb",
    "raw": "toy.text.raw",
}
FOREIGN = ["npy", "itememb", "raw"]
VALUES = np.array([[1, -2.5], [0.1, 3e-8], [5, 60000]], dtype=np.float32)
TOKENS = ["a", "Ÿ 電影", '"']
HEAD = "itemid:token\titem_emb:float_seq\n"


def write(path, values=VALUES, tokens=TOKENS, mask=None):
    write_features(path, values, tokens, TEXT, mask)
    return path


def vectors(path):
    """Read what each item has, to the bit."""
    source = open_features(path)
    rows = source.values.float().numpy()
    return {token: row.tobytes() for token, row in zip(source.item_tokens, rows)}


def refused(message, *arguments, **options):
    with pytest.raises(UserError, match=message):
        convert(*arguments, Options(**options))
