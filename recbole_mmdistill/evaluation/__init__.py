"""Quality, models side by side: one YAML of studies in, trials on disk, a report out.

Speed and memory are another matter: :mod:`recbole_mmdistill.bench`.
"""
