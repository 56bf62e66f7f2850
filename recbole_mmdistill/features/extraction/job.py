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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ...errors import UserError
from ...files import write_text
from ..pictures import UnreadablePicture
from ..source import FeatureInfo, FeatureSource, Rows, rows_at_once
from ..store import open_features, read_input_hashes, verify_features, write_rows
from .encoder import Encoder, Failure
from .inputs import Inputs
from .journal import Journal, Outcome

_SCAN_ROWS = 256


class Summary(NamedTuple):
    """What became of the items.

    Attributes
    ----------
    items : int
        All.
    done : int
        Those that have features now.
    encoded, kept : int
        Of the inputs, each different one counted once: encoded by this run; taken from an earlier
        one, finished or killed.
    missing, failed : int
        Items without an input, and with one that is of no use.
    unused : int
        Inputs of no item.
    output, report : pathlib.Path
        The feature file, and the table of items that lack features.
    """

    items: int
    done: int
    encoded: int
    kept: int
    missing: int
    failed: int
    unused: int
    output: Path
    report: Path


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
    modality : str
        Its name.
    inputs : Inputs
        Of the items.
    encoder : Encoder
        What encodes them.
    output : pathlib.Path
        The feature file. Beside it stand, while the job runs, its journal
        ``.<name>.partial`` and, when it has ended, the table ``.report.tsv`` of the items without
        features.
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
    info = FeatureInfo(
        modality=modality,
        encoder=encoder.name,
        weights_hash=encoder.weights_hash,
        pooling=encoder.pooling,
        preprocessing="; ".join(
            [inputs.treatment, encoder.preprocessing]
            + ["each vector divided by its length"] * encoder.normalize
        ),
        source_fields=inputs.source_fields,
    )
    with Journal(output.with_name(f".{output.name}.partial")) as journal:
        earlier = _Earlier(output)
        found = _scan(inputs, encoder)
        outcomes: dict[bytes, Outcome] = {
            key: earlier.n_tokens(key) for key in found.row_of if key in earlier.row_of
        }
        plan = [key for key in found.row_of if key not in outcomes]
        if encoder.by_length:
            # The longest first: if memory does not suffice, it shows at once.
            plan.sort(key=lambda key: (-found.lengths[key], key))
        wanted = set(plan)
        outcomes.update(item for item in journal.outcomes() if item[0] in wanted)
        kept = sum(not isinstance(outcome, Failure) for outcome in outcomes.values())
        batches = [
            [key for key in plan[first : first + batch_size] if key not in outcomes]
            for first in range(0, len(plan), batch_size)
        ]
        n_new = sum(map(len, batches))
        if n_new:
            prepared = _Prepared(inputs, encoder, found.row_of, list(filter(None, batches)))
            done, title = len(plan) - n_new, f"Encode {modality}"
            with tqdm(total=len(plan), initial=done, desc=title, dynamic_ncols=True) as progress:
                for keys, results in _encode(prepared, encoder, batch_size, num_workers):
                    outcomes.update(zip(keys, journal.append(keys, results)))
                    progress.update(len(keys))
        summary = _finish(inputs, info, output, found, outcomes, journal, earlier)
        journal.remove()
    encoded = len(outcomes) - kept - sum(isinstance(o, Failure) for o in outcomes.values())
    return summary._replace(encoded=encoded, kept=kept)


@dataclass
class _Found:
    """What a look at all inputs finds."""

    key_of: list[bytes | None] = field(default_factory=list)  # the hash of each item's input
    row_of: dict[bytes, int] = field(default_factory=dict)  # the first row with the input of a hash
    lengths: dict[bytes, int] = field(default_factory=dict)  # if the encoder wants them
    problems: dict[int, str] = field(default_factory=dict)  # why a row's input could not be read


def _scan(inputs: Inputs, encoder: Encoder) -> _Found:
    found = _Found()
    fresh: list[tuple[bytes, bytes]] = []

    def measure() -> None:
        lengths = encoder.lengths([data for _, data in fresh])
        found.lengths.update((key, length) for (key, _), length in zip(fresh, lengths))
        fresh.clear()

    for row in tqdm(range(len(inputs.item_tokens)), desc="Read inputs", delay=1, leave=False):
        try:
            data = inputs.read(row)
        except UnreadablePicture as error:
            found.problems[row] = str(error)
            data = None
        key = None if data is None else encoder.input_hash(data)
        found.key_of.append(key)
        if data is None or key is None or key in found.row_of:
            continue
        found.row_of[key] = row
        if encoder.by_length:
            fresh.append((key, data))
            if len(fresh) == _SCAN_ROWS:
                measure()
    if fresh:
        measure()
    encoder.check_inputs()
    return found


class _Prepared(Dataset[Any]):
    """Batches of inputs, read and prepared: what a worker process does, and all it holds."""

    def __init__(
        self, inputs: Inputs, encoder: Encoder, row_of: dict[bytes, int], batches: list[list[bytes]]
    ) -> None:
        self._inputs = inputs
        self._prepare = encoder.prepare
        self._hash = encoder.input_hash
        self._row_of = row_of
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> list[Any]:
        """Prepare a batch: the encoder's inputs, or a Failure, in the order of the hashes."""
        data = [self._read(key) for key in self.batches[index]]
        prepared = iter(self._prepare([d for d in data if not isinstance(d, Failure)]))
        return [d if isinstance(d, Failure) else next(prepared) for d in data]

    def _read(self, key: bytes) -> bytes | Failure:
        try:
            data = self._inputs.read(self._row_of[key])
        except UnreadablePicture:
            data = None
        if data is None or self._hash(data) != key:
            return Failure("changed while it was being read")
        return data


def _encode(
    dataset: _Prepared, encoder: Encoder, batch_size: int, num_workers: int
) -> Iterator[tuple[list[bytes], list[np.ndarray | Failure]]]:
    """Encode all batches; memory that runs out halves what is encoded at once from then on."""
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=min(num_workers, len(dataset)),
        collate_fn=_as_it_is,
    )
    at_once = batch_size
    for keys, prepared in zip(dataset.batches, _or_say_who_died(loader)):
        good = [each for each in prepared if not isinstance(each, Failure)]
        vectors: list[np.ndarray | Failure] = []
        while len(vectors) < len(good):
            part = good[len(vectors) : len(vectors) + at_once]
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
                at_once = max(1, len(part) // 2)
                tqdm.write(f"Memory ran out: going on with {at_once} inputs at once.")
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
        of_good = iter(vectors)
        yield keys, [e if isinstance(e, Failure) else next(of_good) for e in prepared]


def _as_it_is(batch: Any) -> Any:
    """Leave arrays what they are: as tensors they would pass through shared memory, often small."""
    return batch


def _or_say_who_died(loader: DataLoader[Any]) -> Iterator[Any]:
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            "A process that decodes inputs was killed or crashed.",
            "Say the same again: it goes on from what is done; --num_workers=0 does without them.",
        ) from None


def _is_out_of_memory(error: Exception) -> bool:
    """Say whether the memory of the machine or of the GPU is used up."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "not enough memory" in str(error)


class _Earlier:
    """The feature file of an earlier run, as far as it can be believed."""

    def __init__(self, path: Path) -> None:
        self.row_of: dict[bytes, int] = {}
        self.hashes: list[bytes] = []
        self.source: FeatureSource | None = None
        if not path.is_file():
            return
        try:
            verify_features(path)
            source = open_features(path)
            hashes = read_input_hashes(source)
        except UserError as error:
            tqdm.write(f"Nothing of the old file is used. {error.what}")
            return
        if hashes is None or source.values.dtype != torch.float16:
            return
        n_rows, n_tokens, _ = source.values.shape
        mask = source.token_mask
        self._n_tokens = [n_tokens] * n_rows if mask is None else mask.sum(1).tolist()
        self.source = source
        self.hashes = [row.tobytes() for row in hashes]
        self.row_of = {key: row for row, key in enumerate(self.hashes) if self._n_tokens[row]}

    def n_tokens(self, key: bytes) -> int:
        """How many tokens an input has."""
        return self._n_tokens[self.row_of[key]]

    def is_of(self, item_tokens: np.ndarray, hashes: list[bytes], info: FeatureInfo) -> bool:
        """Whether the file is already what is to be written."""
        if self.source is None or self.hashes != hashes or self.source.info != info:
            return False
        return self.source.item_tokens.tolist() == item_tokens.tolist()


def _finish(
    inputs: Inputs,
    info: FeatureInfo,
    output: Path,
    found: _Found,
    outcomes: dict[bytes, Outcome],
    journal: Journal,
    earlier: _Earlier,
) -> Summary:
    """Put the feature file together, and the table of the items without features."""
    rows: list[int] = []
    hashes: list[bytes] = []
    lacking: list[tuple[int, str, str]] = []
    for row, key in enumerate(found.key_of):
        outcome = Failure(found.problems.get(row, "")) if key is None else outcomes[key]
        if key is not None and not isinstance(outcome, Failure):
            rows.append(row)
            hashes.append(key)
        elif isinstance(outcome, Failure) and outcome.reason:
            lacking.append((row, "failed", outcome.reason))
        else:
            lacking.append((row, "missing", "has no input"))
    report = report_path(output)
    write_text(report, _table(inputs, lacking))
    failed = sum(status == "failed" for _, status, _ in lacking)
    if not rows:
        raise UserError(
            f"None of the {len(inputs.item_tokens)} items has a {info.modality} that could be "
            f"encoded ({failed} failed).",
            f"See {report}.",
        )
    item_tokens = inputs.item_tokens[rows]
    if not earlier.is_of(item_tokens, hashes, info):
        n_tokens = np.array([outcomes[key] for key in hashes])
        whole = _rows(item_tokens, hashes, n_tokens, info, journal, earlier)
        input_hashes = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), -1)
        write_rows(output, whole, input_hashes)
    return Summary(
        items=len(inputs.item_tokens),
        done=len(rows),
        encoded=0,
        kept=0,
        missing=len(lacking) - failed,
        failed=failed,
        unused=inputs.unused(),
        output=output,
        report=report,
    )


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
        old_rows = [earlier.row_of[key] for key in keys if key in earlier.row_of]
        of_old = iter(earlier.source.take(old_rows) if earlier.source and old_rows else ())
        return (next(of_old) if key in earlier.row_of else journal.read(key) for key in keys)

    (first,) = read(hashes[:1])
    longest, dim = int(n_tokens.max()), first.shape[1]

    def chunks() -> Iterator[np.ndarray]:
        step = rows_at_once(2 * longest * dim)
        for begin in range(0, len(hashes), step):
            keys = hashes[begin : begin + step]
            chunk = np.zeros((len(keys), longest, dim), dtype=np.float16)
            for into, vectors, n_real in zip(chunk, read(keys), n_tokens[begin:]):
                into[:n_real] = vectors[:n_real]
            yield chunk

    mask = np.arange(longest) < n_tokens[:, None]
    return Rows(
        item_tokens=item_tokens,
        shape=(len(hashes), longest, dim),
        dtype=np.dtype(np.float16),
        info=info,
        chunks=chunks,
        token_mask=None if mask.all() else mask,
    )


def _table(inputs: Inputs, lacking: Sequence[tuple[int, str, str]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(["item_id", "status", "input", "reason"])
    table.writerows(
        [inputs.item_tokens[row], status, inputs.place(row), reason]
        for row, status, reason in lacking
    )
    return text.getvalue()
