import pytest

from app.package.labels.imagenet import imagenet_labels, imagenet_name


@pytest.mark.parametrize(
    ("count", "first", "last"),
    [(1000, "n01440764", "n15075141"), (21843, "n00004475", "n15102894"), (21841, "n00004475", "n15102894")],
)
def test_every_class_has_its_own_name_and_the_ids_are_in_order(count: int, first: str, last: str) -> None:
    labels = imagenet_labels(count)
    assert labels is not None
    assert len(labels.names) == len(set(labels.names)) == len(labels.ids) == count
    assert list(labels.ids) == sorted(set(labels.ids))
    assert (labels.ids[0], labels.ids[-1]) == (first, last)


def test_the_two_synsets_in_which_the_21k_sets_differ() -> None:
    large, small = imagenet_labels(21843), imagenet_labels(21841)
    assert large is not None
    assert small is not None
    assert (large.ids[9205], large.names[9205].partition(",")[0]) == ("n03931044", "picture")
    assert (large.ids[15027], large.names[15027]) == ("n09859684", "bleacher")
    assert large.ids[:9205] + large.ids[9206:15027] + large.ids[15028:] == small.ids


@pytest.mark.parametrize(
    ("index", "name"),
    [(0, "tench"), (134, "crane (bird)"), (517, "crane (machine)"), (638, "maillot"), (639, "maillot, tank suit")],
)
def test_words_that_imagenet_uses_twice(index: int, name: str) -> None:
    labels = imagenet_labels(1000)
    assert labels is not None
    assert labels.names[index] == name


def test_no_other_count_is_imagenets() -> None:
    assert imagenet_labels(10) is imagenet_labels(21842) is None


def test_a_synset_by_its_id() -> None:
    assert imagenet_name("n01440764") == "tench, Tinca tinca"
    assert imagenet_name("n04399382") == "teddy, teddy bear"  # of the 1000 the one that is not among the 21,843
    assert imagenet_name("n00000000") == "n00000000"
