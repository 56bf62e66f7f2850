"""The job of making a feature file: it goes on where it was killed, and does nothing twice.

Every input has a hash of its content and of all else that its vectors depend on. What the feature
file of an earlier run holds under that hash is taken from it. The others are encoded in batches
that depend on nothing but the inputs, and written to a journal batch by batch; started again, the
job makes the same batches and leaves out those that the journal has. So the numbers do not depend
on how often it was killed, and neither does the file that is put together from them in the end.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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

    Returns
    -------
    Summary

    Raises
    ------
    UserError
        If another process makes this file, the disk is full, no item has features, or the inputs
        change meanwhile. What was encoded until then is kept.
    """
    info = info_of(modality, inputs, encoder)
    with Journal(output.with_name(f".{output.name}.partial")) as journal:
        earlier = _Earlier(output)
        keys, row_of, lengths = _scan(inputs, encoder)
        outcomes: dict[bytes, Outcome] = {
            key: earlier.n_tokens[earlier.row_of[key]] for key in row_of if key in earlier.row_of
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
        batches = list(filter(None, batches))
        if batches:
            prepare = partial(_prepared, inputs, row_of, encoder.input_hash, encoder.prepare)
            done, title = len(plan) - sum(map(len, batches)), f"Encode {modality}"
            with tqdm(total=len(plan), initial=done, desc=title, dynamic_ncols=True) as progress:
                for some, results in _encode(encoder, batches, prepare, batch_size, num_workers):
                    outcomes.update(zip(some, journal.append(some, results)))
                    progress.update(len(some))
        found = [key if isinstance(key, Failure) else outcomes[key] for key in keys]
        reasons = {row: f.reason for row, f in enumerate(found) if isinstance(f, Failure)}
        failed = sum(reason != "" for reason in reasons.values())
        report = report_path(output)
        write_text(report, _table(inputs, reasons))
        rows = [row for row in range(len(found)) if row not in reasons]
        if not rows:
            raise NothingEncoded(
                f"None of the {len(found)} items has a {modality} that could be encoded ({failed} "
                "failed).",
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
        key: bytes | Failure = Failure("")
        try:
            data = inputs.read(row)
        except UnreadablePicture as error:
            data, key = None, Failure(str(error))
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
    input_hash: Any,
    prepare: Prepare,
    keys: Sequence[bytes],
) -> list[Any]:
    """Read and prepare a batch, a Failure in the place of what cannot be; in a worker process."""
    data: list[bytes | Failure] = []
    for key in keys:
        try:
            read = inputs.read(row_of[key])
        except UnreadablePicture:
            read = None
        if read is None or input_hash(read) != key:
            data.append(Failure("changed while it was being read"))
        else:
            data.append(read)
    prepared = iter(prepare([each for each in data if not isinstance(each, Failure)]))
    return [each if isinstance(each, Failure) else next(prepared) for each in data]


def _encode(
    encoder: Encoder, batches: list[list[bytes]], prepare: Any, batch_size: int, num_workers: int
) -> Iterator[tuple[list[bytes], list[np.ndarray | Failure]]]:
    """Encode all batches; memory that runs out halves what is encoded at once from then on."""
    # As a collate_fn it leaves arrays what they are: tensors would pass through shared memory.
    loader: Any = DataLoader(
        batches,  # type: ignore[arg-type]
        batch_size=None,
        num_workers=min(num_workers, len(batches)),
        collate_fn=prepare,
    )
    prepared_batches = iter(loader)
    for keys in batches:
        try:
            prepared = next(prepared_batches)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise UserError(
                "A process that decodes inputs was killed or crashed.",
                "Say the same again: it goes on from what is done; --num_workers=0 does without.",
            ) from None
        good = [each for each in prepared if not isinstance(each, Failure)]
        vectors: list[np.ndarray | Failure] = []
        while len(vectors) < len(good):
            part = good[len(vectors) : len(vectors) + batch_size]
            try:
                vectors += encoder.encode(part)
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise UserError(
                        "Memory does not suffice to encode a single input.",
                        "Free some, or take a smaller encoder; what is done is kept.",
                    ) from None
                batch_size = max(1, len(part) // 2)
                tqdm.write(f"Memory ran out: going on with {batch_size} inputs at once.")
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
        of_good = iter(vectors)
        yield keys, [each if isinstance(each, Failure) else next(of_good) for each in prepared]


def _is_out_of_memory(error: Exception) -> bool:
    """Say whether the memory of the machine or of the GPU is used up."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "not enough memory" in str(error)


class _Earlier:
    """The feature file of an earlier run, as far as it can be believed."""

    def __init__(self, path: Path) -> None:
        self.row_of: dict[bytes, int] = {}
        self.n_tokens: list[int] = []
        self._hashes: list[bytes] = []
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
        n_rows, n_tokens, _ = source.values.shape
        mask = source.token_mask
        self.n_tokens = [n_tokens] * n_rows if mask is None else mask.sum(1).tolist()
        self._source, self._hashes = source, [row.tobytes() for row in hashes]
        self.row_of = {key: row for row, key in enumerate(self._hashes) if self.n_tokens[row]}

    def take(self, keys: Sequence[bytes]) -> Iterator[np.ndarray]:
        """Read the vectors of those inputs that it has, padded."""
        rows = [self.row_of[key] for key in keys if key in self.row_of]
        return iter(self._source.take(rows) if self._source is not None and rows else ())

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

    def read(keys: list[bytes]) -> Iterator[np.ndarray]:
        of_old = earlier.take(keys)
        return (next(of_old) if key in earlier.row_of else journal.read(key) for key in keys)

    longest, dim = int(n_tokens.max()), next(read(hashes[:1])).shape[1]

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
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(["item_id", "status", "input", "reason"])
    table.writerows(
        [
            inputs.item_tokens[row],
            "failed" if reason else "missing",
            inputs.place(row),
            reason or "has no input",
        ]
        for row, reason in reasons.items()
    )
    return text.getvalue()
