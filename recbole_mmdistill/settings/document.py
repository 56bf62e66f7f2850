"""The page of all options, from the comments of the property files.

``python -m recbole_mmdistill.settings.document docs/options.md`` writes it anew.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import yaml

from ..files import write_text
from .schema import Option, read_options

_PAGES = (
    ("IDMMDistill", ("recbole_mmdistill", "model", "IDMMDistill.yaml")),
    ("Training and evaluation (RecBole)", ("recbole", "overall.yaml")),
    ("Data (RecBole)", ("recbole", "dataset", "sample.yaml")),
    ("The command, and what RecBole does not list", ("recbole_mmdistill", "unlisted.yaml")),
)
_INTRODUCTION = """\
# Options

Every option is a key of a YAML file (`--config_files=my.yaml`) or of the command line
(`--key=value`, `--key value`); the command line has the last word. All settings are checked
together before anything is loaded: one that does not exist, or a value that cannot be, ends with
exit code 2 and a sentence for each. The models of RecBole have options of their own, in its
`properties/model` folder; the same check knows them. A YAML file may hold options of several
models: a line says which the model does not read.

The tables of RecBole have its general defaults. A sequential model, such as `IDMMDistill`, has
others: `eval_args: {split: {LS: valid_and_test}, order: TO, mode: full}`, `repeatable: true`,
`load_col: {inter: [user_id, item_id, timestamp]}`, and no `train_neg_sample_args` where it trains
with cross entropy.

This page is made from the comments of the property files by
`python -m recbole_mmdistill.settings.document docs/options.md`.
"""


def options_page() -> str:
    """Write the page.

    Returns
    -------
    str
        Markdown.
    """
    parts = [_INTRODUCTION]
    for title, path in _PAGES:
        parts.append(f"## {title}\n")
        listed = read_options(*path).values()
        for section, options in groupby(listed, lambda option: option.section):
            parts.append("\n".join([*_heading(section), *_table(list(options))]) + "\n")
    return "\n".join(parts)


def _heading(section: str) -> Iterator[str]:
    if section:
        yield f"### {section.rstrip('.')}\n"


def _table(options: list[Option]) -> Iterator[str]:
    yield "| option | default | may be | meaning |"
    yield "|---|---|---|---|"
    for option in options:
        default = yaml.safe_dump(option.default, default_flow_style=True, width=1000)
        default = default.removesuffix("...\n").strip().replace("null", "~")
        text = re.sub(r",? in \['[^\]]*\]\.", ".", option.text)  # the choices have a column
        cells = (f"`{option.name}`", f"`{default}`", str(option.kind), text)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), options_page())
