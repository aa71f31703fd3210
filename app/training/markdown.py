"""Owns how figures, tables and pictures are written in Markdown; does not know what they say."""

from collections.abc import Sequence


def table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A table; bars in its cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def percent(share: float | None) -> str:
    """0 … 1 → per cent with one digit after the point; a dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"


def picture(name: str, shows: str, written: Sequence[str]) -> list[str]:
    """A paragraph with the picture of that file name, or none if it is not among those written."""
    return [f"![{shows}]({name})"] if name in written else []
