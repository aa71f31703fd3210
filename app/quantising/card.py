"""Owns what a package says of its quantisation, for people; does not measure."""

from typing import NamedTuple

from app.quantising.judge import Comparison


class Facts(NamedTuple):
    """How an int8 graph came about and what it is worth; rates in images a second, sizes in bytes."""

    recipe: str
    calibration_images: int
    images: str  # where they came from
    comparison: Comparison
    refused: tuple[tuple[str, str], ...]  # recipes that did not hold, and why
    cpu: str
    float_rate: float
    int8_rate: float
    float_bytes: int
    int8_bytes: int


def figures(facts: Facts) -> list[tuple[str, str, str]]:
    """(what, float32, int8), ready to be printed."""
    comparison = facts.comparison
    rows = []
    if comparison.before and comparison.after:
        before, after = comparison.before, comparison.after
        rows = [
            ("accuracy (top-1)", f"{before.top1:.2%}", f"{after.top1:.2%}"),
            ("calibration error", f"{before.calibration_error:.3f}", f"{after.calibration_error:.3f}"),
        ]
        if worst := comparison.worst_class():
            rows.append((f"found of `{worst[0]}`, which lost most", f"{worst[1]:.1%}", f"{worst[2]:.1%}"))
    return [
        *rows,
        (comparison.agreed, "", f"{comparison.agreement:.2%}"),
        ("images/s", f"{facts.float_rate:.0f}", f"{facts.int8_rate:.0f}"),
        ("weights", f"{facts.float_bytes / 1e6:.1f} MB", f"{facts.int8_bytes / 1e6:.1f} MB"),
    ]


def card(name: str, facts: Facts) -> str:
    """Markdown."""
    lines = [
        f"# {name} in int8",
        "",
        f'Quantised after training by NNCF, recipe "{facts.recipe}", ranges from {facts.calibration_images} images of '
        f"{facts.images}; judged on {facts.comparison.images} others of it. Rates on {facts.cpu}.",
        "",
        "| | float32 | int8 |",
        "| --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in figures(facts)),
    ]
    if facts.refused:
        lines += ["", *(f'Recipe "{recipe}" was tried before and left: {reason}.' for recipe, reason in facts.refused)]
    return "\n".join([*lines, ""])
