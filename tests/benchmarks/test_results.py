# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures beside those of an earlier run."""

import argparse
import json
import logging
from pathlib import Path

import pytest

from benchmarks.results import add_options, comparison, finish


def parse(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(given)


def test_each_number_both_runs_have_is_shown_with_its_change() -> None:
    old = {"stage 1": {"step_ms": 20.0, "gone": 1}, "device": "A", "good": True, "zero": 0}
    new = {"stage 1": {"step_ms": 15.0, "windows_ms": [1.0]}, "device": "B", "good": False, "zero": 2}
    assert comparison(old, new) == [
        "Not the same: device is B, was A",
        "stage 1 / step_ms: 15, was 20 (-25.0 %)",
        "zero: 2, was 0",
    ]


def test_runs_of_different_things_have_nothing_to_compare() -> None:
    assert comparison({"a": 1}, {"b": 1}) == ["The two runs have no figure in common."]


def test_a_run_is_written_and_the_next_one_compared_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "old.json"
    finish(parse("--json", str(file)), {"step_ms": 10})
    assert json.loads(file.read_text()) == {"step_ms": 10}
    with caplog.at_level(logging.INFO):
        finish(parse("--compare", str(file)), {"step_ms": 11})
    assert caplog.messages == ["step_ms: 11, was 10 (+10.0 %)"]


def test_a_folder_that_is_not_there_is_told_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse("--json", str(tmp_path / "none" / "new.json"))
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), ("{", "Expecting"), ("[1]", "object")])
def test_a_file_that_is_no_run_is_refused_before_anything_is_measured(
    content: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "old.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit):
        parse("--compare", str(file))
    error = capsys.readouterr().err
    assert "old.json" in error
    assert says in error
