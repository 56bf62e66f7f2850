"""``recbole-mm add-items``: new items for a trained model, without training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser, add_reading, positive, reading_of
from .recommend import names

EPILOG = """\
FILE is CSV, TSV, Parquet, JSON lines or an atomic .item file. Its texts and pictures are encoded as
those of the training were: by the same encoder, which the features name; another one is refused.

examples:
  recbole-mm add-items saved/IDMMDistill-....pth new.csv --images=photos/ --output=with-new.pth
  recbole-mm add-items saved/IDMMDistill-....pth new.csv --item_id=sku --text=name,brand \\
      --text_encoder=models/all-MiniLM-L6-v2 --output=with-new.pth
  recbole-mm add-items saved/IDMMDistill-....pth --remove=sold.txt --output=without-sold.pth
"""


def build_parser() -> Parser:
    """Describe the options."""
    parser = Parser(
        "add-items", description="Adds items to a trained model, or takes some away.", epilog=EPILOG
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="of IDMMDistill")
    parser.add_argument("items", metavar="FILE", type=Path, nargs="?", help="the new items")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="NEW_CHECKPOINT", help="what is written"
    )
    parser.add_argument(
        "--remove", type=Path, metavar="FILE", help="ids of items that are taken away"
    )
    parser.add_argument(
        "--new_item_weight",
        type=float,
        metavar="W",
        help="above 1 favours what training never saw (as the checkpoint says)",
    )
    columns = parser.add_argument_group("columns of FILE, by name, or by number from 1")
    columns.add_argument("--item_id", metavar="COLUMN", help="the id (told by its name)")
    columns.add_argument(
        "--text",
        type=names,
        default=(),
        metavar="COLUMNS",
        help="in the order of the fields of the training's texts (those of the same names)",
    )
    columns.add_argument("--image", metavar="COLUMN", help="file name of a picture (likewise)")
    columns.add_argument(
        "--images", type=Path, metavar="FOLDER", help="of the pictures, or of <item_id>.jpg"
    )
    made = parser.add_argument_group("vectors")
    for modality in ("text", "image"):
        made.add_argument(
            f"--{modality}_encoder",
            metavar="NAME_OR_FOLDER",
            help="where the encoder of the training's features is (by its name)",
        )
    made.add_argument("--image_weights", type=Path, metavar="FILE", help="of a timm model")
    for modality in ("text", "image"):
        made.add_argument(
            f"--{modality}_features",
            type=Path,
            metavar="FILE",
            help="ready-made vectors in place of an encoder: a feature file",
        )
    made.add_argument("--batch_size", type=positive, default=64, metavar="N", help="64")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    made.add_argument(
        "--precision", default="auto", help="auto (half on a GPU), float32, bfloat16, float16"
    )
    add_reading(parser, "FILE")
    return parser


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    given = vars(build_parser().parse_args(words))
    # torch takes seconds to import: mistakes in the words have been told by now.
    from ..serving.new_features import Encoding
    from ..serving.new_items import Request, add_items

    ready = {name: given.pop(f"{name}_features") for name in ("text", "image")}
    encoders = Encoding(
        text=given.pop("text_encoder"),
        image=given.pop("image_encoder"),
        **{key: given.pop(key) for key in ("image_weights", "batch_size", "device", "precision")},
    )
    features = {name: path for name, path in ready.items() if path is not None}
    reading = reading_of(given)
    request = Request(**given, reading=reading, features=features, encoders=encoders)
    print(add_items(request).text())
    print(f"Written: {given['output']}")
