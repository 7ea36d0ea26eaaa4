# SPDX-License-Identifier: GPL-3.0-or-later
import json
from pathlib import Path
from typing import Any

import pytest

from backend.cameras import orbit_c2w
from backend.errors import UserError
from backend.training.archives import ObjectSource
from backend.training.descriptions import Description, read_description


def _read(folder: Path, content: Any) -> Description:
    (folder / "transforms.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return read_description(ObjectSource("cup", folder))


def _content(azimuths: list[float], sets: list[int] | None = None) -> dict[str, Any]:
    frames = [
        {"file_path": f"{azimuth:g}.png", "transform_matrix": orbit_c2w(azimuth, 30.0, 2.0)[0].tolist()}
        for azimuth in azimuths
    ]
    for frame, number in zip(frames, sets or [], strict=False):
        frame["set"] = number
    return {"caption": "a red cup", "camera_angle_x": 0.5, "frames": frames}


def _files(description: Description) -> list[list[str]]:
    return [[frame.file.removesuffix(".png") for frame in four] for four in description.sets]


def test_frames_of_a_set_are_sorted_by_azimuth(tmp_path: Path) -> None:
    content = _content([100, 10, 280, 190, 350, 260, 170, 80], [1, 1, 1, 1, 0, 0, 0, 0])
    assert _files(_read(tmp_path, content)) == [["80", "170", "260", "350"], ["10", "100", "190", "280"]]


def test_consecutive_orthogonal_fours_without_numbers_stay_sets(tmp_path: Path) -> None:
    content = _content([100, 10, 280, 190, 350, 260, 170, 80])
    assert _files(_read(tmp_path, content)) == [["10", "100", "190", "280"], ["80", "170", "260", "350"]]


def test_an_orbit_without_numbers_is_spread_over_orthogonal_sets(tmp_path: Path) -> None:
    content = _content([0, 45, 90, 135, 180, 225, 270, 315])
    assert _files(_read(tmp_path, content)) == [["0", "90", "180", "270"], ["45", "135", "225", "315"]]


def test_a_frame_knows_where_its_camera_stands(tmp_path: Path) -> None:
    # A camera at +X stands a quarter turn counter-clockwise of the front, -Y.
    content = _content([0, 90, 180, 270])
    content["frames"][1]["camera_angle_x"] = 1.5707963267948966
    frame = _read(tmp_path, content).sets[0][1]
    assert frame.c2w[0][3] > 1.7
    assert frame.azimuth == pytest.approx(90)
    assert frame.elevation == pytest.approx(30)
    assert frame.distance == pytest.approx(2)
    assert frame.relative_distance == pytest.approx(2)  # tan(90 / 2 degrees) = 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ({"frames": []}, "caption"),
        ({"caption": " ", "frames": []}, "caption .* is empty"),
        (_content([0, 90, 180]), "3 views"),
        (_content([]), "0 views"),
        (_content([0, 90, 180, 270], [0, 0, 0, 1]), "set 0 has 3 views"),
        ({"caption": "a", "camera_angle_x": 1, "frames": [{"file_path": "a.png"}]}, "transform_matrix"),
        (
            {"caption": "a", "camera_angle_x": 1, "frames": [{"file_path": "a", "transform_matrix": [[1]]}]},
            "not 4 x 4",
        ),
    ],
)
def test_bad_descriptions_say_what_is_wrong_and_where(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        _read(tmp_path, content)
    assert str(tmp_path) in str(caught.value)
