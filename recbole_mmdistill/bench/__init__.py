"""Speed and memory, side by side with RecBole's own: ``python -m recbole_mmdistill.bench``.

Quality is another matter: :mod:`recbole_mmdistill.evaluation`.
"""
