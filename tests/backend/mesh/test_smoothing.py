# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace

import numpy as np
import pytest

from backend.mesh.extraction import extract
from backend.mesh.measures import volume
from backend.mesh.smoothing import smooth


def test_lumps_go_and_the_size_stays(shapes):
    ball = extract(shapes.field(shapes.ball, edge=0.03), 1.0, 64, threshold=50.0, smoothing=0)
    noise = np.random.default_rng(0).normal(0, 0.005, ball.vertices.shape)
    rough = replace(ball, vertices=ball.vertices + noise)
    result = smooth(rough, 10)
    before = np.linalg.norm(rough.vertices, axis=1).std()
    after = np.linalg.norm(result.vertices, axis=1).std()
    assert after < 0.4 * before
    assert volume(result) == pytest.approx(volume(ball), rel=0.005)
    assert (result.faces == ball.faces).all()


def test_flat_places_and_the_input_stay(shapes):
    cube = extract(shapes.field(shapes.box, edge=0.03), 1.0, 48, threshold=50.0, smoothing=0)
    kept = cube.vertices.copy()
    result = smooth(cube, 10)
    assert (cube.vertices == kept).all()
    middle = (np.abs(kept[:, :2]) < 0.2).all(axis=1) & (kept[:, 2] > 0)
    assert middle.any()
    assert np.abs(result.vertices[middle] - kept[middle])[:, 2].max() < 1e-3
