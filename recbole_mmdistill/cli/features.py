"""``recbole-mm features``: look at a dataset's features, on the console and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..datasets import dataset_folder
from ..errors import UserError
from ..features.pictures import PictureFolder
from ..features.report import as_text, default_path, inspect_features, render_page
from ..files import write_text
from .arguments import Parser, add_dataset

DESCRIPTION = """\
Shows what a dataset's features cover, which are the same, and what is near what. The page it
writes shows the same with pictures; it is one file that needs no network.
"""


def build_parser() -> Parser:
    """Describe the options of the verb."""
    parser = Parser("features", description=DESCRIPTION)
    add_dataset(parser, positional=True)
    parser.add_argument(
        "--feature_path",
        type=Path,
        metavar="FOLDER",
        help="where the feature files lie (the dataset's folder, or what is shipped)",
    )
    parser.add_argument(
        "--modalities", default="", metavar="A,B", help="which ones (all that are found)"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="pictures named <item_id>.jpg (images/ in the dataset's folder)",
    )
    parser.add_argument(
        "--title_field", metavar="FIELD", help="column of the titles (title, name, ...)"
    )
    parser.add_argument(
        "--n_examples",
        type=int,
        default=8,
        metavar="N",
        help="items to show with neighbours: half the most popular, half drawn (8)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="to draw with (0)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.html",
        help="the page (<dataset>.features.html beside the features, or here if not allowed)",
    )
    return parser


def main(words: Sequence[str]) -> None:
    """Run the verb; see :func:`build_parser`."""
    given = build_parser().parse_args(words)
    if given.n_examples < 0 or given.seed < 0:
        raise UserError(
            f"--n_examples is {given.n_examples} and --seed {given.seed}.",
            "Give numbers that are not negative.",
        )
    if given.output is not None and given.output.suffix.lower() not in (".html", ".htm"):
        raise UserError(
            f"--output is {given.output}, but a page is written.", "End the name in .html."
        )
    folder = dataset_folder(given.dataset, given.data_path, ("inter", "item"))
    images = given.images or folder / "images"
    pictures = PictureFolder(images) if given.images or images.is_dir() else None
    overview = inspect_features(
        given.dataset,
        folder,
        feature_path=given.feature_path,
        modalities=[name.strip() for name in given.modalities.strip("[]").split(",") if name],
        n_examples=given.n_examples,
        seed=given.seed,
        item_field=given.ITEM_ID_FIELD,
        title_field=given.title_field,
    )
    print(as_text(overview))
    path = given.output or default_path(overview)
    write_text(path, render_page(overview, pictures))
    print(f"\nThe same with pictures: {path}")
