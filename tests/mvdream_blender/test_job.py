# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job says about itself."""

import io

import pytest

from mvdream_blender.console import ConsoleProgress, bar
from mvdream_blender.errors import Unreachable
from mvdream_blender.job import Job, Phase, duration

RUNNING = {
    "id": "7",
    "status": "running",
    "stage": "distil",
    "step": 75,
    "steps": 300,
    "progress": 0.25,
    "seconds_left": 31.0,
}


def test_takes_over_what_the_backend_says():
    job = Job("a red mug")
    assert job.headline == "Starting the backend"
    assert job.apply(RUNNING) is True
    assert (job.id, job.phase, job.fraction) == ("7", Phase.RUNNING, 0.25)
    assert job.headline == "Shaping the object, step 75 of 300"
    assert job.time_left == "about 30 s left"


def test_the_same_again_is_no_news():
    job = Job("a red mug")
    job.apply(RUNNING)
    assert job.apply(RUNNING) is False


def test_progress_never_goes_back_nor_beyond_one():
    job = Job("x")
    for progress, shown in ((0.5, 0.5), (0.2, 0.5), (1.7, 1.0)):
        job.apply(RUNNING | {"progress": progress})
        assert job.fraction == shown


def test_missing_values_are_fine():
    job = Job("x")
    job.apply(
        {
            "id": "1",
            "status": "queued",
            "stage": None,
            "step": None,
            "steps": None,
            "progress": None,
            "seconds_left": None,
        }
    )
    assert job.headline == "Waiting for its turn"
    assert job.time_left == ""


@pytest.mark.parametrize("key", ["id", "stage"])
@pytest.mark.parametrize("word", ["../x", "a/b", "a\\b", "-x", "a.b", "x" * 65, "c:x", "é", "a\n"])
def test_words_that_become_file_names_are_harmless_or_refused(key, word):
    job = Job("x")
    job.apply(RUNNING)
    with pytest.raises(Unreachable, match="is not MVDream's backend"):
        job.apply(RUNNING | {key: word, "step": 99})
    assert (job.id, job.stage, job.step) == ("7", "distil", 75)
    with pytest.raises(Unreachable):
        job.apply({"status": "running"})


def test_a_done_job_still_has_to_be_placed():
    job = Job("x")
    job.apply(RUNNING | {"status": "done"})
    assert job.phase is Phase.PLACING
    assert not job.phase.ended


def test_cancel_is_shown_at_once():
    job = Job("x")
    job.apply(RUNNING)
    job.cancel_asked = True
    assert job.headline == "Cancelling"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 s"),
        (3.2, "3 s"),
        (42, "40 s"),
        (89, "90 s"),
        (90, "2 min"),
        (600, "10 min"),
        (4800, "80 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_bar():
    job = Job("x")
    job.apply(RUNNING)
    assert bar(job) == f"[{'#' * 6}{'.' * 18}]  25 %  Shaping the object, step 75 of 300, about 30 s left"


def test_a_log_gets_a_line_a_tenth():
    stream = io.StringIO()
    show = ConsoleProgress(stream)
    job = Job("x")
    for step in range(0, 300, 5):
        job.apply(RUNNING | {"step": step, "progress": step / 300})
        show(job)
    show.end()
    assert len(stream.getvalue().splitlines()) == 10


def test_a_terminal_gets_one_line_redrawn():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    show = ConsoleProgress(stream)
    job = Job("x")
    show(job)
    job.apply(RUNNING)
    show(job)
    show.end()
    assert stream.getvalue().count("\r") == 2
    assert stream.getvalue().count("\n") == 1
