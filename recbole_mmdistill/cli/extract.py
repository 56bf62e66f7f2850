"""``recbole-mm extract``: make a feature file from a dataset's texts or images."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..datasets import dataset_folder
from ..errors import UserError
from ..features.atomic import ItemTable, interaction_files
from ..features.pictures import PictureFolder
from .arguments import Parser, add_dataset, not_negative, positive

if TYPE_CHECKING:
    from ..features.extraction import Summary, Template

EPILOG = """\
examples:
  recbole-mm extract --dataset=shop --modality=text --fields=title,brand \\
      --encoder=sentence-transformers/all-MiniLM-L6-v2
  recbole-mm extract --dataset=shop --modality=image --images=photos \\
      --encoder=vit_tiny_patch16_224 --weights=vit_tiny_patch16_224.safetensors

Killed and started again, it goes on where it was. Run again later, it encodes only the items whose
text or image is new or has changed.
"""
_OF_TEXT = ("fields", "template", "layer", "max_length")
_OF_IMAGE = ("images", "image_field", "weights", "crop_mode", "num_workers")


def build_parser() -> Parser:
    """Describe the options."""
    parser = Parser(
        "extract",
        description="Makes a feature file from the texts or images of a dataset's items.",
        epilog=EPILOG,
    )
    add_dataset(parser)
    parser.add_argument("--modality", required=True, choices=("text", "image"))
    parser.add_argument(
        "--encoder",
        required=True,
        metavar="NAME_OR_FOLDER",
        help="text: a transformers model, its folder or hub name; image: a timm model by its "
        "name, or a transformers model such as CLIP",
    )
    parser.add_argument(
        "--output", type=Path, help="the file (DATASET.MODALITY.safetensors beside the dataset)"
    )
    parser.add_argument(
        "--pooling", choices=("mean", "cls", "tokens"), help="text: mean; image: as the model's own"
    )
    parser.add_argument("--batch_size", type=positive, default=64, metavar="N", help="64")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument(
        "--precision", default="auto", help="auto (half on a GPU), float32, bfloat16, float16"
    )
    parser.add_argument(
        "--no_normalize", action="store_true", help="keep the vectors' lengths (else all are 1)"
    )
    parser.add_argument(
        "--untrained", action="store_true", help="random weights: a control, of no other use"
    )
    text = parser.add_argument_group("text")
    text.add_argument("--fields", help="columns of .item to join, e.g. title,genres")
    text.add_argument(
        "--template", help="or how to join them, e.g. '{title}[ ({year})][. {genres}]'"
    )
    text.add_argument("--layer", type=int, metavar="N", help="hidden states: -1 last, 0 first")
    text.add_argument("--max_length", type=positive, metavar="N", help="tokens that are read")
    image = parser.add_argument_group("image")
    image.add_argument(
        "--images", type=Path, metavar="FOLDER", help="of <item_id>.jpg (the dataset's images/)"
    )
    image.add_argument(
        "--image_field", metavar="FIELD", help="column of .item that names the file in the folder"
    )
    image.add_argument(
        "--weights", type=Path, metavar="FILE", help="of a timm model (else timm fetches its own)"
    )
    image.add_argument("--crop_mode", choices=("center", "squash", "border"))
    image.add_argument(
        "--num_workers",
        type=not_negative,
        metavar="N",
        help="processes that decode (half the cores)",
    )
    return parser


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    given = build_parser().parse_args(words)
    _refuse_others_options(given)
    folder = dataset_folder(given.dataset, given.data_path, ("inter", "item"))
    # Where RecBole's own dataset lies is no place to write to.
    home = Path(given.data_path) / given.dataset
    output = given.output or home / f"{given.dataset}.{given.modality}.safetensors"
    item_file = folder / f"{given.dataset}.item"
    # The libraries of encoders take seconds to import: what is wrong so far has been said by now.
    from ..features import extraction

    settings = {
        "device": given.device,
        "precision": given.precision,
        "normalize": not given.no_normalize,
        "untrained": given.untrained,
    }
    inputs: extraction.Inputs
    encoder: extraction.Encoder
    if given.modality == "text":
        table = ItemTable(item_file, given.ITEM_ID_FIELD)
        inputs = extraction.Texts(table, _template(given, table))
        encoder = extraction.TextEncoder(
            given.encoder,
            pooling=given.pooling or "mean",
            layer=-1 if given.layer is None else given.layer,
            max_length=given.max_length,
            **settings,
        )
        num_workers = 0
    else:
        table_or_none = ItemTable(item_file, given.ITEM_ID_FIELD) if item_file.is_file() else None
        inter_files = interaction_files(folder, given.dataset)
        items = extraction.all_items(table_or_none, inter_files, given.ITEM_ID_FIELD)
        pictures = PictureFolder(given.images or folder / "images")
        if given.image_field is None:
            inputs = extraction.Pictures(pictures, items)
        else:
            table = table_or_none or ItemTable(item_file)  # which says that there is none
            inputs = extraction.Pictures(pictures, items, table, given.image_field)
        encoder = extraction.image_encoder(
            given.encoder,
            weights=given.weights,
            crop_mode=given.crop_mode,
            pooling=given.pooling,
            **settings,
        )
        num_workers = _workers() if given.num_workers is None else given.num_workers
    summary = extraction.extract(
        given.modality, inputs, encoder, output, given.batch_size, num_workers
    )
    print(describe(summary, given.modality))
    if given.untrained:
        print("The encoder is untrained: these vectors are a control, and of no other use.")
    if output.parent.resolve() != folder.resolve():
        print(f"Train with it by --feature_path='{{{given.modality}: {output}}}'")


def describe(summary: Summary, modality: str) -> str:
    """Give the closing lines."""
    lines = [
        f"{modality}: {summary.done} of {summary.items} items have features "
        f"({summary.encoded} encoded, {summary.kept} kept), {summary.missing} have no {modality}, "
        f"{summary.failed} failed",
    ]
    if summary.unused:
        lines.append(f"{summary.unused} files of the folder are named after no item")
    lacking = f"; the items without features are in {summary.report}"
    lines.append(f"Wrote {summary.output}{lacking * (summary.done < summary.items)}")
    return "\n".join(lines)


def _template(given: argparse.Namespace, table: ItemTable) -> Template:
    from ..features.extraction import Template

    if (given.fields is None) == (given.template is None):
        raise UserError(
            "Neither --fields nor --template is given."
            if given.fields is None
            else "Both --fields and --template are given.",
            f"Give one of them, with names among {', '.join(table.fields)}.",
        )
    if given.template is not None:
        return Template.of_text(given.template)
    return Template.of_fields(given.fields)


def _refuse_others_options(given: argparse.Namespace) -> None:
    other, options = ("image", _OF_IMAGE) if given.modality == "text" else ("text", _OF_TEXT)
    for option in options:
        if getattr(given, option) is not None:
            raise UserError(
                f"--{option} is an option of --modality={other}, but --modality is "
                f"{given.modality}.",
                "Leave it out.",
            )


def _workers() -> int:
    return max(1, len(os.sched_getaffinity(0)) // 2)
