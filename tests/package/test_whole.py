"""Owns the tests of package/whole.py."""

from pathlib import Path

import pytest

from app.package.whole import written_whole


def test_what_ends_well_is_there_and_nothing_beside(tmp_path: Path):
    with written_whole(tmp_path / "new" / "made") as draft:
        draft.mkdir()
        (draft / "part").write_text("whole")
        assert not (tmp_path / "new" / "made").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["made"]
    assert (tmp_path / "new" / "made" / "part").read_text() == "whole"


@pytest.mark.parametrize("stop", [OSError, KeyboardInterrupt])
def test_what_is_stopped_leaves_nothing(tmp_path: Path, stop: type[BaseException]):
    with pytest.raises(stop), written_whole(tmp_path / "made.npz") as draft:
        draft.write_text("ha")
        raise stop
    assert list(tmp_path.iterdir()) == []
