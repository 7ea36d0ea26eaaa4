# SPDX-License-Identifier: GPL-3.0-or-later
"""How numbers are made smaller until they fit, on made-up machines."""

from dataclasses import replace

import pytest

from backend.errors import UserError
from backend.memory.estimation import Need
from backend.memory.fitting import USABLE, fit, smallest
from backend.settings import PRESETS, Numbers

PAPER = replace(PRESETS["paper"].numbers, ray_chunk=0)
MB = 10**6


def device_need(numbers: Numbers) -> Need:
    """Made up: 1000 MB, 100 for a view, 1 for 100 rays that are rendered at a time."""
    views, size = numbers.refine_views_per_step, numbers.refine_render_size
    rays = views * size**2
    at_once = min(numbers.ray_chunk or rays, rays)
    return Need({"all": MB * (1000 + 100 * views) + at_once * 10_000}, {"mesh": numbers.mesh_resolution * MB})


def run(device: float, host: float = 1e12, numbers: Numbers = PAPER, others: dict | None = None) -> object:
    """`fit` where these bytes may be used."""
    return fit(numbers, device_need, round(device / USABLE) + 1, round(host / USABLE) + 1, "TOY 9000", others)


def test_what_fits_is_left_alone_and_nothing_is_said() -> None:
    found = run(10_000 * MB)
    assert found.numbers is PAPER
    assert found.sentences == ()
    assert found.need == device_need(PAPER)


def test_time_is_given_before_anything_else_and_no_more_than_needed() -> None:
    # 1400 MB are fixed; 262144 rays would be 2621 MB more, 65536 are 655 MB.
    found = run(2100 * MB)
    assert found.numbers == replace(PAPER, ray_chunk=65536)
    assert found.sentences == (
        "The job needs 4.0 GB of memory on TOY 9000, and 2.1 GB can be used. So that it fits:",
        "ray_chunk is 65536 instead of all rays (the same result, slower).",
    )


def test_earlier_changes_are_taken_back_where_a_later_one_makes_them_needless() -> None:
    asked = replace(PAPER, refine_views_per_step=16)
    # 16 views are 2600 MB without a ray; with 8 views (1800 MB) there is room for 32768 rays (328 MB).
    found = run(2200 * MB, numbers=asked)
    assert found.numbers == replace(asked, refine_views_per_step=8, ray_chunk=32768)


def test_an_earlier_rung_is_tried_again_once_it_helps() -> None:
    """Two stages: the first needs its views, the second its rays; the rays don't count before the views."""

    def need_of(numbers: Numbers) -> Need:
        at_once = min(numbers.ray_chunk or 1 << 16, 1 << 16)
        return Need({"all": max(numbers.views_per_step * 500 * MB, at_once * 50_000)}, {})

    asked = replace(PAPER, views_per_step=8)
    found = fit(asked, need_of, round(2000 * MB / USABLE) + 1, 0, "TOY 9000")
    assert found.numbers == replace(asked, views_per_step=4, ray_chunk=32768)


def test_what_would_not_help_is_not_changed() -> None:
    found = run(2100 * MB)
    assert found.numbers.mesh_resolution == PAPER.mesh_resolution
    short = run(10_000 * MB, host=130 * MB)
    assert short.numbers == replace(PAPER, mesh_resolution=128)
    assert "of memory in this computer, and 0.1 GB can be used" in short.sentences[0]


def test_a_small_value_of_the_users_is_never_raised() -> None:
    asked = replace(PAPER, ray_chunk=2048, refine_views_per_step=8)
    found = run(1500 * MB, numbers=asked)
    assert found.numbers == replace(asked, refine_views_per_step=4)


def test_where_nothing_fits_it_says_what_would() -> None:
    others = {"small": Need({"all": 100 * MB}, {}), "huge": Need({"all": 10**12}, {})}
    with pytest.raises(UserError) as caught:
        run(1000 * MB, others=others)
    words = str(caught.value)
    assert words.startswith(
        "Even with the smallest numbers the job needs 1.4 GB of memory on TOY 9000, and 1.0 GB"
    )
    assert "choose the model 'small', which fits" in words
    assert "huge" not in words
    assert "use a card with 4 GB or more" in words


def test_short_computer_memory_is_not_blamed_on_the_card() -> None:
    with pytest.raises(UserError, match=r"of memory in this computer.*close other programs\.$"):
        run(10_000 * MB, host=MB)


def test_the_smallest_is_the_bottom_of_the_ladder() -> None:
    least = smallest(PAPER, device_need)
    assert least.device_total == MB * 1400 + 1024 * 10_000
    assert least.host_total == 96 * MB
