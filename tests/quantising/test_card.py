"""Owns the tests of quantising/card.py."""

from typing import Any

from app.domain import Scoring
from app.quantising.card import Facts, card, figures
from app.quantising.judge import Comparison, compare
from tests.quantising.test_judge import LABELS, saying

LABELLED = compare(saying(0, 1, 2, 0), saying(0, 1, 2, 1), Scoring(), LABELS, (0, 1, 2, 0))
UNLABELLED = compare(saying(0, 1, 2, 0), saying(0, 1, 2, 1), Scoring(), LABELS, None)


def facts(comparison: Comparison, **changes: Any) -> Facts:
    values: dict[str, Any] = {
        "recipe": "bias",
        "calibration_images": 300,
        "images": "photographs",
        "comparison": comparison,
        "refused": (("plain", "agreement is 75.00%, below 99.00%"),),
        "cpu": "a processor",
        "float_rate": 100.4,
        "int8_rate": 220.6,
        "float_bytes": 9_400_000,
        "int8_bytes": 2_450_000,
    }
    return Facts(**{**values, **changes})


def test_figures_of_known_classes() -> None:
    rows = {name: (before, after) for name, before, after in figures(facts(LABELLED))}
    assert rows["accuracy (top-1)"] == ("100.00%", "75.00%")
    assert rows["found of `cat`, which lost most"] == ("100.0%", "50.0%")
    assert rows["same best class"] == ("", "75.00%")
    assert rows["images/s"] == ("100", "221")
    assert rows["weights"] == ("9.4 MB", "2.5 MB") or rows["weights"] == ("9.4 MB", "2.4 MB")
    assert "calibration error" in rows


def test_figures_without_classes_are_of_agreement() -> None:
    assert [name for name, _, _ in figures(facts(UNLABELLED))] == ["same best class", "images/s", "weights"]


def test_the_card_says_how_it_came_about() -> None:
    text = card("vit.test", facts(UNLABELLED))
    for words in (
        "# vit.test in int8\n",
        'recipe "bias", ranges from 300 images of photographs; judged on 4 others of it. Rates on a processor.',
        "| | float32 | int8 |\n| --- | --- | --- |\n| same best class |  | 75.00% |",
        'Recipe "plain" was tried before and left: agreement is 75.00%, below 99.00%.',
    ):
        assert words in text
    assert text.endswith(".\n")


def test_what_was_not_refused_is_not_mentioned() -> None:
    text = card("vit.test", facts(LABELLED, refused=()))
    assert "tried before" not in text
    assert text.endswith("|\n")


def test_what_agrees_is_said_of_scores_that_stand_alone() -> None:
    told = figures(facts(compare(saying(0, 1), saying(0, 2), Scoring("sigmoid"), LABELS, None)))
    assert told[0] == ("no score moved by more than 0.1", "", "50.00%")
