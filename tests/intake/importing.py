"""What the tests of the import share: the command, and the files that it wrote."""

import json
from pathlib import Path

from recbole_mmdistill.cli import main


def written(name="shop", data_path="dataset", suffix="inter"):
    """The rows of an atomic file without its header, cut at tabs."""
    text = Path(data_path, name, f"{name}.{suffix}").read_bytes().decode()
    return [tuple(line.split("\t")) for line in text.split("\n")[1:-1]]


def header(name="shop", suffix="inter"):
    return Path("dataset", name, f"{name}.{suffix}").read_text(encoding="utf-8").split("\n")[0]


def report(name="shop"):
    return json.loads(Path("dataset", name, f"{name}.import.json").read_text(encoding="utf-8"))


def imported(*words, name="shop"):
    """Import into ``dataset/shop``; the rows of interactions."""
    assert main(["import", *map(str, words), f"--dataset={name}"]) == 0
    account = report(name)
    for table in account.keys() & {"interactions", "items"}:
        dropped = sum(count["rows"] for count in account[table]["dropped"].values())
        assert account[table]["read"] == account[table]["written"] + dropped
    rows = written(name)
    assert account["interactions"]["written"] == len(rows)
    return rows


def dropped(name="shop", table="interactions"):
    return {kind: count["rows"] for kind, count in report(name)[table]["dropped"].items()}


def refused(capsys, *words):
    """The one line of a refused import, which leaves nothing behind."""
    before = sorted(Path().rglob("*"))
    assert main(["import", *map(str, words)]) == 2
    assert sorted(Path().rglob("*")) == before
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]
