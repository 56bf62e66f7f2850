"""The command line: verbs, and how a user's mistake ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import __version__
from .errors import UserError
from .integration.config import parse_command_line
from .run import read_request, run

USAGE = """\
usage: recbole-mm run [--model=IDMMDistill] --dataset=NAME [options]
       python run_recbole_mm.py [--model=IDMMDistill] --dataset=NAME [options]

Trains a model of RecBole or of this package, and prints its test metrics.

  --model=NAME            IDMMDistill (the default) or any model of RecBole, e.g. SASRec, BERT4Rec
  --dataset=NAME          ml-100k, or a folder of atomic files in --data_path
  --data_path=FOLDER      where datasets lie (default: dataset/)
  --config_files="A B"    YAML files with options, the last has the last word
  --nproc=N               processes to train with (default: 1)
  --metrics_file=FILE     write the closing table as JSON, too
  --KEY=VALUE             any option of RecBole or of the model, e.g. --learning_rate=0.002,
                          --modalities=[text], --epochs 20

The options of IDMMDistill stand, each with its meaning, in properties/model/IDMMDistill.yaml.

examples:
  python run_recbole_mm.py --model=IDMMDistill --dataset=ml-100k
  python run_recbole_mm.py --model=SASRec --dataset=ml-100k
  python run_recbole_mm.py --dataset=shop --data_path=data --modalities=[image] --kd_weight=0
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Words after the program's name, by default those of ``sys.argv``.

    Returns
    -------
    int
        0; 2 after a mistake of the user's, which is told in a line on stderr; 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or {"-h", "--help"} & set(words):
        print(USAGE)
        return 0
    if words == ["--version"]:
        print(f"recbole-mm {__version__}")
        return 0
    try:
        if words[0] != "run":
            raise UserError(f"There is no verb {words[0]!r}.", "Say `recbole-mm run --help`.")
        settings, rest = parse_command_line(words[1:])
        if rest:
            raise UserError(
                f"{' '.join(rest)!r} is no option with a value.", "Write options as --key=value."
            )
        run(read_request(settings))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
