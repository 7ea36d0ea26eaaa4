# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs and models: fit for each other, and there as long as they are used; and how often a job reports."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from service_harness import Server

from backend.errors import UserError
from backend.progress import Progress
from backend.service import admission, worker
from backend.settings import GenerateSettings
from backend.views_settings import ViewsSettings


@pytest.fixture
def spare(models: Path) -> Iterator[Path]:
    """A model that may be lost."""
    yield shutil.copytree(models / "tiny", models / "spare")
    shutil.rmtree(models / "spare", ignore_errors=True)


def test_a_model_stays_while_a_job_that_names_its_folder_is_unfinished(
    start: Callable[..., Server], spare: Path, tmp_path: Path
) -> None:
    server = start().wait_until_ready()
    link = tmp_path / "link"
    link.symlink_to(spare)
    for name in (str(spare), f"{spare.parent}/tiny/../spare/", str(link)):
        job = server.submit("endless", model=name)["id"]
        answer = server.client.delete("/v1/models/spare")
        assert (answer.status_code, job in answer.json()["detail"]) == (409, True), name
        server.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    other = server.submit("endless", model=str(spare.parent / "tiny"))["id"]
    assert server.client.delete("/v1/models/spare").status_code == 204
    server.client.post(f"/v1/jobs/{other}/cancel").raise_for_status()
    assert not spare.exists()


@pytest.mark.parametrize("kind", [GenerateSettings, ViewsSettings])
def test_a_job_for_a_model_without_a_text_encoder_is_refused(spare: Path, tmp_path: Path, kind: type) -> None:
    shutil.rmtree(spare / "tokenizer")
    with pytest.raises(UserError, match="spare has no text encoder, so it can't read prompts"):
        admission.admit(kind(prompt="a mug", model=str(spare)), tmp_path)


def test_a_job_that_wants_a_small_encoder_the_model_has_not_is_refused(spare: Path, tmp_path: Path) -> None:
    settings = GenerateSettings.from_values(
        {"prompt": "a mug", "model": str(spare), "tiny_encoder_until": 0.5}
    )
    with pytest.raises(UserError, match=r"tiny_encoder_until is 0\.5, but the model spare has no small"):
        admission.admit(settings, tmp_path)
    (spare / "tiny_vae").mkdir()
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        with pytest.raises(UserError, match="has no small"):
            admission.admit(settings, tmp_path)
        (spare / "tiny_vae" / name).touch()
    admission.admit(settings, tmp_path)


def test_views_with_more_steps_than_the_models_schedule_are_refused(spare: Path, tmp_path: Path) -> None:
    config = json.loads((spare / "mvdream.json").read_text())
    (spare / "mvdream.json").write_text(json.dumps({**config, "schedule": {"steps": 50}}))
    admission.admit(ViewsSettings(prompt="a mug", model=str(spare), steps=50), tmp_path)
    with pytest.raises(UserError, match="steps must be between 1 and 50 with the model tiny"):
        admission.admit(ViewsSettings(prompt="a mug", model=str(spare), steps=51), tmp_path)


def test_reports_without_steps_are_held_back_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download says 0 of 0 all the time."""
    monkeypatch.setattr(worker.time, "monotonic", lambda: 7.0)
    channel = worker.Channel.__new__(worker.Channel)
    channel._output, channel._last = io.StringIO(), ("", 0.0)
    for megabytes in range(100):
        channel.report(Progress("download", message=f"Downloading: {megabytes} MB"))
    channel.report(Progress("distil", step=1, steps=2))
    channel.report(Progress("distil", step=2, steps=2))
    sent = [json.loads(line) for line in channel._output.getvalue().splitlines()]
    assert [(each["stage"], each["step"]) for each in sent] == [("download", 0), ("distil", 1), ("distil", 2)]


def test_a_report_of_something_else_is_never_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more may come for a long time: a download that stalls at its first byte."""
    monkeypatch.setattr(worker.time, "monotonic", lambda: 7.0)
    channel = worker.Channel.__new__(worker.Channel)
    channel._output, channel._last = io.StringIO(), ("", 0.0)
    for message in ("Asking the hub", "Downloading: 0 MB", "Downloading: 1 MB", "Checking what came"):
        channel.report(Progress("download", message=message))
    sent = [json.loads(line)["message"] for line in channel._output.getvalue().splitlines()]
    assert sent == ["Asking the hub", "Downloading: 0 MB", "Checking what came"]
