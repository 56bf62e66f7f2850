"""``python -m recbole_mmdistill.cli`` is ``recbole-mm``."""

from . import program

if __name__ == "__main__":
    program()
