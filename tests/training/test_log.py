"""Owns the tests of training/log.py."""

from pathlib import Path

from app.training.log import read_log, write_log
from app.training.loop import EpochReport


def report(epoch: int) -> EpochReport:
    return EpochReport(epoch, 1.5, 1.25, 0.5, 640.4, 0.00075)


def test_a_row_is_added_and_read_again(tmp_path: Path):
    write_log(tmp_path / "log.csv", report(1))
    write_log(tmp_path / "log.csv", report(2))
    assert (tmp_path / "log.csv").read_text() == (
        "epoch,train_loss,validation_loss,validation_accuracy,learning_rate,images_per_s\n"
        "1,1.5000,1.2500,0.5000,0.00075,640\n"
        "2,1.5000,1.2500,0.5000,0.00075,640\n"
    )
    assert [row["learning_rate"] for row in read_log(tmp_path / "log.csv")] == ["0.00075"] * 2


def test_later_rows_are_of_a_run_that_is_gone(tmp_path: Path):
    for epoch in (1, 2, 3, 2):
        write_log(tmp_path / "log.csv", report(epoch))
    assert [row["epoch"] for row in read_log(tmp_path / "log.csv")] == ["1", "2"]


def test_a_log_of_an_older_version_is_gone_on_with(tmp_path: Path):
    old = "epoch,train_loss,validation_loss,validation_accuracy,images_per_s\n1,1.9654,1.4976,0.4774,487\n"
    (tmp_path / "log.csv").write_text(old)
    write_log(tmp_path / "log.csv", report(2))
    first, second = read_log(tmp_path / "log.csv")
    assert (first["learning_rate"], first["images_per_s"], first["train_loss"]) == ("", "487", "1.9654")
    assert second["learning_rate"] == "0.00075"


def test_where_there_is_no_log_there_are_no_rows(tmp_path: Path):
    assert read_log(tmp_path / "log.csv") == []


def test_a_damaged_log_is_begun_anew(tmp_path: Path):
    (tmp_path / "log.csv").write_text("something else\nentirely\n")
    write_log(tmp_path / "log.csv", report(1))
    assert [row["epoch"] for row in read_log(tmp_path / "log.csv")] == ["1"]
