"""Small literal features, and what tests share."""

from pathlib import Path

import pytest
import torch

from recbole_mmdistill.features import FeatureInfo, from_array

SHARED = Path(__file__).resolve().parents[3] / "shared"
TEXT = FeatureInfo("text", "bert", "0f" * 32, "mean", "none", ("title", "genres"))


def needs(path: Path) -> pytest.MarkDecorator:
    """Skip a test, saying why, where a real file is absent."""
    return pytest.mark.skipif(not path.exists(), reason=f"{path.name} is not on this machine")


def abc(dtype=torch.float32):
    """Three items, two tokens, two dimensions: every number tells its item and token."""
    values = torch.tensor([[[10, 11], [12, 13]], [[20, 21], [22, 23]], [[30, 31], [32, 33]]])
    return from_array(values.to(dtype), ["a", "b", "c"], TEXT)
