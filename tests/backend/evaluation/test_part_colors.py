# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours by part, under the light of the reference."""

from dataclasses import replace

import numpy as np
import pytest

from backend.evaluation.color_space import to_linear, to_oklab, to_srgb
from backend.evaluation.part_colors import judge_colors

RED, BLUE = (0.85, 0.08, 0.08), (0.12, 0.30, 0.92)


def seen(verdicts):
    return [(verdict.role, verdict.seen, verdict.right) for verdict in verdicts]


def painted(reference, left, right):
    images = reference.images.copy()
    images[reference.part_maps == 1, :3] = left
    images[reference.part_maps == 2, :3] = right
    return images


def test_white_black_and_red_in_oklab():
    assert to_oklab(np.ones(3)) == pytest.approx([1, 0, 0], abs=1e-4)
    assert to_oklab(np.zeros(3)) == pytest.approx([0, 0, 0])
    # published value for sRGB red
    assert to_oklab(np.array([1.0, 0, 0])) == pytest.approx([0.62796, 0.22486, 0.12585], abs=1e-4)


def test_srgb_there_and_back():
    values = np.linspace(0, 1, 50)
    assert to_srgb(to_linear(values)) == pytest.approx(values, abs=1e-6)


def test_truth_is_right_and_swapped_colours_are_not(two_halves, heldout):
    palette = heldout.palette
    assert seen(judge_colors(two_halves.images, two_halves, palette)) == [
        ("main", "red", True),
        ("second", "blue", True),
    ]
    swapped = painted(two_halves, BLUE, RED)
    assert seen(judge_colors(swapped, two_halves, palette)) == [
        ("main", "blue", False),
        ("second", "red", False),
    ]


def test_one_colour_leaking_into_the_other_part_is_named(two_halves, heldout):
    verdicts = judge_colors(painted(two_halves, RED, RED), two_halves, heldout.palette)
    assert seen(verdicts) == [("main", "red", True), ("second", "red", False)]


def test_same_colour_means_something_else_in_another_light(two_halves, heldout):
    # half-lit orange is not brown where the truth is half lit too, and is not orange where it is fully lit
    orange = heldout.palette["orange"]
    dark = to_srgb(to_linear(orange) * 0.15)
    parts = (replace(two_halves.parts[0], color="orange"), two_halves.parts[1])
    lit = replace(two_halves, parts=parts, images=painted(two_halves, orange, BLUE).astype(np.float32))
    shaded = replace(two_halves, parts=parts, images=painted(two_halves, dark, BLUE).astype(np.float32))
    generated = painted(two_halves, dark, BLUE)
    assert judge_colors(generated, shaded, heldout.palette)[0].right
    assert judge_colors(generated, lit, heldout.palette)[0].seen == "brown"


def test_most_pixels_decide(two_halves, heldout):
    images = painted(two_halves, RED, BLUE)
    images[:3] = painted(two_halves, BLUE, BLUE)[:3]
    main = judge_colors(images, two_halves, heldout.palette)[0]
    assert (main.seen, main.right, main.share) == ("red", True, pytest.approx(5 / 8))
    images[:5] = painted(two_halves, BLUE, BLUE)[:5]
    assert not judge_colors(images, two_halves, heldout.palette)[0].right


def test_missing_part(two_halves, heldout):
    images = two_halves.images.copy()
    images[two_halves.part_maps == 2] = 0
    assert seen(judge_colors(images, two_halves, heldout.palette))[1] == ("second", "missing", False)


def test_outlines_off_by_two_pixels_do_not_matter(two_halves, heldout):
    moved = np.roll(two_halves.images, 2, axis=2)
    assert all(verdict.right for verdict in judge_colors(moved, two_halves, heldout.palette))


def test_tiny_part_is_not_judged(two_halves, heldout):
    parts = two_halves.part_maps.copy()
    parts[parts == 2] = 1
    parts[:, 20:22, 40:42] = 2
    small = replace(two_halves, part_maps=parts, images=painted(two_halves, RED, RED).astype(np.float32))
    assert [verdict.role for verdict in judge_colors(small.images, small, heldout.palette)] == ["main"]


def test_all_references_have_their_own_colours(heldout):
    for reference in heldout.references:
        verdicts = judge_colors(reference.images, reference, heldout.palette)
        assert verdicts
        assert all(verdict.right for verdict in verdicts), reference.prompt


def test_pattern_needs_both_colours(reference, heldout):
    umbrella = reference("striped white and red umbrella")
    pattern = next(part for part in umbrella.parts if part.role == "pattern")
    main = next(part for part in umbrella.parts if part.role == "main")
    plain = umbrella.images.copy()
    plain[umbrella.part_maps == pattern.number, :3] = 0.8
    verdicts = {v.role: v for v in judge_colors(plain, umbrella, heldout.palette)}
    assert verdicts["main"].right
    assert not verdicts["pattern"].right

    moved = umbrella.images.copy()  # stripes where there are none in the truth: still a striped umbrella
    for here, there in ((main, pattern), (pattern, main)):
        color = np.median(umbrella.images[umbrella.part_maps == there.number, :3], axis=0)
        moved[umbrella.part_maps == here.number, :3] = color
    assert all(v.right for v in judge_colors(moved, umbrella, heldout.palette))

    green = umbrella.images.copy()
    green[umbrella.part_maps == pattern.number, :3] = (0.08, 0.45, 0.12)
    verdicts = {v.role: v for v in judge_colors(green, umbrella, heldout.palette)}
    assert verdicts["pattern"].seen == "green"
    assert not verdicts["pattern"].right
