"""``python -m recbole_mmdistill.cli`` is ``recbole-mm``."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
