"""The tutorial's code runs, and the pages' links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_code_of_the_tutorial_runs():
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    loss, backbone = re.findall(r"```python\n(.*?)```", text, re.S)
    *_, run = loss.strip().splitlines()
    change = "settings |= {'sequence_encoder': 'decay', 'decay_decay': 0.8}"
    code = "\n".join([loss, backbone, change, run])
    code = code.replace("ml-100k", "small").replace('"epochs": 1', "**SMALL")
    prelude = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    prelude += "from tests.integration.builders import SMALL, write_dataset\nwrite_dataset()\n"
    Path("tutorial.py").write_text(prelude + code)
    done = subprocess.run([sys.executable, "tutorial.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), link
