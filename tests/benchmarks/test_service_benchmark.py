# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of waiting: medians, turns, and real measurements of what is cheap."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest

from backend.diffusion.registry import resolve
from benchmarks import service


def test_medians_by_name_of_works_that_take_turns() -> None:
    turns: list[str] = []
    values = {"one": iter([99.0, 1.0, 5.0, 2.0]), "two": iter([99.0, 3.0, 3.0, 9.0])}

    def one(_: object) -> dict[str, float]:
        turns.append("one")
        return {"one": next(values["one"])}

    def two(_: object) -> dict[str, float]:
        turns.append("two")
        return {"two": next(values["two"]), "two, begun": 0.5}

    found = service.measure((one, two), {}, 3)
    assert found["first round"] == {"one": 99.0, "two": 99.0, "two, begun": 0.5}
    assert found["medians"] == {"one": 2.0, "two": 3.0, "two, begun": 0.5}
    assert turns == ["one", "two"] * 4


def test_help_and_service_are_measured_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "WORKS", (service.help_seconds, service.service_seconds))
    caplog.set_level(logging.INFO)
    assert service.main(["--repeats", "1", "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["settings"]["model"] == "small"
    for part in ("first round", "medians"):
        assert list(found[part]) == ["help", "service"]
        assert all(seconds > 0 for seconds in found[part].values())
    assert "service" in caplog.text


def test_a_job_that_fails_is_no_measurement(tmp_path: Path) -> None:
    model = shutil.copytree(resolve("small"), tmp_path / "torn")
    (weights,) = (model / "unet").glob("*.safetensors")
    os.truncate(weights, 1000)
    settings = {"prompt": "a red mug", "model": str(model), "device": "cpu"}
    with pytest.raises(RuntimeError, match=r"the job is failed: .*torn.* is broken"):
        service.cold_seconds(settings)


def test_a_service_that_ends_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(RuntimeError, match="the service ended"),
        service.running_service("--port=-1") as found,
    ):
        found.wait()
