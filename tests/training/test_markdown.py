"""Owns the tests of training/markdown.py."""

from app.training.markdown import percent, picture, table


def test_a_table_has_a_head_and_escaped_cells():
    assert table(("a", "b"), [(1, "x|y")]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |"


def test_shares_are_per_cent():
    assert [percent(share) for share in (0, 0.5, 0.9996, 1)] == ["0.0 %", "50.0 %", "100.0 %", "100.0 %"]


def test_a_picture_is_shown_if_it_was_written():
    assert picture("a.png", "a curve", ["a.png"]) == ["![a curve](a.png)"]
    assert picture("a.png", "a curve", ["b.png"]) == []
