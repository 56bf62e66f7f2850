"""A few inputs of ``tests/fuzz.py``, the same ones each time."""

from tests.fuzzing.runner import TARGETS, Target, run
from tests.fuzzing.targets import MEMORY_BYTES


def test_broken_inputs_are_read_or_refused():
    assert MEMORY_BYTES > 0
    failures = run(list(TARGETS.values()), 2_000)
    assert not failures, "\n".join(map(str, failures))


def test_what_goes_wrong_is_found_and_made_small():
    def read(text):
        if "x" in text:
            raise KeyError(text)

    def make(rng):
        return rng.choice(["abc", "ab", "abcxyz" * 9])

    (failure,) = run([Target("letters", make, read)], 20)
    assert failure.input == "x"
    assert 0 < failure.count < 20
    assert "KeyError in test_fuzz.py" in str(failure)
