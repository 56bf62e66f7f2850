"""All readers of the package, each with inputs for it.

A new one takes a few lines: what makes an input, and what reads it; files are written into the
working folder, which is empty. Whatever is raised but a UserError is a failure.
"""

from __future__ import annotations

import contextlib
import io
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from recbole_mmdistill import checkpoint
from recbole_mmdistill.atomic import AtomicFile
from recbole_mmdistill.cli import main
from recbole_mmdistill.errors import UserError
from recbole_mmdistill.evaluation.plan_file import read_plan
from recbole_mmdistill.features import align_features, open_features, read_npy, verify_features
from recbole_mmdistill.features.atomic import ItemTable, count_interactions
from recbole_mmdistill.features.convert import convert
from recbole_mmdistill.features.extraction.encoder import Failure
from recbole_mmdistill.features.extraction.journal import Journal
from recbole_mmdistill.features.formats import FORMATS, Options
from recbole_mmdistill.features.locate import check_feature_path, find_features
from recbole_mmdistill.features.pictures import UnreadablePicture, decode
from recbole_mmdistill.features.source import FeatureInfo, Rows
from recbole_mmdistill.features.store import read_input_hashes, write_rows
from recbole_mmdistill.intake import Request, import_dataset
from recbole_mmdistill.integration.loading import load
from recbole_mmdistill.settings import (
    COMMAND_LINE,
    check_settings,
    literal,
    options_of,
    parse_command_line,
    read_yaml,
)

from . import inputs
from .runner import target

MEMORY_BYTES = 8 << 30  # that the process may take, most of it addresses of libraries
VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)
IDS = "a\nb\nc\n"
TABLE = "token\trow\nb\t1\na\t0\nc\t2\n"
ITEMEMB = "itemid:token\titem_emb:float_seq\na\t1 2\nb\t\nc\t3 -4.5e3\n"
ITEM = "item_id:token\ttitle:token_seq\tyear:float\na\tA thing\t1\nb\t\t\nc\tÜber\t3\n"
INTER = "user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1\nv\tb\t2\n"


def as_bytes(array: np.ndarray) -> bytes:
    """An ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def feature_file(with_mask: bool) -> bytes:
    """A feature file of three items, and of what they were encoded from."""
    mask = np.array([[True, False], [True, True], [True, False]]) if with_mask else None
    values = np.arange(12, dtype=np.float16).reshape(3, 2, 2)
    hashes = np.zeros((3, 16), np.uint8)
    info = FeatureInfo("text", "bert", source_fields=("title",))
    path = Path("made.text.safetensors")
    tokens = np.array(["a", "b", "c"], dtype=object)
    rows = Rows(tokens, values.shape, values.dtype, info, lambda: iter([values]), mask)
    write_rows(path, rows, hashes)
    data = path.read_bytes()
    path.unlink()
    return data


def all_of(*steps: Any) -> None:
    """Take every step, whether or not those before it refuse."""
    refusal = None
    for step in steps:
        try:
            step()
        except UserError as error:
            refusal = error
    if refusal is not None:
        raise refusal


@target(
    "file.npy",
    inputs.npy(
        *(as_bytes(VALUES.astype(kind)) for kind in ("f2", "<f4", ">f4", "f8", "i8")),
        *(as_bytes(array) for array in (VALUES[:, None], np.asfortranarray(VALUES), VALUES[0])),
    ),
)
def _(data: bytes) -> None:
    Path("a.npy").write_bytes(data)
    Path("a.ids").write_text(IDS)
    all_of(
        lambda: align_features(read_npy("a.npy", "a.ids", "text"), ["[PAD]", "a", "b"]),
        lambda: convert("a.npy", "b.text.safetensors", Options(ids="rows")),
    )


def read_ids(name: str, data: bytes) -> None:
    np.save("a.npy", VALUES)
    Path(name).write_bytes(data)
    align_features(read_npy("a.npy", name, "text"), ["[PAD]", "a", "b"])


@target("file.ids", inputs.lines(IDS, TABLE, "a\t0\nb\t1\nc\t2", "\ufeffa\r\nb\r\nc"))
def _(data: bytes) -> None:
    read_ids("a.ids", data)


@target(
    "file.ids.npy",
    inputs.npy(*(as_bytes(np.array(ids)) for ids in (["a", "b", "ccc"], [1, 2, 3], [1.5, 2, 3]))),
)
def _(data: bytes) -> None:
    read_ids("ids.npy", data)


@target("file.safetensors", lambda rng: feature_files(rng))
def _(data: bytes) -> None:
    Path("a.text.safetensors").write_bytes(data)

    def read_rows() -> None:
        source = open_features("a.text.safetensors")
        assert sum(map(len, source.rows().chunks())) == len(source)

    all_of(
        lambda: align_features(open_features("a.text.safetensors"), ["[PAD]", "a", "b"]),
        lambda: verify_features("a.text.safetensors"),
        lambda: read_input_hashes(open_features("a.text.safetensors")),
        read_rows,
        lambda: convert("a.text.safetensors", "b.npy"),
        lambda: convert("a.text.safetensors", "b.itememb"),
    )


def feature_files(rng: Random) -> bytes:
    """Feature files; made when first asked for, in the folder of the run."""
    if not SAMPLES:
        SAMPLES.extend(map(feature_file, (False, True)))
    return inputs.safetensors(*SAMPLES)(rng)


SAMPLES: list[bytes] = []


@target("file.raw", lambda rng: (rng.randbytes(rng.choice((0, 1, 24, 25))), inputs.value(rng, 0)))
def _(made: tuple[bytes, Any]) -> None:
    data, dim = made
    Path("a.feat").write_bytes(data)
    dim = dim if type(dim) is int else 2
    convert("a.feat", "b.text.safetensors", Options(ids="rows", dim=dim))


@target("file.itememb", inputs.lines(ITEMEMB, ITEMEMB.replace("\n", "\r\n")))
def _(data: bytes) -> None:
    Path("a.itememb").write_bytes(data)
    convert("a.itememb", "b.text.safetensors")


@target("file.item", inputs.lines(ITEM))
def _(data: bytes) -> None:
    Path("a.item").write_bytes(data)
    table = ItemTable(Path("a.item"))
    assert len(list(table)) == len(table)


@target("file.inter", inputs.lines(INTER))
def _(data: bytes) -> None:
    Path("a.inter").write_bytes(data)
    count_interactions([Path("a.inter")])


TYPED = (
    "user_id:token\titem_id:token\ttimestamp:float\twords:token_seq\tvector:float_seq\n"
    "u\ta\t1\tof a kind\t1 2\nv\tb\t-2.5e3\t\t\n"
)


@target("file.atomic", inputs.lines(TYPED, TYPED.replace("\n", "\r\n"), "\ufeff" + TYPED))
def _(data: bytes) -> None:
    Path("a.inter").write_bytes(data)
    file = AtomicFile(Path("a.inter"))
    for block in file.blocks(40):
        for column in range(len(file.types)):
            list(block.cells(column))


ORDERS = 'customer,sku,bought_at\nu1,i1,2024-01-02\nu1,"i,2",2024-01-03T04:05:06Z\n'
JSON_LINES = '{"user": "u", "item": 1, "time": 1.5}\n{"user": "v", "item": "b", "time": 2}\n'


@target(
    "file.import",
    lambda rng: (
        rng.choice(("csv", "tsv", "json", "jsonl", "parquet", "csv.gz")),
        inputs.of(ORDERS.encode(), ORDERS.replace(",", "\t").encode(), JSON_LINES.encode())(rng),
    ),
)
def _(given: tuple[str, bytes]) -> None:
    kind, data = given
    source = Path(f"a.{kind}")
    source.write_bytes(data)
    import_dataset(Request(source, dataset="a", overwrite=True))


def saved() -> bytes:
    """A checkpoint with a little of all that one can hold."""
    path = Path("made.pth")
    checkpoint.write(
        path,
        {
            "model": "SASRec",
            "dataset": "shop",
            "options": {"epochs": 1, "topk": [5]},
            "epoch": 0,
            "cur_step": 0,
            "best_valid_score": 0.5,
            "state_dict": {"weight": torch.ones(2, 3)},
            "vocabulary": {"item_id": np.array(["[PAD]", "a"], dtype=object)},
            "files": {},
            "features": {},
        },
    )
    data = path.read_bytes()
    path.unlink()
    return data


@target("file.checkpoint", lambda rng: inputs.safetensors(saved())(rng))
def _(data: bytes) -> None:
    Path("a.pth").write_bytes(data)
    load("a.pth")


@target(
    "file.yaml", inputs.of(b"kd_weight: 0.5\ntopk: [5, 10]\neval_args: {split: {LS: x}}\n# a\n")
)
def _(data: bytes) -> None:
    Path("a.yaml").write_bytes(data)
    read_yaml("a.yaml")


PLAN = yaml.safe_load(
    (resources.files("recbole_mmdistill.properties") / "benchmark" / "movielens.yaml").read_text()
)
SMALL_PLAN = {
    "title": "x",
    "seeds": [1, 2],
    "common": {"epochs": 1},
    "datasets": {"a": {"modalities": ["text"]}, "b": None},
    "conditions": {"cold": {"cold_item_ratio": 0.1}},
    "models": {"M": {"kind": "model", "options": [{"x": 1}]}, "S": {"model": "SASRec"}},
    "studies": {"s": {"about": "x", "datasets": ["a"], "models": "M", "seeds": [3]}},
}


@target(
    "file.plan",
    lambda rng: inputs.changed(rng, PLAN if rng.random() < 0.1 else SMALL_PLAN),
)
def _(plan: Any) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        Path("a.yaml").write_text(yaml.safe_dump(plan, allow_unicode=True), encoding="utf-8")
    read_plan("a.yaml")


def journal() -> bytes:
    """A journal with vectors and a failure."""
    path = Path("made.partial")
    with Journal(path) as made:
        vectors = np.zeros((2, 3), np.float16)
        made.append([b"a" * 16, b"b" * 16, b"c" * 16], [vectors, Failure("is empty"), vectors])
    data = path.read_bytes()
    path.unlink()
    return data


@target("file.journal", lambda rng: inputs.mutated(rng, journal()))
def _(data: bytes) -> None:
    Path("a.partial").write_bytes(data)
    with Journal(Path("a.partial")) as made:
        for input_hash, outcome in list(made.outcomes()):
            if not isinstance(outcome, Failure):
                made.read(input_hash)
        made.append([b"a" * 16], [Failure("is gone")])


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((8, 8)).convert("RGB").save(file, kind)
    return file.getvalue()


@target("file.picture", inputs.of(*map(picture, ("PNG", "JPEG", "GIF", "WEBP", "BMP"))))
def _(data: bytes) -> None:
    with contextlib.suppress(UnreadablePicture):
        decode(data)


@target("text.literal", lambda rng: inputs.mutated(rng, inputs.text(rng)).decode(errors="replace"))
def _(text: str) -> None:
    literal(text)


def words_of(*samples: str) -> Any:
    """Make command lines of sound words and odd ones."""

    def make(rng: Random) -> list[str]:
        words = rng.choice(samples).split()
        for _ in range(rng.randint(0, 3)):
            at = rng.randint(0, len(words))
            odd = rng.choice((inputs.text(rng).decode(), rng.choice(words or ["--"])))
            kind = rng.randrange(3)
            words[at : at + (kind > 0)] = [] if kind == 2 else [odd]
            if words and rng.random() < 0.5:
                at = rng.randrange(len(words))
                key, equals, _ = words[at].partition("=")
                words[at] = f"{key}{equals}{odd}"
        return words

    return make


@target(
    "words.settings", words_of("--topk=[5,10] --epochs 3 --a=b=c", "--eval_args={'mode':'full'}")
)
def _(words: list[str]) -> None:
    parse_command_line(words)


@target(
    "words.verbs",
    words_of(
        "convert a.npy b.text.safetensors --ids=rows --dtype=float16 --modality=text",
        "convert a.itememb b.raw --field=item_emb --from=itememb --to=raw",
        "convert a.npy b.itememb --dim=2 --zeros_are_missing",
        "benchmark a.yaml --out=b --only s",
        "features a --feature_path=b --n_examples=2 --seed=1",
        "run --model=SASRec --dataset=nothing --config_files=a.yaml",
        "--help",
        "--version",
    ),
)
def _(words: list[str]) -> None:
    np.save("a.npy", VALUES)
    Path("a.itememb").write_text(ITEMEMB)
    Path("a.yaml").write_text("title: x\n")
    code = main(words)
    assert code in (0, 2), f"exit code {code}"


MODELS = ("IDMMDistill", "SASRec", "BPR", "DeepFM", "KD_DAGFM")


@target(
    "option.settings",
    lambda rng: (
        rng.choice(MODELS),
        {rng.choice([*options_of("IDMMDistill"), "x"]): inputs.value(rng) for _ in range(2)},
    ),
)
def _(given: tuple[str, dict[str, Any]]) -> None:
    model, settings = given
    check_settings(model, "shop", [(COMMAND_LINE, settings)])


@target("option.names", lambda rng: (inputs.value(rng, 0), inputs.value(rng, 0)))
def _(names: tuple[Any, Any]) -> None:
    check_settings(*names, [])


@target(
    "option.feature_path",
    lambda rng: rng.choice((inputs.value(rng), {"text": inputs.value(rng)}, {"text": "a.npy"})),
)
def _(given: Any) -> None:
    check_feature_path(given, ["text"])
    find_features("a", "text", Path(), given)


@target("option.convert", lambda rng: {key: inputs.value(rng, 0) for key in ("ids", "field")})
def _(given: dict[str, Any]) -> None:
    np.save("a.npy", VALUES)
    Path("a.itememb").write_text(ITEMEMB)
    text = {key: value for key, value in given.items() if isinstance(value, str)}
    all_of(
        *(
            lambda name=name: FORMATS[name].read(Path(f"a.{name}"), Options(**text))
            for name in ("npy", "itememb")
        ),
        lambda: convert("a.npy", "b.itememb", Options(ids="rows", field=text.get("field"))),
    )
