"""The version, apart from the package so that it can be read without importing RecBole."""

__version__ = "0.1.0"

# Raised whenever the same settings and seed give other numbers than before. Records carry it, and
# tests/test_golden.py fails when results change and it did not.
BEHAVIOUR = 5

# Raised to BEHAVIOUR, too, when that also changed results of RecBole's own models in a benchmark:
# by the data, the stopping, or the ranking. tests/evaluation/test_trial.py fails likewise.
SHARED_BEHAVIOUR = 1

# Likewise, when it changed results of this package's models without features, by IDs alone.
ID_BEHAVIOUR = 3
