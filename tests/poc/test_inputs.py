"""A folder keeps the report of its inputs."""

from pathlib import Path

import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.intake import Reading
from recbole_mmdistill.poc import Request
from recbole_mmdistill.poc.inputs import check_inputs, inputs_of, write_inputs

OUTPUT = Path("poc")


def request(**others):
    return Request(**{"output": OUTPUT, "source": Path("orders.csv"), **others})


@pytest.fixture
def made():
    """The inputs of a report that was made."""
    for name in ("orders.csv", "others.csv"):
        Path(name).write_text("user,item\n")
    inputs = inputs_of(request())
    check_inputs(OUTPUT, inputs)
    write_inputs(OUTPUT, inputs)
    return inputs


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"budget": 60.0},
        {"language": "ja"},
        {"text_encoder": "a", "image_encoder": "b", "image_weights": Path("c")},
        {"source": Path("./orders.csv")},
    ],
)
def test_the_same_inputs_go_on(made, same):
    check_inputs(OUTPUT, inputs_of(request(**same)))


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"source": Path("others.csv")}, "ORDERS=.*orders.csv, not with .*others.csv"),
        ({"text": ("title",)}, "--text=None, not with title"),
        ({"reading": Reading(encoding="cp1252")}, "--encoding=None, not with cp1252"),
    ],
)
def test_other_inputs_are_refused(made, others, said):
    with pytest.raises(UserError, match=f"--output is poc, which was made with {said}"):
        check_inputs(OUTPUT, inputs_of(request(**others)))


def test_a_file_that_has_changed_is_another(made):
    Path("orders.csv").write_text("user,item\nu,i\n")
    with pytest.raises(UserError, match=r"made before .*orders\.csv was changed"):
        check_inputs(OUTPUT, inputs_of(request()))


@pytest.mark.parametrize("name", ["report.json", "dataset"])
def test_a_folder_of_something_else_is_not_taken_over(name):
    (OUTPUT / name).mkdir(parents=True)
    with pytest.raises(UserError, match=f"holds {name} of unknown origin"):
        check_inputs(OUTPUT, inputs_of(request()))
