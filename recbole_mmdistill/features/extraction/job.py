"""The job of making a feature file: it goes on where it was killed, and does nothing twice.

Every input has a hash of its content and of all else that its vectors depend on. What the feature
file of an earlier run holds under that hash is taken from it. The others are encoded in batches
that depend on nothing but the inputs, and written to a journal batch by batch; started again, the
job makes the same batches and leaves out those that the journal has. So the numbers do not depend
on how often it was killed, and neither does the file that is put together from them in the end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from ...errors import UserError
from ...files import write_text
from ..pictures import UnreadablePicture
from ..source import FeatureInfo, FeatureSource, Rows, rows_at_once
from ..store import open_features, read_input_hashes, verify_features, write_rows
from .again import info_of
from .encoder import Encoder, Failure, Prepare
from .inputs import Inputs
from .journal import Journal, Outcome

_SCAN_ROWS = 256


class NothingEncoded(UserError):
    """No item has an input of any use; some have one of none (``n_failed``)."""

    def __init__(self, what: str, remedy: str, n_failed: int = 0) -> None:
        super().__init__(what, remedy)
        self.n_failed = n_failed


class TooSlow(UserError):
    """All inputs cannot be encoded in the time that is allowed."""


class Summary(NamedTuple):
    """What became of the items."""

    items: int
    done: int  # items that have features now
    encoded: int  # different inputs encoded by this run
    kept: int  # different inputs taken from an earlier run, finished or killed
    missing: int  # items without an input
    failed: int  # items with an input of no use
    unused: int  # inputs of no item
    output: Path  # the feature file
    report: Path  # the table of items that lack features


def report_path(output: Path) -> Path:
    """Name the table of items without features: beside the feature file."""
    return output.with_name(f"{output.name.removesuffix('.safetensors')}.report.tsv")


def extract(
    modality: str,
    inputs: Inputs,
    encoder: Encoder,
    output: Path,
    batch_size: int = 64,
    num_workers: int = 0,
    seconds: float = math.inf,
) -> Summary:
    """Make a feature file, or bring one up to date.

    Parameters
    ----------
    modality, inputs, encoder : str, Inputs, Encoder
        Its name, the items' inputs, and what encodes them.
    output : pathlib.Path
        The feature file. Beside it stand, while the job runs, its journal ``.<name>.partial`` and,
        when it has ended, the table ``.report.tsv`` of the items without features.
    batch_size : int
        Inputs encoded at once; halved while memory runs out.
    num_workers : int
        Processes that prepare inputs while others are encoded; 0 prepares them in this one.
    seconds : float
        For encoding.

    Raises
    ------
    TooSlow
        It takes longer than ``seconds``. What was encoded until then is kept.
    UserError
        If another process makes this file, the disk is full, no item has features, or the inputs
        change meanwhile. What was encoded until then is kept.
    """
    info = info_of(modality, inputs, encoder)
    with Journal(output.with_name(f".{output.name}.partial")) as journal:
        earlier = _Earlier(output)
        keys, row_of, lengths = _scan(inputs, encoder)
        outcomes: dict[bytes, Outcome] = {
            key: earlier.n_tokens[key] for key in row_of if key in earlier.n_tokens
        }
        plan = [key for key in row_of if key not in outcomes]
        if encoder.by_length:
            # The longest first: if memory does not suffice, it shows at once.
            plan.sort(key=lambda key: (-lengths[key], key))
        wanted = set(plan)
        outcomes.update(item for item in journal.outcomes() if item[0] in wanted)
        kept = _n_done(outcomes)
        batches = [
            [key for key in plan[first : first + batch_size] if key not in outcomes]
            for first in range(0, len(plan), batch_size)
        ]
        if batches := [batch for batch in batches if batch]:
            prepare = partial(_prepared, inputs, row_of, encoder.input_hash, encoder.prepare)
            done, title = len(plan) - sum(map(len, batches)), f"Encode {modality}"
            clock = _Clock(seconds, len(plan) - done)
            with tqdm(total=len(plan), initial=done, desc=title, dynamic_ncols=True) as progress:
                for results in _encode(encoder, batches, prepare, batch_size, num_workers):
                    outcomes.update(zip(results, journal.append([*results], [*results.values()])))
                    progress.update(len(results))
                    clock.check(int(progress.n) - done)
        found = [key if isinstance(key, Failure) else outcomes[key] for key in keys]
        reasons = {row: f.reason for row, f in enumerate(found) if isinstance(f, Failure)}
        failed = sum(reason != "" for reason in reasons.values())
        report = report_path(output)
        write_text(report, _table(inputs, reasons))
        rows = [row for row in range(len(found)) if row not in reasons]
        if not rows:
            raise NothingEncoded(
                f"No {modality} of the {len(found)} items could be encoded ({failed} failed).",
                f"See {report}.",
                failed,
            )
        hashes = [key for key in map(keys.__getitem__, rows) if isinstance(key, bytes)]
        item_tokens = inputs.item_tokens[rows]
        if not earlier.is_of(item_tokens, hashes, info):
            n_tokens = np.array([outcomes[key] for key in hashes])
            whole = _rows(item_tokens, hashes, n_tokens, info, journal, earlier)
            write_rows(output, whole, np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 16))
        journal.remove()
    return Summary(
        items=len(found),
        done=len(rows),
        encoded=_n_done(outcomes) - kept,
        kept=kept,
        missing=len(reasons) - failed,
        failed=failed,
        unused=inputs.unused(),
        output=output,
        report=report,
    )


class _Clock:
    """Ends an encoding that would outlast its time."""

    def __init__(self, seconds: float, n_inputs: int) -> None:
        self._seconds, self._n_inputs = seconds, n_inputs
        self._started = time.monotonic()

    def check(self, n_encoded: int) -> None:
        """Raise TooSlow if the time is over, or, after a tenth of it, half of it too short."""
        spent, n_left = time.monotonic() - self._started, self._n_inputs - n_encoded
        # Texts begin with the longest, so what is left may take half as long as it seems.
        expected = spent + spent / n_encoded * n_left / 2
        if n_left and spent > self._seconds / 10 and expected > self._seconds:
            raise TooSlow(
                f"{n_left:,} of {self._n_inputs:,} inputs are left, which takes too long for "
                f"{self._seconds:.0f} s.",
                "Allow more time; what is done is kept.",
            )


def _n_done(outcomes: Mapping[bytes, Outcome]) -> int:
    return sum(not isinstance(outcome, Failure) for outcome in outcomes.values())


def _scan(
    inputs: Inputs, encoder: Encoder
) -> tuple[list[bytes | Failure], dict[bytes, int], dict[bytes, int]]:
    """Hash all inputs.

    Give each item's hash (or why it has none), the first row of each hash, and lengths if wanted.
    """
    keys: list[bytes | Failure] = []
    row_of: dict[bytes, int] = {}
    lengths: dict[bytes, int] = {}
    fresh: dict[bytes, bytes] = {}
    n_items = len(inputs.item_tokens)
    for row in tqdm(range(n_items), desc="Read inputs", delay=1, leave=False):
        data: bytes | None = None
        key: bytes | Failure = Failure("")
        try:
            data = inputs.read(row)
        except UnreadablePicture as error:
            key = Failure(str(error))
        if data is not None:
            key = encoder.input_hash(data)
            if key not in row_of:
                row_of[key] = row
                fresh |= {key: data} if encoder.by_length else {}
        keys.append(key)
        if fresh and (len(fresh) == _SCAN_ROWS or row == n_items - 1):
            lengths.update(zip(fresh, encoder.lengths([*fresh.values()])))
            fresh.clear()
    encoder.check_inputs()
    return keys, row_of, lengths


def _prepared(
    inputs: Inputs,
    row_of: Mapping[bytes, int],
    input_hash: Callable[[bytes], bytes],
    prepare: Prepare,
    keys: Sequence[bytes],
) -> dict[bytes, Any]:
    """Read and prepare a batch, a Failure in the place of what cannot be; in a worker process."""
    data = {}
    for key in keys:
        with suppress(UnreadablePicture):
            read = inputs.read(row_of[key])
            if read is not None and input_hash(read) == key:
                data[key] = read
    prepared = dict(zip(data, prepare([*data.values()])))
    return {key: prepared.get(key, Failure("changed while it was being read")) for key in keys}


def _encode(
    encoder: Encoder, batches: list[list[bytes]], prepare: Any, batch_size: int, num_workers: int
) -> Iterator[dict[bytes, np.ndarray | Failure]]:
    """Encode all batches; memory that runs out halves what is encoded at once from then on."""
    # As a collate_fn it leaves arrays what they are: tensors would pass through shared memory.
    loader: Any = DataLoader(
        batches,  # type: ignore[arg-type]
        batch_size=None,
        num_workers=min(num_workers, len(batches)),
        collate_fn=prepare,
    )
    prepared_batches = iter(loader)
    for _ in batches:
        try:
            results: dict[bytes, Any] = next(prepared_batches)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise UserError(
                "A process that decodes inputs was killed or crashed.",
                "Say the same again: it goes on from what is done; --num_workers=0 does without.",
            ) from None
        left = [key for key, each in results.items() if not isinstance(each, Failure)]
        while left:
            some = left[:batch_size]
            try:
                results.update(zip(some, encoder.encode([results[key] for key in some])))
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
                if len(some) == 1:
                    raise UserError(
                        "Memory does not suffice to encode a single input.",
                        "Free some, or take a smaller encoder; what is done is kept.",
                    ) from None
                batch_size = max(1, len(some) // 2)
                tqdm.write(f"Memory ran out: going on with {batch_size} inputs at once.")
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
            else:
                left = left[batch_size:]
        yield results


def _is_out_of_memory(error: Exception) -> bool:
    """Say whether the memory of the machine or of the GPU is used up."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "not enough memory" in str(error)


class _Earlier:
    """The feature file of an earlier run, as far as it can be believed."""

    def __init__(self, path: Path) -> None:
        self.n_tokens: dict[bytes, int] = {}
        self._row_of: dict[bytes, int] = {}
        self._source: FeatureSource | None = None
        try:
            source = open_features(path) if path.is_file() else None
            hashes = None if source is None else read_input_hashes(source)
            if source is None or hashes is None or source.values.dtype != torch.float16:
                return
            verify_features(path)
        except UserError as error:
            tqdm.write(f"Nothing of the old file is used. {error.what}")
            return
        mask = (
            torch.ones(source.values.shape[:2]) if source.token_mask is None else source.token_mask
        )
        self._source, self._hashes = source, [row.tobytes() for row in hashes]
        for row, (key, n_tokens) in enumerate(zip(self._hashes, mask.sum(1).int().tolist())):
            if n_tokens:
                self.n_tokens[key], self._row_of[key] = n_tokens, row

    def take(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Read the vectors of those inputs that it has, padded."""
        known = [key for key in keys if key in self._row_of]
        if self._source is None or not known:
            return {}
        return dict(zip(known, self._source.take([self._row_of[key] for key in known])))

    def is_of(self, item_tokens: np.ndarray, hashes: list[bytes], info: FeatureInfo) -> bool:
        """Whether the file is already what is to be written."""
        if self._source is None or self._hashes != hashes or self._source.info != info:
            return False
        return self._source.item_tokens.tolist() == item_tokens.tolist()


def _rows(
    item_tokens: np.ndarray,
    hashes: list[bytes],
    n_tokens: np.ndarray,
    info: FeatureInfo,
    journal: Journal,
    earlier: _Earlier,
) -> Rows:
    """Take the vectors from where they are, padded to the longest."""

    def read(keys: list[bytes]) -> list[np.ndarray]:
        of_old = earlier.take(keys)
        return [of_old[key] if key in of_old else journal.read(key) for key in keys]

    longest, dim = int(n_tokens.max()), read(hashes[:1])[0].shape[1]

    def chunks() -> Iterator[np.ndarray]:
        step = rows_at_once(2 * longest * dim)
        for begin in range(0, len(hashes), step):
            keys = hashes[begin : begin + step]
            chunk = np.zeros((len(keys), longest, dim), dtype=np.float16)
            for into, vectors, n_real in zip(chunk, read(keys), n_tokens[begin:]):
                into[:n_real] = vectors[:n_real]
            yield chunk

    mask = np.arange(longest) < n_tokens[:, None]
    shape, dtype = (len(hashes), longest, dim), np.dtype(np.float16)
    return Rows(item_tokens, shape, dtype, info, chunks, None if mask.all() else mask)


def _table(inputs: Inputs, reasons: Mapping[int, str]) -> str:
    table = pd.DataFrame(
        {
            "item_id": inputs.item_tokens[[*reasons]],
            "status": ["failed" if reason else "missing" for reason in reasons.values()],
            "input": [inputs.place(row) for row in reasons],
            "reason": [reason or "has no input" for reason in reasons.values()],
        }
    )
    return table.to_csv(sep="\t", index=False, lineterminator="\n")
