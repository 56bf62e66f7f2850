"""The command that makes feature files from texts, or from images.

::

    python -m recbole_mmdistill.features.encode text --item ml-100k.item \
        --fields movie_title,release_year,class --encoder FOLDER --output ml-100k.text.safetensors
    python -m recbole_mmdistill.features.encode image --images FOLDER \
        --model vit_tiny_patch16_224 --weights vit_tiny_patch16_224.safetensors \
        --output movies.image.safetensors

Encoders are read from the local files named, never fetched, and only from safetensors files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .image import encode_images
from .text import encode_text


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m recbole_mmdistill.features.encode",
        description="Make a feature file from texts or images, with a pretrained encoder on disk.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    text = verbs.add_parser("text", help="encode columns of an .item file")
    text.add_argument("--item", type=Path, required=True, help="RecBole's .item file")
    text.add_argument("--fields", required=True, help="columns, separated by commas")
    text.add_argument("--encoder", type=Path, required=True, help="folder of a transformers model")
    text.add_argument("--encoder-name", help="name to record (default: that of the folder)")
    image = verbs.add_parser("image", help="encode a folder of images")
    image.add_argument("--images", type=Path, required=True, help="folder of <item token>.jpg")
    image.add_argument("--model", required=True, help="name of a timm model")
    image.add_argument("--weights", type=Path, required=True, help="its safetensors file")
    for verb in (text, image):
        verb.add_argument("--output", type=Path, required=True, help="feature file to write")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    given = build_parser().parse_args(arguments)
    try:
        if given.verb == "text":
            fields = given.fields.split(",")
            encode_text(given.item, fields, given.encoder, given.output, given.encoder_name)
        else:
            encode_images(given.images, given.model, given.weights, given.output)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
