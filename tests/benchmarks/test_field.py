# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of the field, as it is rehearsed."""

import json
import logging
from pathlib import Path

import pytest

from benchmarks import field


def test_a_rehearsal_is_short_and_tells_each_part_before_it_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "found.json"
    assert field.main(["--tiny", "--repeats", "1", "--device", "cpu", "--json", str(file)]) == 0
    told = [line for line in caplog.messages if line.startswith("Measuring ")]
    assert told[:2] == [
        "Measuring what the device does at best",
        "Measuring the encoding of 1,024 points by torch",
    ]
    assert told[-1] == "Measuring the rendering of 1 x 16², normals: analytic"
    found = json.loads(file.read_text())
    assert found["encodings"]["torch"]["forward_backward_ms"] > 0
    assert found["render"]["1 x 16²"]["none"]["samples"] > 0


def test_points_that_are_asked_for_are_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(field, "TINY_PICTURES", ())
    assert field.main(["--tiny", "--points", "7", "--repeats", "1", "--device", "cpu"]) == 0
    assert "Measuring the encoding of 7 points by torch" in caplog.messages
