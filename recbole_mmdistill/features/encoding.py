"""What encoding text and encoding images have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from tqdm import tqdm

from .source import FeatureInfo
from .store import write_features

BATCH_SIZE = 64

Thing = TypeVar("Thing")


def device() -> torch.device:
    """Give the device to encode on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def batches(things: Sequence[Thing], title: str) -> Iterator[Sequence[Thing]]:
    """Cut a sequence into batches, under a progress bar that counts single things."""
    with tqdm(total=len(things), desc=title, dynamic_ncols=True) as progress:
        for start in range(0, len(things), BATCH_SIZE):
            batch = things[start : start + BATCH_SIZE]
            yield batch
            progress.update(len(batch))


def hash_files(paths: Sequence[Path]) -> str:
    """Hash files, one after the other, with SHA-256; give it in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def first_lines(error: Exception) -> str:
    """Shorten the message of a library's error to what fits into one sentence."""
    lines = [line.strip(" \t.:") for line in str(error).splitlines() if line.strip()]
    return ": ".join(lines[:2])[:300] or type(error).__name__


def write_unit_vectors(
    output: Path, vectors: Sequence[torch.Tensor], item_tokens: Sequence[str], info: FeatureInfo
) -> None:
    """Divide each vector by its length, and write all in float16.

    Parameters
    ----------
    output : pathlib.Path
        The feature file to write.
    vectors : sequence of torch.Tensor
        Batches of shape ``[batch_size, dim]``.
    item_tokens : sequence of str
        The item of each vector.
    info : FeatureInfo
        How the vectors were made.
    """
    values = torch.nn.functional.normalize(torch.cat(list(vectors)), dim=1).half()
    write_features(output, values, item_tokens, info)
    print(f"Wrote {output}: {len(values)} items, {values.shape[1]} numbers each")
