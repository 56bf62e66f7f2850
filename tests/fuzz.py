"""Throw broken inputs at every reader of the package, and count the tracebacks.

``python tests/fuzz.py --inputs=100000 [--only=GLOB] [--seed=N]``; exit code 1 if there is one.
"""

from __future__ import annotations

import argparse
import fnmatch
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import recbole_mmdistill  # noqa: F401  (before RecBole)
from tests.fuzzing.runner import TARGETS, run
from tests.fuzzing.targets import MEMORY_BYTES


def main() -> int:
    """Run the fuzzer from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets (100,000)")
    parser.add_argument("--only", default="*", metavar="GLOB", help="targets, e.g. 'file.*'")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="print the targets alone")
    given = parser.parse_args()
    sys.argv = sys.argv[:1]  # RecBole's Config reads the command line
    targets = [each for name, each in TARGETS.items() if fnmatch.fnmatch(name, given.only)]
    if given.list or not targets:
        print("\n".join(TARGETS))
        return 0 if given.list else 2
    # A header that claims a terabyte must not be believed.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    failures = run(targets, given.inputs, given.seed, show_progress=True)
    for failure in failures:
        print(failure)
    print(f"{given.inputs} inputs, {sum(failure.count for failure in failures)} tracebacks")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
