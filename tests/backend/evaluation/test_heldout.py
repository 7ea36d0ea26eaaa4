# SPDX-License-Identifier: GPL-3.0-or-later
"""The references in the repository are what the issue of the evaluation asks for."""

import shutil

import numpy as np
import pytest

from backend.cameras import distance_for, orbit_views
from backend.errors import UserError
from backend.evaluation.heldout import FOLDER, load_heldout


def test_fifty_prompts_of_all_sorts(heldout):
    references = heldout.references
    singles = [ref for ref in references if not ref.composed]
    assert len(references) == 50
    assert len({ref.prompt for ref in references}) == 50
    assert len({ref.kinds for ref in singles}) == len(singles) == 40
    assert sum(ref.fronts[0] for ref in singles) >= 15
    assert sum(" with " in ref.prompt for ref in singles) == 20
    assert sum(" on " in ref.prompt for ref in references) == 7
    assert sum(" next to " in ref.prompt for ref in references) == 3
    assert any(ref.patterned[0] for ref in singles)


def test_part_maps_fit_the_pictures(heldout):
    for ref in heldout.references:
        assert ref.images.shape == (8, 128, 128, 4)
        known = {part.number for part in ref.parts}
        assert set(np.unique(ref.part_maps)) - {0} <= known
        assert ((ref.part_maps > 0) != ref.silhouettes).mean() < 0.005
        assert all(part.color in heldout.palette for part in ref.parts)


def test_cameras_are_the_turntable(heldout):
    views = orbit_views(8, 15.0, distance_for(35.0, 0.95), 35.0)
    ref = heldout.references[0]
    assert ref.fov == pytest.approx(35)
    assert ref.c2w == pytest.approx(views.c2w.numpy(), abs=1e-5)


def test_outlines_of_all_kinds(heldout):
    assert len(heldout.kinds) >= 60
    assert heldout.outlines.shape[1:] == (8, 64, 64)
    share = heldout.outlines.mean(axis=(1, 2, 3))
    assert (share > 0.02).all()
    assert (share < 0.7).all()


def test_small_in_the_repository():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 3e6


def test_missing_and_broken_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="toyworld references"):
        load_heldout(tmp_path)
    shutil.copy(FOLDER / "palette.json", tmp_path)
    (tmp_path / "silhouettes.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="can't be read"):
        load_heldout(tmp_path)
