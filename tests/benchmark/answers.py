"""Owns the check that a server's answers are right before they are counted; does not measure."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from tests.benchmark.load import PATH, Target
from tests.benchmark.server import Server

_CLIENTS: Final = 16
_TOLERANCE: Final = 0.05  # bfloat16 rounds differently from one batch size to another


def check_answers(server: Server, photographs: Target) -> None:
    """Each photograph alone and all of them at once must get the same scores, complete and in descending order.

    A neighbour's answer, or a batch that changes it, fails here with AssertionError.
    """
    classes = len(server.get_json("/v1/model")["labels"])
    path = f"{PATH}?top_k={classes}"
    bodies = [file.read_bytes() for file in sorted(photographs.folder.glob("*.jpg"))[:20]]
    alone = [_scores(server.post_image(path, body), classes) for body in bodies]
    with ThreadPoolExecutor(_CLIENTS) as clients:
        answers = clients.map(lambda body: server.post_image(path, body), bodies)
        together = [_scores(answer, classes) for answer in answers]
    for number, (one, other) in enumerate(zip(alone, together, strict=True)):
        difference = max(abs(one[index] - other[index]) for index in one)
        assert difference <= _TOLERANCE, f"photograph {number}: alone and in company scores differ by {difference:.3f}"


def _scores(answer: dict[str, Any], classes: int) -> dict[int, float]:
    scores = {p["index"]: p["score"] for p in answer["predictions"]}
    values = list(scores.values())
    assert set(scores) == set(range(classes)), f"{len(scores)} classes of {classes}"
    assert values == sorted(values, reverse=True), "the scores are not in descending order"
    assert abs(sum(values) - 1) < 0.01, f"the scores add up to {sum(values)}"
    return scores
