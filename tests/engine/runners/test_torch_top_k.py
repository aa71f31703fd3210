from tests.engine.runners.test_torch import folded, network, pixels, runner


def test_each_image_gets_as_many_classes_as_it_asked_for() -> None:
    subject = runner(folded(network()), pixels())
    together = subject.run([0, 1, 2], [1, 7, 3], alone=False)
    assert [len(scores.scores) for scores in together] == [1, 7, 3]
    assert [len(scores.indices) for scores in together] == [1, 7, 3]
    [alone] = subject.run([0], [1], alone=False)
    assert together[0].indices == alone.indices
