"""What is said of features, on the console and on the page alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..popularity import GROUPS, RULE
from .catalogue import COUNTED
from .modality import ModalityFeatures
from .overview import FeatureOverview

MANY_ALIKE = 0.01
N_LARGEST = 5  # groups of duplicates that are shown
N_SHOWN = 6  # items of such a group
VERDICTS = {
    True: "clearly nearer than by chance",
    False: "hardly nearer than by chance",
    None: "too few vectors to tell",
}


class Share(NamedTuple):
    """A part of a whole, as a cell of a table."""

    part: int
    whole: int

    @property
    def ratio(self) -> float:
        """From 0 to 1; 0 of nothing."""
        return self.part / self.whole if self.whole else 0.0

    def __str__(self) -> str:
        """Write it in percent: 100 % only if nothing is lacking, 0 % only if there is nothing."""
        if self.whole == 0:
            return "-"
        return f"{self.ratio if self.ratio in (0, 1) else np.clip(self.ratio, 0.001, 0.999):.1%}"


class Items(NamedTuple):
    """Items in a row, with their cosines if these are known, or why there are none."""

    label: str
    items: Sequence[int]
    cosines: Sequence[float] = ()
    lacking: str = ""


class Block(NamedTuple):
    """A title, and below it what there is to say."""

    title: str
    facts: Mapping[str, str] = {}
    table: Sequence[Sequence[str | Share]] = ()  # the first row has the headings
    sentences: Sequence[str] = ()
    rows: Sequence[Items] = ()
    example: int | None = None  # the item that the title is of


class Section(NamedTuple):
    """Blocks below a heading."""

    heading: str
    explanation: str
    blocks: list[Block]


def count(value: int, noun: str) -> str:
    """Write how many things there are."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def subtitle(overview: FeatureOverview) -> str:
    """Write how large the dataset is."""
    n_items, *_, n_interactions = overview.catalogue.count(slice(None))
    return f"{count(n_items, 'item')}, {count(n_interactions, 'interaction')}"


def sections(overview: FeatureOverview) -> list[Section]:
    """Say all there is to say of some features."""
    parts = overview.modalities
    return [
        Section("Encoders", "", [_made(name, part) for name, part in parts.items()]),
        Section("Coverage", RULE, _coverage(overview)),
        Section(
            "Norms",
            "The norm of each item's vector, which is the mean of its real tokens.",
            [_norms(overview)],
        ),
        Section(
            "Duplicates",
            "Items whose vectors are the same to the bit: the same title twice, or a placeholder "
            "picture.",
            [_duplicates(name, part) for name, part in parts.items()],
        ),
        Section(
            "Neighbours",
            "The items nearest to an item by the cosine of their vectors. By chance is how near "
            "they would be if the numbers of a vector had nothing to do with each other.",
            [_closeness(overview), *(_example(overview, item) for item in overview.examples)],
        ),
    ]


def _made(name: str, part: ModalityFeatures) -> Block:
    """Write how the features of a modality were made and are stored."""
    info, path = part.source.info, part.source.path
    n_rows, n_tokens, dim = part.source.values.shape
    dtype = str(part.source.values.dtype).removeprefix("torch.")
    facts = {
        "Encoder": info.encoder,
        "Pooling": info.pooling,
        "Preprocessing": info.preprocessing,
        "Made from": ", ".join(info.source_fields) or "unknown",
        "Values": f"{count(n_rows, 'item')}, {count(n_tokens, 'token')} x {dim} numbers, {dtype}",
        "On disk": tqdm.format_sizeof(path.stat().st_size if path else 0, "B"),
    }
    return Block(f"{name}: {path or part.source.name}", facts)


def _coverage(overview: FeatureOverview) -> list[Block]:
    """Tabulate what has features, and which items have just some modalities; say what is not."""
    wholes = overview.catalogue.count(slice(None))
    parts = [overview.catalogue.count(has) for _, has in overview.covered.items()]
    counted: list[Sequence[str | Share]] = [["", "in all", *overview.covered]]
    for name, whole, *covered in zip(COUNTED, wholes, *parts):
        label = f"  {name}" if name in GROUPS else name
        counted.append([label, f"{whole:,}", *(Share(n, whole) for n in covered)])
    names = tuple(overview.covered)
    found = dict.fromkeys([names, *((name,) for name in names), ()], 0)
    for has, n in overview.covered.value_counts().items():
        found[tuple(compress(names, has))] = n
    combined: list[Sequence[str | Share]] = [["", "items", ""]]
    for which in sorted(found, key=len, reverse=True):  # all of them first, none of them last
        label = "only " * (which not in (names, ())) + (" and ".join(which) or "none")
        combined.append([label, f"{found[which]:,}", Share(found[which], len(overview.catalogue))])
    left_out = []
    for name, part in overview.modalities.items():
        if part.n_empty:
            left_out.append(
                f"{name}: {count(part.n_empty, 'item')} of the file without a real token, which "
                "count as without features."
            )
        if n := part.unknown_items.count:
            left_out.append(f"{name}: {count(n, 'item')} of the file {part.unknown_items}")
    return [
        Block("What part has features", table=counted, sentences=left_out),
        Block("Items that have", table=combined),
    ]


def _norms(overview: FeatureOverview) -> Block:
    table: list[Sequence[str]] = [["", "minimum", "median", "maximum", "zero", "not finite"]]
    for name, part in overview.modalities.items():
        finite = part.norms[np.isfinite(part.norms)]
        values = np.quantile(finite, (0, 0.5, 1)) if len(finite) else ()
        counts = [(finite == 0).sum(), len(part.norms) - len(finite)]
        cells = [f"{value:.4g}" for value in values] or ["-"] * 3
        table.append([name, *cells, *(f"{n:,}" for n in counts)])
    return Block("Norms of vectors", table=table)


def _duplicates(name: str, part: ModalityFeatures) -> Block:
    """Say how many items share a vector, and which do in the largest groups."""
    if not part.duplicates:
        return Block(f"{name}: No two items have the same vector.")
    n_items, n_vectors = sum(map(len, part.duplicates)), len(part.duplicates)
    title = f"{name}: {count(n_items, 'item')} share {count(n_vectors, 'vector')}."
    rows = []
    for group in part.duplicates[:N_LARGEST]:
        zeros, more = ", zeros" * _is_zero(part, group), ", among them" * (len(group) > N_SHOWN)
        label = f"{count(len(group), 'item')}{zeros}{more}:"
        rows.append(Items(label, group[:N_SHOWN].tolist()))
    return Block(title + " The largest groups:" * (n_vectors > N_LARGEST), rows=rows)


def _is_zero(part: ModalityFeatures, items: np.ndarray) -> bool:
    return items[0] in part.items[part.norms == 0]


def _closeness(overview: FeatureOverview) -> Block:
    table = [["", "neighbours", "by chance", "all pairs", ""]]
    for name, part in overview.modalities.items():
        if near := part.closeness:
            cosines = (near.neighbours, near.chance, near.pairs)
            verdict = VERDICTS[near.is_beyond_chance]
            table.append([name, *(f"{value:.3f}" for value in cosines), verdict])
    return Block("Mean cosine of neighbours", table=table)


def _example(overview: FeatureOverview, item: int) -> Block:
    """Show the neighbours of an item, and say why it is shown."""
    interactions = count(int(overview.catalogue.n_interactions[item]), "interaction")
    why = f"{interactions}, {'popular' if overview.examples[item] else 'random'}"
    rows = []
    for name, part in overview.modalities.items():
        near = part.neighbours.get(item, [])
        lacking = "" if near else "no other item"
        if item not in part.neighbours:
            is_there = item in part.items
            lacking = "its vector is zero or not finite" if is_there else "no features"
        others, cosines = [other for other, _ in near], [cosine for _, cosine in near]
        rows.append(Items(f"{name} ", others, cosines, lacking))
    return Block(overview.catalogue.title(item), sentences=[why], rows=rows, example=item)


def warnings(overview: FeatureOverview) -> list[str]:
    """Say what is likely to be wrong with features, the worst first; a sentence or two each."""
    found: list[str] = []
    for name, part in overview.modalities.items():
        if part.source.info.is_untrained:
            found.insert(
                0,
                f"{name}: the encoder is UNTRAINED. Its weights are random numbers, so these "
                "features serve to try things out and for nothing else.",
            )
        if not len(part.items):
            named = ", ".join(map(repr, part.unknown_items.examples))
            of_file = f"; the file's are named {named}" if named else ""
            found.append(f"{name}: no item of the dataset has features{of_file}.")
        if n := int((~np.isfinite(part.norms)).sum()):
            vectors = f"{count(n, 'vector')} with NaN or an infinite number"
            found.append(f"{name}: {vectors}. Training refuses them.")
        if n := int((part.norms == 0).sum()):
            found.append(f"{name}: {count(n, 'vector')} of nothing but zeros.")
        for items in part.duplicates[:1]:
            if len(items) > max(2, MANY_ALIKE * len(part.items)) and not _is_zero(part, items):
                alike = f"{count(len(items), 'item')} share one vector"
                found.append(f"{name}: {alike}, as those with a placeholder do.")
        if part.closeness and part.closeness.is_beyond_chance is False:
            found.append(f"{name}: neighbours are hardly nearer than those of random vectors.")
    return found
