# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels do not wrap, so the text has to."""

from mvdream_blender.wrapping import letters, lines


def test_nothing_is_lost_and_nothing_is_too_long():
    text = (
        "The model does not know 'gryphon'. It knows: "
        + ", ".join(f"word{i}" for i in range(60))
        + "\n/a/"
        + "x" * 90
    )
    wrapped = lines(text, 32)
    assert max(len(line) for line in wrapped) <= 32
    assert "".join("".join(wrapped).split()) == "".join(text.split())


def test_own_line_breaks_stay():
    assert lines("one\n\ntwo", 20) == ["one", "", "two"]


def test_width():
    assert letters(356, 1.0) == 50
    assert letters(712, 2.0) == 50
    assert letters(10) == 20
