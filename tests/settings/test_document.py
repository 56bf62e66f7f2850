"""The page of all options is what the property files say."""

from pathlib import Path

from recbole_mmdistill.settings import read_options
from recbole_mmdistill.settings.document import options_page

PAGE = Path(__file__).parents[2] / "docs/options.md"


def test_the_page_is_up_to_date():
    command = "python -m recbole_mmdistill.settings.document docs/options.md"
    assert PAGE.read_text(encoding="utf-8") == options_page(), f"run `{command}`"


def test_every_option_of_the_model_has_a_line():
    section = options_page().split("\n## ")[1]
    rows = {row.split("`")[1]: row for row in section.splitlines() if row.startswith("| `")}
    for name, option in read_options("recbole_mmdistill", "model", "IDMMDistill.yaml").items():
        assert str(option.kind) in rows[name]
