"""Train and test a model by name: ``python run_recbole_mm.py --model=... --dataset=...``."""

import sys

from recbole_mmdistill.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
