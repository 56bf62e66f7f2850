"""Memory does not grow with the number of items."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from recbole_mmdistill.features.conversion import convert
from tests.features.conversion.builders import HEAD

PROBE = """
import sys
from recbole_mmdistill.features.conversion import Options, convert
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
small, big, folder = sys.argv[1:]
for name in ("x.text.safetensors", "x.npy", "x.raw"):
    convert(small, f"{folder}/small-{name}", Options(ids="rows"))
before = peak()
for name in ("x.text.safetensors", "x.npy", "x.raw"):
    convert(big, f"{folder}/{name}", Options(ids="rows", zeros_are_missing=True))
convert(f"{folder}/x.text.safetensors", f"{folder}/y.text.safetensors")
print(peak() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_features(tmp_path):
    np.save(tmp_path / "small.npy", np.ones((2, 2048), dtype=np.float32))
    np.save(tmp_path / "big.npy", np.ones((16_000, 2048), dtype=np.float32))
    command = [sys.executable, "-c", PROBE, "small.npy", "big.npy", str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (tmp_path / "big.npy").stat().st_size > 131_000_000
    assert float(output.split()[-1]) < 30_000_000


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text(tmp_path):
    line = " ".join(["0.123456789"] * 500)
    with open(tmp_path / "toy.itememb", "w") as file:
        file.write(HEAD)
        file.writelines(f"{item}\t{line}\n" for item in range(5000))
    tracemalloc.start()
    try:
        convert(tmp_path / "toy.itememb", tmp_path / "toy.text.npy")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "toy.itememb").stat().st_size > 30_000_000
    assert peak < 20_000_000
