"""Speed and memory, side by side with RecBole's own: ``python -m recbole_mmdistill.bench``."""
