"""The commands of docs/own-data.md are those that work."""

import re
import shlex
from pathlib import Path

import pytest

from recbole_mmdistill.cli.import_ import build_parser
from tests.intake.importing import imported

PAGE = (Path(__file__).parents[2] / "docs/own-data.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^recbole-mm import (.*)$", PAGE.replace("\\\n", ""), re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_is_understood(command):
    assert build_parser().parse_args(shlex.split(command)).source


def test_every_option_on_the_page_is_one():
    page = {word for word in re.findall(r"--(\w+)", PAGE)}
    others = {
        "load_col",
        "encoder",
        "modality",
        "modalities",
        "fields",
        "image_field",
        "benchmark_filename",
        "output",
    }
    assert page - others <= {*vars(build_parser().parse_args(["x"]))}


def test_the_longest_command_of_the_page():
    Path("orders.csv").write_text("customer,sku,bought_at\na,i1,2020-01-01\na,i2,2020-01-02\n")
    Path("products.csv").write_text("sku,title,description,photo\ni1,Cup,A cup,cup.jpg\n")
    Path("photos").mkdir()
    (command,) = (command for command in COMMANDS if "--images" in command)
    words = shlex.split(command.replace(".parquet", ".csv"))
    assert len(imported(*(word for word in words if not word.startswith("--dataset")))) == 2


def test_the_python_of_the_page():
    Path("orders.csv").write_text("user,item\n" + "a,b\n" * 5)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(code, {})
    assert Path("dataset/shop/shop.inter").is_file()
