"""What is told of a sample."""

import pytest

from recbole_mmdistill.poc.health import languages


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A pot for the garden, with a lid", "English"),
        ("Ein Topf für den Garten mit Deckel", "German"),
        ("Tasse grün in Größe M", "German"),
        ("Becher in Blau", "other"),
        ("Un pot pour le jardin avec couvercle", "French"),
        ("庭のための鉢", "Japanese"),
        ("花园用陶罐", "Chinese"),
        ("Горшок для сада", "Cyrillic"),
        ("XK-2000", "other"),
    ],
)
def test_a_language_is_told_by_its_script_or_its_words(text, language):
    assert languages([text]) == {language: 1.0}


def test_shares_of_languages():
    assert languages(["the pot with a lid", "the spade", "für den Garten", "", ""]) == {
        "English": pytest.approx(2 / 3),
        "German": pytest.approx(1 / 3),
    }
