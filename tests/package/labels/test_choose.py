from typing import Any

import pytest

from app.package.labels.choose import choose_labels
from app.package.labels.imagenet import LabelSet, imagenet_labels, imagenet_name

ONE_K = imagenet_labels(1000) or LabelSet(())
LEMMAS = [imagenet_name(id) for id in ONE_K.ids]


@pytest.mark.parametrize(
    "config",
    [
        {"label_names": ["a", "b", "c"]},
        {"label_names": {"2": "c", "0": "a", "1": "b"}},
        {"pretrained_cfg": {"label_names": ["a", "b", "c"]}},
        {"labels": ["a", "b", "c"]},
        {"id2label": {"0": "a", "2": "c", "1": "b"}},
        {"id2label": {0: "a", 1: "b", 2: "c"}, "label2id": {"a": 2, "b": 2, "c": 2}},
    ],
)
def test_the_checkpoints_own_names_go_first(config: dict[str, Any]) -> None:
    assert choose_labels(config, 3) == LabelSet(("a", "b", "c"))


def test_the_tutorials_file() -> None:
    assert choose_labels({}, 2, {"1": "tulip", "0": "daisy"}) == LabelSet(("daisy", "tulip"))


def test_without_names_the_count_decides() -> None:
    assert choose_labels({}, 1000) == ONE_K
    assert choose_labels({}, 21841) == imagenet_labels(21841)
    assert choose_labels({}, 3) == LabelSet(("class_0", "class_1", "class_2"))


def test_placeholders_are_no_names() -> None:
    assert choose_labels({"id2label": {str(i): f"LABEL_{i}" for i in range(1000)}}, 1000) == ONE_K
    assert choose_labels({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, 2).names == ("class_0", "class_1")


def test_imagenets_lemmas_keep_their_words_get_their_ids_and_are_told_apart() -> None:
    labels = choose_labels({"id2label": {str(i): text for i, text in enumerate(LEMMAS)}}, 1000)
    assert labels.ids == ONE_K.ids
    assert labels.names[0] == "tench, Tinca tinca"
    assert (labels.names[134], labels.names[517]) == ("crane (bird)", "crane (machine)")
    assert len(set(labels.names)) == 1000


def test_a_thousand_other_classes_get_no_ids() -> None:
    names = [f"part {i}" for i in range(1000)]
    assert choose_labels({"label_names": names}, 1000) == LabelSet(tuple(names))


def test_names_that_are_wordnet_ids_are_shown_in_words() -> None:
    ids = ["n02084071", "n02121620"]
    described = {"label_names": ids, "label_descriptions": {ids[0]: "dog"}}
    assert choose_labels(described, 2) == LabelSet(("dog", "cat, true cat"), tuple(ids))


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"label_names": ["a"]}, "1 label_names"),
        ({"label_names": 3}, "label_names"),
        ({"id2label": {"0": "a"}}, "class 1"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "3 id2label"),
        ({"id2label": {"0": "a", "one": "b"}}, "class 1"),
        ({"label_names": ["n02084071", "n02121620"], "label_descriptions": 3}, "label_descriptions"),
        ({"pretrained_cfg": 3}, "pretrained_cfg"),
    ],
)
def test_names_that_do_not_fit_the_classes(config: dict[str, Any], word: str) -> None:
    with pytest.raises((ValueError, TypeError), match=word):
        choose_labels(config, 2)
