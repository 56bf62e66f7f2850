"""``recbole-mm doctor`` tells what works, and of what does not what to do."""

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest
import torch

from recbole_mmdistill.cli import main
from recbole_mmdistill.doctor import ABSENT, OK, WRONG
from recbole_mmdistill.integration.fixes import all_fixes
from recbole_mmdistill.version import BEHAVIOUR, __version__


def doctor(capsys):
    """Exit code, findings by name, and all of the JSON."""
    code = main(["doctor", "--json"])
    printed = json.loads(capsys.readouterr().out)
    return code, {found["name"]: found for found in printed["findings"]}, printed


def test_an_installation_that_works(capsys):
    code, found, printed = doctor(capsys)
    assert code == 0 and printed["can_train"] is True
    assert (printed["version"], printed["behaviour"]) == (__version__, BEHAVIOUR)
    assert [name for name in found if found[name]["state"] == WRONG] == []
    assert found["recbole"]["detail"] == "1.2.1 (needs ==1.2.1)"
    assert found["torch"]["detail"].startswith(torch.__version__.partition("+")[0])
    for name in ("CPU", "text encoder", "image encoder", "import", "processes", "training"):
        assert found[name]["state"] == OK
    for fix in all_fixes():
        assert found[fix.name]["state"] == (OK if fix.active else ABSENT)
    assert [*Path().iterdir()] == []


def test_it_is_printed_for_people(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"recbole-mm {__version__} (behaviour {BEHAVIOUR}) on ")
    assert [line for line in lines if line.startswith(("Packages", "Environment", "Fixes"))] == [
        "Packages",
        "Environment",
        "Fixes to RecBole 1.2.1",
    ]
    assert "  filters.parse_intervals (active): Refuse what is no interval." in lines
    # A path is never broken, so that it can be copied: it may stand alone on a longer line.
    assert [line for line in lines if len(line) > 100 and len(line.split()) > 1] == []
    assert lines[-1] == "A model can be trained here."


def test_what_training_does_not_need_may_be_missing(capsys, monkeypatch):
    version = importlib.metadata.version

    def version_without(name):
        if name in ("matplotlib", "timm"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0" if name == "duckdb" else version(name)

    monkeypatch.setattr(importlib.metadata, "version", version_without)
    monkeypatch.setitem(sys.modules, "timm", None)
    code, found, _ = doctor(capsys)
    assert code == 0
    assert found["timm"]["remedy"] == 'pip install "timm>=1.0"'
    assert found["duckdb"]["state"] == WRONG and found["duckdb"]["detail"] == "1.0, needs >=1.4"
    assert found["image encoder"]["state"] == WRONG
    assert found["image encoder"]["remedy"] == "Say `pip install timm`."
    assert found["[benchmark]"]["state"] == ABSENT
    assert found["[benchmark]"]["detail"] == "lacks matplotlib"
    assert found["[benchmark]"]["remedy"] == 'pip install "recbole-mmdistill[benchmark]"'


def test_a_folder_that_cannot_be_written_is_no_place_to_train(capsys):
    Path("log").write_text("a file")
    assert main(["doctor"]) == 2
    out, err = capsys.readouterr()
    assert "  WRONG   folder           The folder of results is log, but" in out
    assert err == "error: No model can be trained here. Do what is said of each WRONG finding.\n"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ImportError("libcudart.so.12: cannot open"), 'pip install --force-reinstall "torch"'),
        (SystemExit(3), 'pip install --force-reinstall "torch"'),
        (MemoryError(), "Take smaller batches"),
    ],
)
def test_a_library_that_is_broken_is_a_finding(capsys, monkeypatch, error, remedy):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch, "eye", fail)
    _, found, _ = doctor(capsys)
    for name in ("CPU", "bf16"):
        assert found[name]["state"] == WRONG and found[name]["remedy"].startswith(remedy)
