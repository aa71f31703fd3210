"""Owns the tests of training/broken.py."""

from app.training.broken import BrokenFile, listing, printable, table


def files(count: int) -> list[BrokenFile]:
    return [BrokenFile("pets.zip", f"cat/{i}.png", "cut short") for i in range(count)]


def test_twenty_are_listed_and_the_rest_counted() -> None:
    assert listing(files(2)) == "  cat/0.png: cut short\n  cat/1.png: cut short"
    assert listing(files(20)).count("\n") == 19
    assert listing(files(1021)).splitlines()[-2:] == ["  cat/19.png: cut short", "  and 1,001 more"]


def test_the_table_has_all_of_them_in_three_columns() -> None:
    rows = [line.split("\t") for line in table(files(1000)).splitlines()]
    assert len(rows) == 1000
    assert rows[7] == ["pets.zip", "cat/7.png", "cut short"]


def test_a_name_can_neither_break_the_lines_nor_speak_to_the_terminal() -> None:
    name = "a\nb\tc\x1b[2Jd\udcffé.png"
    assert printable(name) == r"a\nb\tc\x1b[2Jd\udcffé.png"
    for text in (listing([BrokenFile("x", name, name)]), table([BrokenFile(name, name, name)])):
        assert text.strip().count("\n") == 0
        text.encode()
