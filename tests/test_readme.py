"""The README's commands are those that are run."""

from pathlib import Path

from recbole_mmdistill.version import __version__

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_test_command_is_the_one_of_ci():
    *_, command = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert f"```bash\n{command}\n```" in README


def test_the_changelog_has_this_version():
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
