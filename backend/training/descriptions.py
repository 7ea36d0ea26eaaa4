# SPDX-License-Identifier: GPL-3.0-or-later
"""What transforms.json says about an object: its caption, and its frames sorted into sets of four views."""

import json
import math
from dataclasses import dataclass
from typing import Any

from backend.errors import UserError
from backend.training.archives import DESCRIPTION, ObjectSource

VIEWS = 4
_RIGHT_ANGLE_TOLERANCE = 5.0

Matrix = list[list[float]]


@dataclass(frozen=True)
class Frame:
    """One image.

    Args:
        file: path relative to the object's folder.
        c2w: 4 rows of 4, Blender's camera-to-world.
        angle: field of view in radians; images are square, so it is the vertical one too.
    """

    file: str
    c2w: Matrix
    angle: float

    @property
    def azimuth(self) -> float:
        """Degrees in 0..360; 0 where the camera stands at -Y, counter-clockwise seen from above."""
        return math.degrees(math.atan2(self.c2w[0][3], -self.c2w[1][3])) % 360.0

    @property
    def distance(self) -> float:
        """World units from the origin."""
        return math.hypot(*(self.c2w[row][3] for row in range(3)))

    @property
    def elevation(self) -> float:
        """Degrees above the horizon."""
        return math.degrees(math.asin(self.c2w[2][3] / self.distance)) if self.distance else 0.0

    @property
    def relative_distance(self) -> float:
        """Distance times tan(fov / 2)."""
        return self.distance * math.tan(self.angle / 2)


@dataclass(frozen=True)
class Description:
    """An object's caption and its sets of 4 frames; the frames of a set are sorted by azimuth."""

    caption: str
    sets: list[list[Frame]]


def read_description(source: ObjectSource) -> Description:
    """Parses an object's transforms.json.

    Raises:
        UserError: it cannot be read, a key is missing, or its frames do not come in fours.
    """
    try:
        content = json.loads(source.read(DESCRIPTION))
        caption = str(content["caption"]).strip()
        frames = [(frame.get("set"), _frame(source, frame, content)) for frame in content["frames"]]
    except json.JSONDecodeError as error:
        raise UserError(f"{source}: {DESCRIPTION} is not valid JSON ({error}).") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{source}: {DESCRIPTION} is not as it must be ({error!r}). "
            "It needs a caption, camera_angle_x, and frames with file_path and transform_matrix."
        ) from error
    if not caption:
        raise UserError(f"{source}: the caption in {DESCRIPTION} is empty.")
    return Description(caption, _sets(source, frames))


def _frame(source: ObjectSource, frame: dict[str, Any], content: dict[str, Any]) -> Frame:
    matrix = [[float(value) for value in row] for row in frame["transform_matrix"]]
    if len(matrix) != 4 or any(len(row) != 4 for row in matrix):
        raise UserError(f"{source}: the transform_matrix of {frame['file_path']!r} is not 4 x 4.")
    angle = float(frame["camera_angle_x"] if "camera_angle_x" in frame else content["camera_angle_x"])
    return Frame(str(frame["file_path"]), matrix, angle)


def _sets(source: ObjectSource, frames: list[tuple[int | None, Frame]]) -> list[list[Frame]]:
    if not frames or len(frames) % VIEWS:
        raise UserError(
            f"{source}: {len(frames)} views. Training needs sets of {VIEWS}: 4, 8, 12 ... an object."
        )
    if any(number is None for number, _ in frames):
        return _sets_by_azimuth([frame for _, frame in frames])
    numbered: dict[int, list[Frame]] = {}
    for number, frame in frames:
        numbered.setdefault(int(number or 0), []).append(frame)
    for number, members in numbered.items():
        if len(members) != VIEWS:
            raise UserError(f"{source}: set {number} has {len(members)} views instead of {VIEWS}.")
    return [sorted(numbered[number], key=lambda frame: frame.azimuth) for number in sorted(numbered)]


def _sets_by_azimuth(frames: list[Frame]) -> list[list[Frame]]:
    """Consecutive fours where these are orthogonal already, else fours spread evenly around the orbit."""
    fours = [sorted(frames[i : i + VIEWS], key=lambda f: f.azimuth) for i in range(0, len(frames), VIEWS)]
    if all(_orthogonal(four) for four in fours):
        return fours
    around = sorted(frames, key=lambda frame: frame.azimuth)
    return [around[start :: len(fours)] for start in range(len(fours))]


def _orthogonal(four: list[Frame]) -> bool:
    steps = [(four[(i + 1) % VIEWS].azimuth - four[i].azimuth) % 360.0 for i in range(VIEWS)]
    return all(abs(step - 360.0 / VIEWS) < _RIGHT_ANGLE_TOLERANCE for step in steps)
