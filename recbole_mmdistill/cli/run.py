"""``recbole-mm run``: any option of RecBole or of the model is an option of the command."""

from __future__ import annotations

from collections.abc import Sequence

from .. import cli
from ..launch import run_request
from ..settings import read_words

USAGE = """\
usage: recbole-mm run [--model=IDMMDistill] --dataset=NAME [options]
       python run_recbole_mm.py [--model=IDMMDistill] --dataset=NAME [options]

Trains a model of RecBole or of this package, and prints its test metrics. The whole log is in
log/MODEL/; --verbose prints it, too.

  --model=NAME            IDMMDistill (the default) or any model of RecBole, e.g. SASRec, BERT4Rec
  --dataset=NAME          ml-100k, or a folder of atomic files in --data_path
  --data_path=FOLDER      where datasets lie (default: dataset/)
  --config_files="A B"    YAML files with options, the last has the last word
  --nproc=N               processes to train with (default: 1); or start them with torchrun
  --metrics_file=FILE     write the closing table as JSON, too
  --resume=FILE           go on from a checkpoint; auto takes the newest one of the same settings
  --KEY=VALUE             any option of RecBole or of the model, e.g. --learning_rate=0.002,
                          --modalities=[text], --epochs 20

The options of IDMMDistill stand, each with its meaning, in properties/model/IDMMDistill.yaml.

examples:
  python run_recbole_mm.py --model=IDMMDistill --dataset=ml-100k
  python run_recbole_mm.py --model=SASRec --dataset=ml-100k
  python run_recbole_mm.py --dataset=shop --data_path=data --modalities=[image] --kd_weight=0
  torchrun --nproc_per_node=2 run_recbole_mm.py --dataset=ml-100k
"""


def main(words: Sequence[str]) -> None:
    """Run the verb; see :data:`USAGE`."""
    if not words or {"-h", "--help"} & set(words):
        print(USAGE)
        return
    run_request(read_words(words), verbose=cli.verbose)
