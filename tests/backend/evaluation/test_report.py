# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures, words and the contact sheet."""

import numpy as np
import pytest

from backend.evaluation.fronts import FrontVerdict
from backend.evaluation.outlines import KindVerdict
from backend.evaluation.part_colors import PartColor
from backend.evaluation.report import as_json, as_markdown, faults, summarize
from backend.evaluation.scoring import Score
from backend.evaluation.sheet import CELL, contact_sheet

RED = PartColor("mug", "main", "red", "red", 1.0, True)
NOT_RED = PartColor("mug", "main", "red", "pink", 0.2, False)
MUG = KindVerdict("drum", 0.7, 0.9, True)


def score(**changes):
    values = {"slug": "00", "prompt": "a red mug", "seconds": 20.0, "iou": 0.9, "kind": MUG, "colors": [RED]}
    return Score(**(values | changes))


def test_right_needs_kind_and_colours():
    assert score().right
    assert not score(colors=[RED, NOT_RED]).right
    assert not score(kind=KindVerdict("drum", 0.9, 0.8, False)).right
    assert not score(iou=0.74).right
    assert score(kind=None, iou=0.75).right
    assert not score(error="no mesh").right


def test_summary_by_hand():
    front = FrontVerdict({0: 1.0, 180: 0.9}, (180,), True)
    scores = [score(), score(iou=0.8, seconds=30.0, colors=[NOT_RED]), score(front=front, floaters=2)]
    scores += [Score("03", "a mug", error="no")]
    summary = summarize(scores)
    assert (summary.prompts, summary.right, summary.required) == (4, 2, 4)
    assert (summary.kind_right, summary.colors_right, summary.failed) == (3, 2, 1)
    assert summary.mean_iou == pytest.approx((0.9 + 0.8 + 0.9 + 0) / 4)
    assert summarize([score(broken_views=1), score(broken_views=2)]).broken == 1
    assert (summary.fronts, summary.second_fronts, summary.fronts_missing, summary.floaters) == (1, 1, 0, 1)
    assert (summary.seconds_mean, summary.seconds_max) == (pytest.approx(70 / 3), 30.0)
    assert not summary.passed


@pytest.mark.parametrize(("right", "passed"), [(47, True), (46, False)])
def test_47_of_50_pass(right, passed):
    scores = [score()] * right + [score(colors=[NOT_RED])] * (50 - right)
    assert summarize(scores).required == 47
    assert summarize(scores).passed is passed


def test_one_second_front_or_floater_fails():
    assert not summarize([score()] * 49 + [score(floaters=1)]).passed
    assert not summarize([score()] * 49 + [score(front=FrontVerdict({}, (90,), True))]).passed
    assert not summarize([score(iou=0.87)] * 50).passed


def test_faults_in_words():
    assert faults(score()) == []
    assert faults(score(colors=[NOT_RED])) == ["mug: main pink, not red"]
    assert faults(score(kind=KindVerdict("drum", 0.9, 0.8, False))) == ["looks like a drum (0.90)"]
    assert faults(score(iou=0.5)) == ["shape"]
    assert faults(score(broken_views=2)) == ["came apart"]
    assert faults(score(front=FrontVerdict({}, (90, 180), False))) == [
        "second front at 90, 180",
        "front not in front",
    ]
    assert faults(Score("0", "a mug", error="no mesh")) == ["no mesh"]


def test_table_has_a_line_a_prompt_and_the_figures():
    text = as_markdown([score(), score(prompt="a blue cup", colors=[NOT_RED])], {"model": "small"})
    assert "model: small" in text
    assert "right in kind and colours: 1 of 2 (required 2)" in text
    assert "| a red mug | 0.900 | 1.00 | yes | yes |  | 0 | 20.0 |  |" in text
    assert "| a blue cup | 0.900 | 1.00 | yes | no |  | 0 | 20.0 | mug: main pink, not red |" in text


def test_json_can_be_written():
    import json

    written = json.loads(json.dumps(as_json([score()], {"seed": 1})))
    assert written["seed"] == 1
    assert written["summary"]["right"] == 1
    assert written["prompts"][0]["kind"]["nearest_other"] == "drum"


def test_sheet_marks_what_is_wrong(reference):
    truth = reference("cyan bucket")
    views = np.rint(truth.images * 255).astype(np.uint8)
    good, bad = score(), score(iou=0.3)
    sheet = np.asarray(
        contact_sheet([(truth, good, views), (truth, bad, views), (truth, bad, None)], columns=3)
    )
    red = (sheet == (200, 20, 20)).all(-1)
    assert not red[:, : CELL[0]].any()
    assert red[:, CELL[0] + 6 : 2 * CELL[0]].any()
    first, second = sheet[40:180, 10 : CELL[0] - 10], sheet[40:180, CELL[0] + 10 : 2 * CELL[0] - 10]
    assert (first == second).mean() > 0.99
