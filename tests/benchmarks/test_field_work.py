# SPDX-License-Identifier: GPL-3.0-or-later
"""Work of a field, against numbers counted by hand."""

from dataclasses import replace

from backend.settings import PRESETS
from benchmarks.field_work import field_work


def test_work_of_two_samples_in_a_grid_of_three_levels() -> None:
    numbers = replace(PRESETS["paper"].numbers, hash_levels=3, hidden=5)
    work = field_work(2, numbers, 7)
    # 6 features to 5 hidden units twice, 5 to one and to three outputs: 80 products; there, and twice back.
    assert work.flop == 2 * 80 * 2 * 3
    # Of each parameter 2 bytes read, 4 of its gradient written, 28 by the optimiser, however many samples.
    assert work.least == field_work(9, numbers, 7).least == 7 * 34
    # 3 levels of 8 corners of 2 numbers: 2 bytes read, 4 added to.
    assert work.uncached == 2 * 48 * 6
