"""Owns the tests of training/card.py."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from app.training.card import CardFacts, model_card
from app.training.card_quality import Beyond
from app.training.measure import OutOfScope
from app.training.report import evaluate_logits
from tests.training.pictures import RECIPE, SPEC


def facts(classes: tuple[str, ...], answers: list[int], truths: list[int]) -> CardFacts:
    logits = 3.0 * torch.nn.functional.one_hot(torch.tensor(answers), len(classes))
    return CardFacts(
        name="vit_test.pets",
        data="pets.zip",
        data_sha256="ab" * 32,
        command="vit-serve train pets.zip --out pets",
        classes=classes,
        train_images=1200,
        parameters=12_345,
        device="cpu",
        precision="float32",
        spec=SPEC,
        recipe=RECIPE,
        evaluation=evaluate_logits(logits, torch.tensor(truths)),
        changed_accuracy=0.625,
        kept=3,
    )


@pytest.fixture
def card() -> str:
    return model_card(facts(("cat", "dog"), answers=[0, 0, 1, 1, 1], truths=[0, 0, 0, 1, 1]))


def test_the_card_tells_what_a_card_must(card: str):
    for part in (
        "# vit_test.pets",
        "12,345 parameters",
        "`pets.zip` (SHA-256 `" + "ab" * 32,
        "1,205 images in 2 classes",
        "1,200 to train on, 5 held out",
        "vit-serve train pets.zip --out pets",
        "| `seed` | 7 |",
        "80.0 % of 5 validation images",
        "names), 62.5 % of the same images",
        "weakest on `cat`: 66.7 %",
        "## Limits",
    ):
        assert part in card


@pytest.mark.parametrize(
    ("changes", "cuts"),
    [({}, False), ({"crop_mode": "center"}, True), ({"crop_mode": "squash", "crop_pct": 0.9}, True)],
)
def test_the_card_tells_whether_the_crop_cuts(changes: dict[str, Any], cuts: bool):
    given = facts(("cat", "dog"), [0, 1], [0, 1])
    whole = replace(SPEC, crop_mode="squash", crop_pct=1.0)
    card = model_card(replace(given, spec=replace(whole, **changes)))
    assert ("cut off by the crop" in card) == cuts
    assert "small in the picture" in card


def test_the_accuracy_of_every_class_is_a_row(card: str):
    assert "| class | images | found | right |\n| --- | --- | --- | --- |\n| cat | 3 | 66.7 % | 100.0 % |" in card
    assert "| dog | 2 | 100.0 % | 66.7 % |" in card


def test_the_confusion_matrix_has_truth_in_rows(card: str):
    assert "|  | cat | dog |\n| --- | --- | --- |\n| cat | 2 | 1 |\n| dog | 0 | 2 |" in card


def test_of_many_classes_only_the_pairs_confused_are_listed():
    classes = tuple(f"kind {i}" for i in range(30))
    card = model_card(facts(classes, answers=[*range(30), 4, 4, 7], truths=[*range(30), 3, 3, 8]))
    assert (
        "| images | shown | answered |\n| --- | --- | --- |\n| 2 | kind 3 | kind 4 |\n| 1 | kind 8 | kind 7 |\n" in card
    )
    assert "| kind 0 | kind 1 |" not in card


def test_a_bar_in_a_class_name_does_not_break_the_table():
    card = model_card(facts(("a|b", "c"), answers=[0, 1], truths=[0, 1]))
    assert r"| a\|b | 1 | 100.0 % | 100.0 % |" in card


def test_a_folder_has_no_digest():
    assert "SHA-256" not in model_card(replace(facts(("a", "b"), [0, 1], [0, 1]), data_sha256=None))


def test_the_mean_over_classes_weighs_every_class_alike(card: str):
    assert "80.0 % of 5 validation images (top-1); mean over the classes 83.3 %." in card


def test_source_and_licence_are_told_or_said_to_be_unknown():
    plain = facts(("a", "b"), [0, 1], [0, 1])
    assert "Source and licence: not noted when it was trained" in model_card(plain)
    assert "Source and licence: Krizhevsky 2009, research use\n" in model_card(
        replace(plain, data_note="Krizhevsky 2009, research use")
    )


def test_scores_are_tabled_where_there_are_any(card: str):
    rows = [line for line in card.splitlines() if line.startswith("| 0.") or line.startswith("| 1.")]
    assert len(rows) == 1  # all five have the same score
    low, high = map(float, rows[0].strip("| ").split(" | ")[0].split(" – "))
    assert high - low == pytest.approx(1 / 15, abs=0.01)
    assert " | 5 | " in rows[0] and rows[0].endswith(" | 80.0 % |")


def test_without_a_threshold_the_card_says_why(card: str):
    assert "the package has no threshold" in card


def test_the_threshold_is_told_with_its_share_and_precision():
    sure = facts(("cat", "dog"), answers=[0] * 40, truths=[0] * 39 + [1])
    told = model_card(sure)
    assert f"at least {sure.evaluation.threshold:.4f} carries" in told
    assert "100.0 % of the validation answers reach it, of which 97.5 % are right" in told


def test_what_was_not_measured_out_of_scope_is_said(card: str):
    assert "## Images of none of the classes\n\nNot measured" in card
    assert "at times with a high score" in card


def test_answers_to_images_of_no_class_are_told():
    measured = OutOfScope(images=8, sure_share=0.25, mean_score=0.61, answers=(("dog", 6), ("cat", 2)))
    told = model_card(replace(facts(("cat", "dog"), [0, 1], [0, 1]), beyond=Beyond("others.zip", measured)))
    assert "`others.zip`: 8 images that show none of the classes; 25.0 % of them would be answered with" in told
    assert "mean score of the best class is 61.0 %" in told
    assert "| dog | 6 | 75.0 % |\n| cat | 2 | 25.0 % |\n" in told
    assert "still gets one of these names, 25.0 % of those tried with high confidence" in told


def test_of_many_answers_out_of_scope_the_most_frequent_are_told():
    answers = tuple((f"kind {i}", 30 - i) for i in range(25))
    measured = OutOfScope(sum(count for _, count in answers), None, 0.2, answers)
    told = model_card(replace(facts(("a", "b"), [0, 1], [0, 1]), beyond=Beyond("others", measured)))
    assert "no threshold that would tell the sure answers" in told
    assert "kind 19 |" in told and "kind 20 |" not in told
    assert "And 5 other classes" in told


def test_only_pictures_that_were_written_are_shown(card: str):
    names = ("log.png", "confusion.png", "reliability.png", "classes.png")
    assert "![" not in card
    told = model_card(replace(facts(("a", "b"), [0, 1], [0, 1]), pictures=names))
    assert [told.count(f"]({name})") for name in names] == [1] * 4
