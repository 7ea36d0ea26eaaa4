# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures and table of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from backend.evaluation.scoring import Score

RIGHT_SHARE = 47 / 50
REQUIRED_IOU = 0.88


@dataclass(frozen=True)
class Summary:
    """The figures a model is judged by.

    prompts: how many were run. right, required: prompts right in kind and colours, and how many have to be.
    kind_right, colors_right: in either alone. mean_iou: over all prompts, 0 for one without a mesh.
    second_fronts, fronts_missing: objects with a front on another side too, and with none in front.
    floaters: meshes with a piece hanging in the air. broken: meshes that came apart.
    failed: prompts without a mesh. seconds_mean, seconds_max: where they are known.
    """

    prompts: int
    right: int
    required: int
    kind_right: int
    colors_right: int
    mean_iou: float
    fronts: int
    second_fronts: int
    fronts_missing: int
    floaters: int
    broken: int
    failed: int
    seconds_mean: float | None
    seconds_max: float | None

    @property
    def passed(self) -> bool:
        """Whether the model is good enough to ship: 47 of 50 right, IoU 0.88, no second front, no floater."""
        enough = self.right >= self.required and self.mean_iou >= REQUIRED_IOU
        return enough and not (self.second_fronts or self.floaters or self.failed)

    def lines(self) -> list[str]:
        """The figures in words, with what is required."""
        seconds = "unknown"
        if self.seconds_mean is not None:
            seconds = f"{self.seconds_mean:.1f} mean, {self.seconds_max:.1f} at most"
        return [
            f"right in kind and colours: {self.right} of {self.prompts} (required {self.required}); "
            f"kind {self.kind_right}, colours {self.colors_right}",
            f"mean silhouette IoU: {self.mean_iou:.3f} (required {REQUIRED_IOU})",
            f"second fronts: {self.second_fronts} of {self.fronts} objects with a front (required 0); "
            f"front not in front: {self.fronts_missing}",
            f"meshes with floaters: {self.floaters} (required 0)",
            f"meshes that came apart: {self.broken}",
            f"prompts without a mesh: {self.failed} (required 0)",
            f"seconds a prompt: {seconds}",
        ]


def summarize(scores: Sequence[Score]) -> Summary:
    """The figures of a run."""
    seconds = [score.seconds for score in scores if score.seconds is not None]
    return Summary(
        prompts=len(scores),
        right=sum(score.right for score in scores),
        required=math.ceil(RIGHT_SHARE * len(scores) - 1e-9),
        kind_right=sum(score.kind_right for score in scores),
        colors_right=sum(score.colors_right for score in scores),
        mean_iou=sum(score.iou for score in scores) / max(len(scores), 1),
        fronts=sum(score.front is not None for score in scores),
        second_fronts=sum(score.second_front for score in scores),
        fronts_missing=sum(score.front_missing for score in scores),
        floaters=sum(score.floaters > 0 for score in scores),
        broken=sum(score.broken for score in scores),
        failed=sum(score.error is not None for score in scores),
        seconds_mean=sum(seconds) / len(seconds) if seconds else None,
        seconds_max=max(seconds, default=None),
    )


def faults(score: Score) -> list[str]:
    """What is wrong with a mesh, in words; empty where all is well."""
    if score.error is not None:
        return [score.error]
    found = []
    if score.kind is not None and not score.kind.right and score.kind.other_iou > score.kind.true_iou:
        found.append(f"looks like a {score.kind.nearest_other} ({score.kind.other_iou:.2f})")
    elif not score.kind_right:
        found.append("shape")
    found += [
        f"{part.kind}: {part.role} {part.seen}, not {part.expected}"
        for part in score.colors
        if not part.right
    ]
    if score.front is not None and score.front.second:
        found.append("second front at " + ", ".join(map(str, score.front.second)))
    if score.front_missing:
        found.append("front not in front")
    if score.floaters:
        found.append(f"floaters: {score.floaters}")
    if score.broken:
        found.append("came apart")
    return found


def as_json(scores: Sequence[Score], about: dict[str, Any]) -> dict[str, Any]:
    """Everything measured, for `results.json`; `about` says what was run."""
    summary = summarize(scores)
    return {
        **about,
        "summary": {**asdict(summary), "passed": summary.passed},
        "prompts": [
            {
                **asdict(score),
                "right": score.right,
                "kind_right": score.kind_right,
                "colors_right": score.colors_right,
                "faults": faults(score),
            }
            for score in scores
        ],
    }


def as_markdown(scores: Sequence[Score], about: dict[str, Any]) -> str:
    """The table, for `table.md`."""
    lines = ["# Held-out prompts", "", ", ".join(f"{name}: {value}" for name, value in about.items()), ""]
    lines += [f"- {line}" for line in summarize(scores).lines()]
    lines += ["", "| Prompt | IoU | Scale | Kind | Colours | Front | Floaters | Seconds | Faults |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for score in scores:
        front = (
            ""
            if score.front is None
            else "twice"
            if score.second_front
            else "no"
            if score.front_missing
            else "yes"
        )
        seconds = "" if score.seconds is None else f"{score.seconds:.1f}"
        cells = [
            score.prompt,
            f"{score.iou:.3f}",
            f"{score.scale:.2f}",
            "yes" if score.kind_right else "no",
            "yes" if score.colors_right else "no",
            front,
            str(score.floaters),
            seconds,
            "; ".join(faults(score)).replace("|", "/").replace("\n", " "),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
