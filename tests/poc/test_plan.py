"""From a budget and the time of a step to epochs."""

import pytest

from recbole_mmdistill.poc.plan import (
    CLOSING,
    FEWEST_EPOCHS,
    FIRST_ROUND,
    MOST_EPOCHS,
    Pace,
    Plan,
    Speed,
    make_plan,
)
from recbole_mmdistill.poc.stages import still_rising

ORDER = ["id", "text", "image", "all", "sasrec"]
SPEEDS = {name: Speed(prepare=1, epoch=2, evaluation=0.5) for name in ORDER}


def seconds(plan):
    return sum(SPEEDS[name].trial(epochs) for name, epochs in plan.epochs.items())


def test_a_round_takes_its_share_of_the_budget_at_most():
    plan = make_plan(SPEEDS, 900, ORDER)
    assert plan.left_out == []
    assert 0.7 * FIRST_ROUND * 900 < seconds(plan) <= FIRST_ROUND * 900 - 3 * CLOSING
    assert plan.epochs["id"] == plan.epochs["text"] == plan.epochs["image"] == plan.epochs["all"]


def test_a_large_budget_trains_no_longer_than_is_of_use():
    assert {*make_plan(SPEEDS, 1e6, ORDER).epochs.values()} == {MOST_EPOCHS}


def test_stages_are_given_up_from_the_last_on():
    assert make_plan(SPEEDS, 130, ORDER).left_out == ["sasrec"]
    assert make_plan(SPEEDS, 105, ORDER).left_out == ["sasrec", "all"]


def test_the_first_stage_is_always_trained():
    plan = make_plan(SPEEDS, 10, ORDER)
    assert plan.epochs == {"id": FEWEST_EPOCHS}
    assert plan.left_out == ["sasrec", "all", "image", "text"]


def test_after_the_first_round_a_stage_may_be_left_out_for_good():
    assert make_plan(SPEEDS, 10, ["text", "sasrec"], is_first=False) == Plan({}, ["sasrec", "text"])
    assert make_plan({"text": SPEEDS["text"]}, 60, ["text", "sasrec"], is_first=False).left_out == [
        "sasrec"  # its speed was not measured
    ]


def test_a_pace_knows_how_fast_the_machine_is_now():
    pace = Pace(Plan({"id": 10}, ["text"]), SPEEDS, seconds=100)
    pace.done("id", epochs=10, seconds=SPEEDS["id"].trial(10) / 4)
    assert SPEEDS["text"].times(pace.factor) == Speed(prepare=0.25, epoch=0.5, evaluation=0.125)


def test_each_stage_has_its_part_of_the_time_that_is_left():
    pace = Pace(Plan({"id": 10, "text": 10}, []), SPEEDS, seconds=100)
    after_training = 1 + 3 * 0.5
    assert pace.seconds("id") == 100 / 2 - after_training
    pace.done("id", epochs=10, seconds=2 * SPEEDS["id"].trial(10))  # the machine is busy
    left = 100 - 2 * SPEEDS["id"].trial(10)
    assert pace.seconds("text") == left - 2 * after_training


def test_a_stage_that_is_still_rising_has_its_part_of_what_is_to_spare():
    pace = Pace(Plan({"id": 10, "text": 10}, []), SPEEDS, seconds=100, spare=40)
    assert pace.seconds("id", is_rising=True) == pace.seconds("id") + 40 / 2
    assert pace.most_epochs("id") > pace.epochs("id") == 10
    pace.done("id", epochs=16, seconds=100 / 2 + 15)
    after = (100 / 2 + 15) / SPEEDS["id"].trial(16) * (1 + 3 * 0.5)
    assert pace.seconds("text") == pytest.approx(100 / 2 - after)
    assert pace.seconds("text", is_rising=True) == pytest.approx(100 / 2 + 25 - after)


@pytest.mark.parametrize(
    ("valid", "is_so"),
    [
        ([0.013, 0.018, 0.017, 0.018, 0.018], True),  # too few to tell
        ([0.1, 0.2, 0.3, 0.35, 0.4, 0.4], True),
        ([0.0492, 0.0483, 0.0559, 0.0575, 0.0606, 0.0631, 0.0611, 0.0619], True),
        ([0.1, 0.2, 0.3, 0.3, 0.301, 0.302], False),
        ([0.1, 0.2, 0.3, 0.29, 0.28, 0.27], False),
    ],
)
def test_a_training_is_still_rising_if_its_last_epochs_brought_something(valid, is_so):
    assert still_rising(valid) == is_so
