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
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ...errors import UserError
from ...files import write_text
from ..pictures import UnreadablePicture
from ..source import FeatureInfo
from ..store import (
    CHUNK_BYTES,
    RowReader,
    open_features,
    read_input_hashes,
    verify_features,
    write_rows,
)
from .encoder import Encoder, is_out_of_memory
from .inputs import Inputs
from .journal import Failure, Journal, Place

_SCAN_ROWS = 256


class Kept(NamedTuple):
    """Where the vectors of an input lie in the feature file of an earlier run."""

    row: int
    n_tokens: int


Outcome = Place | Kept | Failure


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
        with closing(_Earlier(output)) as earlier:
            found = _scan(inputs, encoder)
            outcomes: dict[bytes, Outcome] = {
                key: earlier.outcomes[key] for key in found.rows_of if key in earlier.outcomes
            }
            plan = [key for key in found.rows_of if key not in outcomes]
            if encoder.by_length:
                # The longest first: if memory does not suffice, it shows at once.
                plan.sort(key=lambda key: (-found.lengths[key], key))
            wanted = set(plan)
            outcomes.update(item for item in journal.records() if item[0] in wanted)
            kept = sum(not isinstance(outcome, Failure) for outcome in outcomes.values())
            batches = [
                [key for key in plan[first : first + batch_size] if key not in outcomes]
                for first in range(0, len(plan), batch_size)
            ]
            n_new = sum(map(len, batches))
            if n_new:
                title = f"Encode {modality}"
                with tqdm(
                    total=len(plan), initial=len(plan) - n_new, desc=title, dynamic_ncols=True
                ) as progress:
                    work = _Work(inputs, encoder, found.rows_of, list(filter(None, batches)))
                    for keys, results in work.run(batch_size, num_workers):
                        outcomes.update(zip(keys, journal.append(keys, results)))
                        progress.update(len(keys))
            summary = _finish(inputs, info, output, found, outcomes, journal, earlier)
        journal.remove()
    encoded = len(outcomes) - kept - sum(isinstance(o, Failure) for o in outcomes.values())
    return summary._replace(encoded=encoded, kept=kept)


class _Found(NamedTuple):
    """What a look at all inputs finds.

    Attributes
    ----------
    key_of : list of bytes or None
        The hash of each item's input.
    rows_of : dict of bytes to int
        The first row that has the input of a hash, in the order of these rows.
    lengths : dict of bytes to int
        Of the inputs, if the encoder wants those of like length together.
    problems : dict of int to str
        Why the input of a row could not be read.
    """

    key_of: list[bytes | None]
    rows_of: dict[bytes, int]
    lengths: dict[bytes, int]
    problems: dict[int, str]


def _scan(inputs: Inputs, encoder: Encoder) -> _Found:
    found = _Found([], {}, {}, {})
    fresh: list[tuple[bytes, bytes]] = []

    def measure() -> None:
        lengths = encoder.lengths([data for _, data in fresh])
        found.lengths.update((key, length) for (key, _), length in zip(fresh, lengths))
        fresh.clear()

    rows = range(len(inputs.item_tokens))
    for row in tqdm(rows, desc="Read inputs", delay=1, leave=False):
        try:
            data = inputs.read(row)
        except UnreadablePicture as error:
            found.problems[row] = str(error)
            data = None
        key = None if data is None else encoder.input_hash(data)
        found.key_of.append(key)
        if data is None or key is None or key in found.rows_of:
            continue
        found.rows_of[key] = row
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
        self, inputs: Inputs, encoder: Encoder, rows: dict[bytes, int], batches: list[list[bytes]]
    ) -> None:
        self._inputs = inputs
        self._prepare = encoder.prepare
        self._hash = encoder.input_hash
        self._rows = rows
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> list[Any]:
        """Prepare a batch: the encoder's inputs, or a Failure, in the order of the hashes."""
        keys = self._batches[index]
        data = [self._read(key) for key in keys]
        prepared = iter(self._prepare([d for d in data if not isinstance(d, Failure)]))
        return [d if isinstance(d, Failure) else next(prepared) for d in data]

    def _read(self, key: bytes) -> bytes | Failure:
        try:
            data = self._inputs.read(self._rows[key])
        except UnreadablePicture:
            data = None
        if data is None or self._hash(data) != key:
            return Failure("changed while it was being read")
        return data


class _Work:
    """The encoding of batches, the preparation of the next ones beside it."""

    def __init__(
        self, inputs: Inputs, encoder: Encoder, rows: dict[bytes, int], batches: list[list[bytes]]
    ) -> None:
        self._prepared = _Prepared(inputs, encoder, rows, batches)
        self._batches = batches
        self._encoder = encoder

    def run(
        self, batch_size: int, num_workers: int
    ) -> Iterator[tuple[list[bytes], list[np.ndarray | Failure]]]:
        """Encode all batches; memory that runs out halves what is encoded at once from then on."""
        loader = DataLoader(
            self._prepared,
            batch_size=None,
            num_workers=min(num_workers, len(self._batches)),
            collate_fn=_as_it_is,
        )
        at_once = batch_size
        for keys, prepared in zip(self._batches, _or_say_who_died(loader)):
            good = [each for each in prepared if not isinstance(each, Failure)]
            vectors: list[np.ndarray | Failure] = []
            while len(vectors) < len(good):
                part = good[len(vectors) : len(vectors) + at_once]
                try:
                    vectors += self._encoder.encode(part)
                except Exception as error:
                    if not is_out_of_memory(error):
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


class _Earlier:
    """The feature file of an earlier run, as far as it can be believed.

    Attributes
    ----------
    outcomes : dict of bytes to Kept
        What it holds, by the hash of the input.
    """

    def __init__(self, path: Path) -> None:
        self._rows: RowReader | None = None
        self.outcomes: dict[bytes, Kept] = {}
        self.item_tokens: list[str] = []
        self.info: FeatureInfo | None = None
        if not path.is_file():
            return
        try:
            hashes = read_input_hashes(path)
            if hashes is None:
                return
            verify_features(path)
            source = open_features(path)
        except UserError as error:
            tqdm.write(f"Nothing of the old file is used. {error.what}")
            return
        self._rows = RowReader(path)
        if self._rows.dtype != np.float16:
            return
        n_tokens = (
            np.full(len(hashes), self._rows.shape[1])
            if source.token_mask is None
            else source.token_mask.sum(1).numpy()
        )
        self.info = source.info
        self.item_tokens = source.item_tokens.tolist()
        self.hashes = [row.tobytes() for row in hashes]
        self.outcomes = {
            key: Kept(row, int(n)) for row, (key, n) in enumerate(zip(self.hashes, n_tokens)) if n
        }

    def close(self) -> None:
        """Close the file."""
        if self._rows is not None:
            self._rows.close()

    def read(self, kept: Kept) -> np.ndarray:
        """Read vectors: ``[n_tokens, dim]``, float16."""
        assert self._rows is not None
        return self._rows.read(kept.row)[0, : kept.n_tokens]


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
    places: list[Place | Kept] = []
    rows: list[int] = []
    lacking: list[tuple[int, str, str]] = []
    for row, key in enumerate(found.key_of):
        outcome = Failure(found.problems.get(row, "")) if key is None else outcomes[key]
        if not isinstance(outcome, Failure):
            rows.append(row)
            places.append(outcome)
        elif outcome.reason:
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
    tokens = inputs.item_tokens[rows]
    hashes = [key for key in (found.key_of[row] for row in rows) if key is not None]
    same = earlier.outcomes and earlier.hashes == hashes and earlier.info == info
    if not (same and earlier.item_tokens == tokens.tolist()):
        _write(output, places, tokens, hashes, info, journal, earlier)
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


def _write(
    output: Path,
    places: Sequence[Place | Kept],
    item_tokens: np.ndarray,
    hashes: Sequence[bytes],
    info: FeatureInfo,
    journal: Journal,
    earlier: _Earlier,
) -> None:
    def read(place: Place | Kept) -> np.ndarray:
        return journal.read(place) if isinstance(place, Place) else earlier.read(place)

    n_real = np.array([place.n_tokens for place in places])
    n_tokens, dim = int(n_real.max()), read(places[0]).shape[1]

    def chunks() -> Iterator[np.ndarray]:
        step = max(1, CHUNK_BYTES // (2 * n_tokens * dim))
        for first in range(0, len(places), step):
            some = places[first : first + step]
            chunk = np.zeros((len(some), n_tokens, dim), dtype=np.float16)
            for into, place in zip(chunk, some):
                into[: place.n_tokens] = read(place)
            yield chunk

    mask = np.arange(n_tokens) < n_real[:, None]
    write_rows(
        output,
        chunks(),
        (len(places), n_tokens, dim),
        np.float16,
        item_tokens,
        info,
        token_mask=None if mask.all() else mask,
        input_hashes=np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), -1),
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
