"""Train and test a model by name: ``python run_recbole_mm.py --model=... --dataset=...``."""

import sys

from recbole_mmdistill.cli import program

if __name__ == "__main__":
    program(["run", *sys.argv[1:]])
