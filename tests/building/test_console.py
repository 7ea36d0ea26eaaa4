# SPDX-License-Identifier: GPL-3.0-or-later
"""What the terminal shows."""

import pytest

from building import console


class TestConsole:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (119.6, "2 min 00 s"), (185, "3 min 05 s")],
    )
    def test_durations(self, seconds, text):
        assert console.duration(seconds) == text

    def test_a_log_gets_a_line_for_each_kind_of_work(self, capsys):
        progress = console.ProgressLine("backend")
        for text in ("fetching torch, 1 of 9 MB", "fetching torch, 2 of 9 MB", "unpacking 3 packages"):
            progress.show(text, 0.5)
        progress.end("made")
        lines = capsys.readouterr().out.splitlines()
        assert lines[:2] == ["backend: fetching torch, 1 of 9 MB", "backend: unpacking 3 packages"]
        assert lines[2].startswith("backend: made (")
