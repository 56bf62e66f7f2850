"""From a checkpoint to a folder that recommends without torch and RecBole."""

from __future__ import annotations

import base64
import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..integration.trained import read_interactions
from ..version import __version__
from . import approximate
from .catalogue import write_catalogue
from .histories import Histories
from .manifest import Branch, Manifest, replacing_folder, write_manifest
from .measuring import held_out, ndcg
from .models import ScoringModel
from .reader import onnx_operators
from .recommender import Recommender
from .runtime import ENCODER, INDEX, TOKENS, Runtime, recovered
from .tables import DTYPES, FLOAT32, Table, compress

_OPSET = 20
_COMPARED = 2000  # histories by which an export is compared with its checkpoint
_K = 10
_FARTHEST = 1e-4  # that a score of a float32 export may be from the checkpoint's, relative to 1
IVF = "ivf"


@dataclass
class Request:
    """What is to be exported, and how.

    Attributes
    ----------
    checkpoint : Path
        Of the model.
    output : Path
        The folder to write.
    dtype : str
        Of the item table: float32, float16 or int8.
    branches : tuple of str
        Those that score; none: all.
    index : str or None
        ``ivf``: an approximate index beside the table.
    recall : float
        That it is built for, at 10.
    title_field : str or None
        Column of the ``.item`` file with the items' titles; by default found.
    images : Path or None
        Folder of pictures; by default ``images`` of the dataset.
    """

    checkpoint: Path
    output: Path
    dtype: str = FLOAT32
    branches: tuple[str, ...] = ()
    index: str | None = None
    recall: float = 0.99
    title_field: str | None = None
    images: Path | None = None


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    folder : Path
    manifest : Manifest
    n_titles, n_pictures : int
        Of items, to be shown.
    """

    folder: Path
    manifest: Manifest
    n_titles: int
    n_pictures: int

    def text(self) -> str:
        """Give it in a few lines."""
        made, measured = self.manifest, self.manifest.measured
        branches = ", ".join(branch.name for branch in made.branches)
        total = sum(facts["size"] for facts in made.files.values()) / 2**20
        lines = [
            f"{made.model} with {made.n_items - 1:,} items and the branches {branches}: "
            f"{total:,.1f} MiB in {made.dtype}.",
            f"To be shown: titles of {self.n_titles:,} items and pictures of {self.n_pictures:,}.",
            *["Titles: name their column of the .item file by --title_field."]
            * (not self.n_titles),
            *["Pictures: name a folder of <item_id>.jpg by --images."] * (not self.n_pictures),
            f"Compared with the checkpoint by {measured['histories']:,} histories: "
            f"{measured['overlap']:.2%} of the top 10 are the same, scores differ by at most "
            f"{measured['largest_difference']:.1e}.",
        ]
        if measured["ndcg"] is not None:
            of_checkpoint, of_export = measured["ndcg"].values()
            lines.append(
                f"NDCG@10 of users' last items: {of_checkpoint:.4f} by these branches of the "
                f"checkpoint, {of_export:.4f} by the export."
            )
        if made.index is not None:
            lines.append(f"Index: recall@10 {made.index['recall']:.2%} of exact search.")
        return "\n".join(lines)


def export(request: Request) -> Exported:
    """Write a folder that :class:`.runtime.Runtime` recommends from.

    Parameters
    ----------
    request : Request
        What is asked for.

    Returns
    -------
    Exported

    Raises
    ------
    UserError
        Something given cannot be used, or a package is missing. Then nothing is written.
    """
    if request.dtype not in DTYPES:
        raise UserError(f"--dtype is {request.dtype!r}.", f"Choose from {', '.join(DTYPES)}.")
    if not 0 < request.recall <= 1:
        raise UserError(f"--recall is {request.recall}.", "Give a share above 0, up to 1.")
    _check_packages()
    if request.index is not None:
        approximate.faiss_module()
    with replacing_folder(request.output) as folder:
        recommender = Recommender.from_checkpoint(request.checkpoint, device="cpu")
        if request.branches:
            recommender = recommender.with_sources(request.branches)
        manifest = _write(recommender, folder, request)
        n_titles, n_pictures = _write_shown(recommender, folder, request)
        manifest = write_manifest(folder, manifest)
    return Exported(request.output, manifest, n_titles, n_pictures)


def _check_packages() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ModuleNotFoundError:
            raise UserError(
                f"An export needs the package {package}, which is not installed.",
                'Say `pip install "recbole-mmdistill[export]"`.',
            ) from None


def _write(recommender: Recommender, folder: Path, request: Request) -> Manifest:
    model, scoring = recommender.model, recommender.scoring
    branches, widths = list(scoring.branches), list(scoring.widths)
    vectors = model.table(branches).float().numpy()
    arrays = {
        "weights": scoring.weights,
        "popularity": recommender.popularity.astype(np.int64),
        **_reading(model, branches, vectors, scoring.weights, widths),
    }
    if scoring.repeat_bias is not None:
        arrays["repeat_bias"] = scoring.repeat_bias
    table = compress(vectors, request.dtype)
    arrays["table"] = table.values
    if table.scales is not None:
        arrays["scales"] = table.scales
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
    tokens = json.dumps(recommender.items.tolist(), ensure_ascii=False)
    (folder / TOKENS).write_text(tokens, encoding="utf-8")
    read_width = arrays["read_vectors"].shape[1]
    _write_encoder(model, branches, read_width, folder / ENCODER)
    usual = np.array([_usual(column) for column in scoring.weights[1:].T])
    manifest = Manifest(
        model=recommender.trained.config["model"],
        package=__version__,
        n_items=len(recommender.items),
        max_length=scoring.max_length,
        branches=[Branch(*fact) for fact in zip(branches, widths, usual.tolist())],
        read_width=read_width,
        dtype=request.dtype,
        repeats=scoring.repeat_bias is not None,
    )
    write_manifest(folder, manifest)
    histories, targets = _histories(recommender)
    facts: dict[str, Any] = {"measured": _compare(recommender, folder, histories, targets, request)}
    if request.index is not None:
        states = recommender.states(histories)
        index, facts["index"] = approximate.build_index(
            Table(table.values, table.scales).part(slice(None)), states, request.recall
        )
        approximate.faiss_module().write_index(index, str(folder / INDEX))
    return Manifest(**{**vars(manifest), **facts})


def _write_shown(recommender: Recommender, folder: Path, request: Request) -> tuple[int, int]:
    """Write titles and pictures as far as the dataset has them; how many of each."""
    from .items import Items

    asked = request.title_field is not None or request.images is not None
    try:
        items = Items.of_dataset(recommender.trained, request.title_field, request.images)
    except UserError:
        if asked:
            raise
        items = Items()  # an export does not need them

    def picture(token: str) -> bytes | None:
        found = items.picture(token)
        return None if found is None else base64.b64decode(found.address.partition(",")[2])

    popular = np.argsort(-recommender.popularity, kind="stable")
    order = popular if items.has_pictures else popular[:0]
    return write_catalogue(folder, recommender.items, order, items.title, picture)


def _usual(weights: np.ndarray) -> float:
    """The weight of a branch that most items have."""
    values, counts = np.unique(weights, return_counts=True)
    return float(values[counts.argmax()])


def _reading(
    model: ScoringModel,
    branches: Sequence[str],
    table: np.ndarray,
    weights: np.ndarray,
    widths: list[int],
) -> dict[str, np.ndarray]:
    """What the user encoder reads of items, as far as it does not follow from the table."""
    read = model.read_vectors(branches).float().numpy()
    numbers = np.arange(1, len(table))
    means = np.zeros(sum(widths), dtype=np.float32)
    if read.shape[1] == table.shape[1]:
        found = recovered(table, weights, widths, means)
        known = np.isfinite(found)
        known[0] = False
        offset = np.where(known, read - np.where(known, found, 0), 0).sum(0, dtype=np.float64)
        means = (offset / known.sum(0).clip(min=1)).astype(np.float32)
        near = np.isclose(recovered(table, weights, widths, means), read, rtol=1e-5, atol=1e-5)
        numbers = numbers[~near[1:].all(1)]
    return {"means": means, "read_numbers": numbers, "read_vectors": read[numbers]}


def _write_encoder(
    model: ScoringModel, branches: Sequence[str], read_width: int, path: Path
) -> None:
    """Write what reads histories as an ONNX model, for any number and length of them."""
    longest = model.max_length
    vectors = torch.zeros(3, min(7, longest), read_width)  # small sizes are taken for constants
    length = torch.ones(len(vectors), dtype=torch.long)
    n_histories = torch.export.Dim("n_histories", min=1, max=2**20)
    seq_len = torch.export.Dim("seq_len", min=1, max=longest) if longest > 1 else None
    # It tells every operator that it does not compute beforehand.
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.reader(branches).eval(),
            (vectors, length),
            str(path),
            dynamo=True,
            verbose=False,
            external_data=False,
            opset_version=_OPSET,
            input_names=["vectors", "length"],
            output_names=["states"],
            custom_translation_table=onnx_operators(),
            dynamic_shapes={"vectors": {0: n_histories, 1: seq_len}, "length": {0: n_histories}},
        )


def _histories(recommender: Recommender) -> tuple[Histories, np.ndarray | None]:
    """Histories to compare by, without the last item of each, and these; drawn without data."""
    rng = np.random.default_rng(0)
    n_items = len(recommender.items)
    try:
        found = read_interactions(recommender.trained)
    except UserError:
        chance = recommender.popularity[1:] + 0.1
        length = rng.integers(1, recommender.scoring.max_length + 1, _COMPARED)
        item = 1 + rng.choice(n_items - 1, length.sum(), p=chance / chance.sum())
        owner = np.repeat(np.arange(_COMPARED), length)
        return Histories.of_rows(owner, item, _COMPARED), None
    return held_out(found, n_items, 1, _COMPARED)


def _compare(
    recommender: Recommender,
    folder: Path,
    histories: Histories,
    targets: np.ndarray | None,
    request: Request,
) -> dict[str, Any]:
    """How the export's recommendations differ from the checkpoint's."""
    runtime = Runtime(folder, verify=False)
    k = min(_K, len(recommender.items) - 1)
    ours, theirs = (
        each.recommend(histories, k, exclude_seen=False) for each in (recommender, runtime)
    )
    overlap = np.mean([np.isin(a, b).mean() for a, b in zip(ours.numbers, theirs.numbers)])
    largest = float(np.nanmax(np.abs(ours.scores - theirs.scores), initial=0))
    if request.dtype == FLOAT32 and largest > _FARTHEST * max(
        1, float(np.nanmax(np.abs(ours.scores)))
    ):
        raise UserError(
            f"The export gives other scores than the checkpoint, by {largest:.2g}.",
            "Report it, with the versions of torch and onnxruntime.",
        )
    of_both = None
    if targets is not None and len(targets):
        of_both = {
            "checkpoint": ndcg(ours.numbers, targets),
            "export": ndcg(theirs.numbers, targets),
        }
    return {
        "histories": len(histories),
        "overlap": round(float(overlap), 5),
        "largest_difference": largest,
        "ndcg": of_both,
    }
