"""From a budget and the time of a step to epochs."""

import pytest

from recbole_mmdistill.poc.plan import (
    CLOSING,
    ENOUGH_EPOCHS,
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
    assert make_plan(SPEEDS, 280, ORDER).left_out == ["sasrec"]
    assert make_plan(SPEEDS, 200, ORDER).left_out == ["sasrec", "all"]


def test_rather_than_many_trainings_that_none_would_finish_two_are_made():
    plan = make_plan(SPEEDS, 100, ORDER)
    assert FEWEST_EPOCHS < min(plan.epochs.values()) < ENOUGH_EPOCHS
    assert [*plan.epochs] == ["id", "text"]


def test_the_first_stage_is_always_trained():
    plan = make_plan(SPEEDS, 10, ORDER)
    assert plan.epochs == {"id": FEWEST_EPOCHS}
    assert plan.left_out == ["sasrec", "all", "image", "text"]


def test_after_the_first_round_a_stage_may_be_left_out_for_good():
    assert make_plan(SPEEDS, 10, ["text", "sasrec"], is_first=False) == Plan({}, ["sasrec", "text"])
    assert make_plan({"text": SPEEDS["text"]}, 90, ["text", "sasrec"], is_first=False).left_out == [
        "sasrec"  # its speed was not measured
    ]


def test_a_pace_knows_how_fast_the_machine_is_now():
    pace = Pace(Plan({"id": 10}, ["text"]), SPEEDS, seconds=100)
    pace.done("id", epochs=10, seconds=SPEEDS["id"].trial(10) / 4)
    assert SPEEDS["text"].times(pace.factor) == Speed(prepare=0.25, epoch=0.5, evaluation=0.125)


AFTER_TRAINING = 1 + 2 * 0.5  # seconds to load the data, and of two evaluations


def test_each_stage_has_its_part_of_the_time_that_is_left():
    pace = Pace(Plan({"id": 10, "text": 10}, []), SPEEDS, seconds=100)
    assert pace.seconds("id") == 100 / 2 - AFTER_TRAINING
    pace.done("id", epochs=10, seconds=2 * SPEEDS["id"].trial(10))  # the machine is busy
    left = 100 - 2 * SPEEDS["id"].trial(10)
    assert pace.seconds("text") == left - 2 * AFTER_TRAINING


def test_a_stage_that_still_rises_takes_the_time_of_those_after_it_and_what_is_to_spare():
    plan = Plan({"id": 10, "text": 10, "image": 10, "all": 10}, [])
    pace = Pace(plan, SPEEDS, seconds=100, spare=40, together=("id", "text"))
    assert pace.seconds("id") == 100 / 4 - AFTER_TRAINING
    assert pace.seconds("id", is_rising=True) == 140 / 2 - AFTER_TRAINING  # text gets its part
    pace.done("id", epochs=10, seconds=SPEEDS["id"].trial(10))
    left = 140 - SPEEDS["id"].trial(10)
    assert pace.seconds("text", is_rising=True) == left - AFTER_TRAINING
    pace.done("text", epochs=40, seconds=left - 10)
    assert not pace.is_worth_it("image")


def test_a_stage_that_was_left_out_gives_its_time_to_the_others():
    pace = Pace(Plan({"id": 10, "text": 10, "image": 10}, []), SPEEDS, seconds=90)
    pace.left_out("text")
    assert pace.seconds("id") == 90 / 2 - AFTER_TRAINING


def test_what_the_others_are_held_against_is_left_out_where_its_time_was_taken():
    plan = Plan({"id": 20, "text": 20, "sasrec": 14}, [])
    pace = Pace(plan, SPEEDS, seconds=150, spare=70, together=("id", "text"))
    assert pace.is_worth_it("sasrec")
    for name in ("id", "text"):
        pace.done(name, epochs=29, seconds=SPEEDS[name].trial(29))
    assert not pace.is_worth_it("sasrec")


def test_what_the_others_are_held_against_gets_no_more_than_was_planned():
    pace = Pace(Plan({"sasrec": 10}, []), SPEEDS, seconds=100, spare=40)
    assert pace.seconds("sasrec", is_rising=True) == SPEEDS["sasrec"].trial(10) - AFTER_TRAINING


@pytest.mark.parametrize(
    ("valid", "is_so"),
    [
        ([0.013, 0.018, 0.017, 0.018, 0.018], True),  # too few to tell
        ([0.1, 0.2, 0.3, 0.35, 0.4, 0.4], True),
        ([0.0492, 0.0483, 0.0559, 0.0575, 0.0606, 0.0631, 0.0611, 0.0619], True),
        ([0.1, 0.2, 0.3, 0.3, 0.3004, 0.3012], False),
        ([0.1, 0.2, 0.3, 0.3, 0.301, 0.302], True),
        ([0.1, 0.2, 0.3, 0.29, 0.28, 0.27], False),
    ],
)
def test_a_training_is_still_rising_if_its_last_epochs_brought_something(valid, is_so):
    assert still_rising(valid) == is_so
