"""The pages are whole: links lead somewhere, lines are short, and the code of the pages runs."""

import re
from pathlib import Path

import pytest
import yaml

from recbole_mmdistill.version import __version__
from tests import fresh
from tests.integration.builders import SMALL, write_dataset
from tests.markdown import DOCS, PAGES, README, ROOT, anchors, blocks, links, text_of

SAY_WHAT_WAS_TRAINED = """
from recbole.quick_start import load_data_and_model
newest = max(Path("saved").glob("*.pth"), key=lambda path: path.stat().st_mtime_ns)
model = load_data_and_model(str(newest))[1]
parts = model.network.item_encoder, model.network.user_encoder.encoders[0]
print(*model.branches, *model.objective.losses, *(type(part).__name__ for part in parts))
"""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_lines_are_short(page):
    lines = [line for line in text_of(page).splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > 100] == []


def test_the_readme_is_read_in_minutes():
    assert len(text_of(README).splitlines()) <= 150


def test_the_site_has_every_page():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = [page for entry in nav for page in entry.values()]
    assert sorted(named) == sorted(path.name for path in DOCS.glob("*.md"))


def test_the_home_page_names_every_other():
    assert {*links(DOCS / "index.md")} >= {path.name for path in DOCS.glob("*.md")} - {"index.md"}


def test_ci_runs_the_test_command_of_the_readme():
    (command,) = (block for block in blocks(README, "bash") if "pytest" in block)
    assert command in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_the_changelog_has_this_version():
    assert f"## [{__version__}]" in text_of(ROOT / "CHANGELOG.md")


def test_the_code_of_the_tutorial_runs():
    """A dataset, a loss, an item encoder and a backbone, all outside the package."""
    code = [*blocks(DOCS / "extending.md", "python"), SAY_WHAT_WAS_TRAINED]
    done = fresh.run("\n".join(code))
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.splitlines()[-1]
        == "id sound ce mean_ce kd combination margin SharesIDEncoder DecayEncoder"
    )


def test_the_code_of_the_readme_runs():
    write_dataset()
    (code,) = blocks(README, "python")
    quick = {**SMALL, "kd_weight": 0.5}
    code = code.replace("ml-100k", "small").replace('{"kd_weight": 0.5}', repr(quick))
    run, load = re.split(r"^(?=config, model)", code, flags=re.M)
    exec(run, names := {})
    (checkpoint,) = Path("saved").glob("IDMMDistill-*.pth")
    exec(load.replace("saved/IDMMDistill-....pth", str(checkpoint)), names)
    assert names["scores"].shape == (12, 16)
