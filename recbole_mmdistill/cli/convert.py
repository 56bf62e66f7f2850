"""``recbole-mm convert``: features of other tools into feature files, and back."""

from __future__ import annotations

from collections.abc import Sequence

from ..features.convert import Conversion, convert
from ..features.formats import DEFAULT_DIM, FORMATS, ROWS, Options
from .arguments import Parser

EPILOG = """\
formats:
  safetensors  <dataset>.<modality>.safetensors   the feature file of this package
  npy          *.npy and *.ids                    an array, one row an item (MMRec)
  itememb      <dataset>.itememb                  RecBole's additional feature file
  raw          <dataset>.feat1CLS                 nothing but float32 numbers (UniSRec)

An ids file names the item of each row: one token a line, or a token, a tab and a row number on
each, or a .npy of strings or integers. It is <name>.ids beside <name>.npy, and beside any other
file the whole name with .ids behind.

examples:
  recbole-mm convert image_feat.npy baby.image.safetensors --ids=rows
  recbole-mm convert image_feat.npy baby.image.safetensors --ids=i_id_mapping.csv
  recbole-mm convert Scientific.feat1CLS Scientific.text.safetensors --ids=rows
  recbole-mm convert ml-100k.itememb ml-100k.text.safetensors --dtype=float16
  recbole-mm convert ml-100k.text.safetensors ml-100k.text.npy
  recbole-mm convert ml-100k.text.safetensors ml-100k.itememb
"""


def build_parser() -> Parser:
    """Describe the options of the verb."""
    parser = Parser(
        "convert",
        description="Converts item features between formats; any source to any destination.",
        epilog=EPILOG,
    )
    parser.add_argument("source", metavar="SOURCE", help="file to read")
    parser.add_argument("destination", metavar="DESTINATION", help="file to write, or to replace")
    formats = ", ".join(FORMATS)
    parser.add_argument(
        "--from", dest="source_format", metavar="FORMAT", help=f"{formats} (by SOURCE's suffix)"
    )
    parser.add_argument(
        "--to", dest="destination_format", metavar="FORMAT", help="same (by DESTINATION's suffix)"
    )
    parser.add_argument(
        "--ids", metavar="FILE", help=f"item of each row; {ROWS}: row i is item i, from 0"
    )
    parser.add_argument(
        "--dim", type=int, help=f"numbers of a vector in a raw SOURCE ({DEFAULT_DIM})"
    )
    parser.add_argument("--field", help="column of the vectors in .itememb (the first float_seq)")
    parser.add_argument("--modality", metavar="NAME", help="to record (by the files' names)")
    parser.add_argument("--encoder", metavar="NAME", help="to record in a .safetensors")
    parser.add_argument("--dtype", help="float16 or float32, of DESTINATION (as SOURCE)")
    parser.add_argument(
        "--zeros_are_missing", action="store_true", help="leave out items whose numbers are all 0"
    )
    return parser


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    given = vars(build_parser().parse_args(words))
    source, destination = given.pop("source"), given.pop("destination")
    formats = (given.pop("source_format"), given.pop("destination_format"))
    done = convert(source, destination, Options(**given), *formats)
    print(summary(source, destination, done))


def summary(source: str, destination: str, done: Conversion) -> str:
    """Say in a line what was read, what it held and where it was written.

    Parameters
    ----------
    source, destination : str
        The paths.
    done : Conversion
        What was done.
    """
    n_items, n_tokens, dim = done.shape
    line = f"{source}: {n_items} items, {n_tokens} x {dim} {done.dtype}, written to {destination}"
    if done.n_left_out:
        line += f"; {done.n_left_out} without a vector left out"
    if done.n_filled:
        line += f"; {done.n_filled} more rows are zeros, of items without features"
    return line
