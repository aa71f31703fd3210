"""Owns the tests of training/card.py."""

from dataclasses import replace

import pytest
import torch

from app.training.card import CardFacts, model_card
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
        "weakest on `cat`: 66.7 %",
        "## Limits",
    ):
        assert part in card


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
