"""What an encoder is: inputs in, vectors out, and all that its vectors depend on.

A new kind of encoder is a subclass with ``prepare`` and two methods; the conformance suite in
``tests/features/extraction`` proves it.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ...errors import UserError
from ..store import HASH_BYTES

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SEED = 0  # of untrained weights: the same each time, so that such a job can go on, too

Prepare = Callable[[Sequence[bytes]], list[Any]]


class Failure(NamedTuple):
    """Why an input has no vectors."""

    reason: str


class Encoder(ABC):
    """A pretrained encoder, loaded when it is first needed.

    Its name, the hash of its weights and its pooling are recorded. ``depends_on`` is what else its
    vectors depend on, as JSON. ``device`` is ``auto`` or a device of torch; ``precision`` is
    ``auto`` (half on a GPU, else float32) or a key of :data:`PRECISIONS`; ``normalize`` says
    whether each vector is divided by its length. ``preprocessing`` says in words what is done to
    an input and to the vectors; ``by_length`` whether inputs of like length should share a batch.
    """

    # Turns raw inputs into what encode() takes, a Failure where that fails. It may run in another
    # process, so it holds no weights and no handle of a device.
    prepare: Prepare
    preprocessing: str = ""
    by_length = False

    def __init__(
        self,
        name: str,
        weights_hash: str,
        pooling: str,
        depends_on: dict[str, Any],
        device: str = "auto",
        precision: str = "auto",
        normalize: bool = True,
    ) -> None:
        self.name = name
        self.weights_hash = weights_hash
        self.pooling = pooling
        self.device = _device(device)
        self.precision = _precision(precision, self.device)
        self.normalize = normalize
        everything = depends_on | {"weights": weights_hash, "pooling": pooling}
        everything |= {"precision": self.precision, "normalize": normalize}
        self._key = json.dumps(everything, sort_keys=True).encode("utf-8")
        self._model: Any = None

    def input_hash(self, data: bytes) -> bytes:
        """Name an input, and all else that its vectors depend on, in 16 bytes."""
        return hashlib.blake2b(self._key + data, digest_size=HASH_BYTES).digest()

    def lengths(self, inputs: Sequence[bytes]) -> list[int]:
        """Say how much work each input is; only asked for where ``by_length``."""
        return [len(data) for data in inputs]

    def check_inputs(self) -> None:  # noqa: B027  (most encoders take any input)
        """Raise a UserError if the inputs that :meth:`lengths` was given make no sense to it."""

    @abstractmethod
    def load(self) -> Any:
        """Load the model, in eval mode, on the CPU; a UserError if the weights do not fit it."""

    @abstractmethod
    def forward(self, model: Any, prepared: Sequence[Any]) -> Sequence[torch.Tensor]:
        """Encode inputs as ``prepare`` gives them, each ``[n_tokens, dim]``.

        The number of tokens may differ.
        """

    @torch.inference_mode()
    def encode(self, prepared: Sequence[Any]) -> list[np.ndarray | Failure]:
        """Encode a batch of inputs as ``prepare`` gives them, without failures.

        The vectors of each are ``[n_tokens, dim]``, float16; a Failure where they are not finite.
        """
        if self._model is None:
            self._model = self.load().to(self.device)
        dtype = PRECISIONS[self.precision]
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            vectors = self.forward(self._model, prepared)
        results: list[np.ndarray | Failure] = []
        for of_input in vectors:
            numbers = of_input.float()
            if self.normalize:
                numbers = torch.nn.functional.normalize(numbers, dim=-1)
            array = numbers.half().cpu().numpy()
            finite = bool(np.isfinite(array).all())
            results.append(array if finite else Failure("was encoded as numbers not finite"))
        return results


def with_random_weights(build: Callable[[], Any]) -> Any:
    """Build a model with random weights: the same ones each time, and no one else's numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return build().eval()


def hash_files(paths: Sequence[Path]) -> str:
    """Hash files, one after the other, with SHA-256; give it in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def first_lines(error: BaseException) -> str:
    """Shorten the message of a library's error to what fits into one sentence."""
    lines = [line.strip(" \t.:") for line in str(error).splitlines() if line.strip()]
    return ": ".join(lines[:2])[:300] or type(error).__name__


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"--device is {name!r}, which cannot be used: {first_lines(error)}.",
            "Say auto, cpu or, with a GPU, cuda.",
        ) from None
    return device


def _precision(name: str, device: torch.device) -> str:
    if name not in ("auto", *PRECISIONS):
        raise UserError(f"--precision is {name!r}.", f"Say auto or one of {', '.join(PRECISIONS)}.")
    if name != "auto" or device.type != "cuda":
        return "float32" if name == "auto" else name
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
