"""Depth of a ball of fog, and of the same ball seen by a camera that stands elsewhere."""

import numpy as np
import pytest
import torch

from synthforge_hf.rendering import density
from synthforge_hf.rendering.camera import PinholeCamera, orbit_camera
from synthforge_hf.rendering.density import planar_depth

RADIUS = 0.1
CENTRE = torch.tensor([0.02, -0.01, 0.03])


def ball(points: torch.Tensor) -> torch.Tensor:
    return 1e5 * ((points - CENTRE).norm(dim=-1) < RADIUS)


def exact(camera: PinholeCamera) -> np.ndarray:
    """Planar depth where each pixel's ray meets the ball, 0 where it does not."""
    row, column = np.indices((camera.height, camera.width)) + 0.5
    rays = np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(camera.intrinsics).T
    centre = camera.to_camera(CENTRE.double().numpy())
    a, b = (rays**2).sum(-1), rays @ centre
    root = b**2 - a * (centre @ centre - RADIUS**2)
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, 0)


@pytest.mark.parametrize("azimuth", [0.0, 0.7])
def test_depth_of_a_ball(azimuth: float, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = orbit_camera(azimuth, 0.2, 0.1, 0.8, np.radians(22), 64)
    wanted = exact(camera)
    found = planar_depth(ball, camera, 0.6, 1.0, samples=400)
    assert found.dtype == np.float32 and found.shape == (64, 64)
    assert ((found > 0) != (wanted > 0)).mean() < 0.01  # pixels whose ray just grazes the ball
    both = (found > 0) & (wanted > 0)
    half_a_step, into_the_ball = 0.5 * 0.4 / 400, 1e-5
    assert np.abs(found - wanted)[both].max() < half_a_step + 1.1 * into_the_ball
    monkeypatch.setattr(density, "POINTS_AT_ONCE", 4000)
    np.testing.assert_allclose(planar_depth(ball, camera, 0.6, 1.0, samples=400), found, atol=1e-6)


def test_thin_fog_is_no_surface() -> None:
    camera = orbit_camera(0.0, 0.0, 0.0, 0.8, np.radians(22), 32)
    thin = planar_depth(lambda points: 1.0 * (ball(points) > 0), camera, 0.6, 1.0)
    assert not thin.any()
    # All the light that such a thin fog absorbs is absorbed evenly on the way through the ball.
    assert planar_depth(lambda points: 1.0 * (ball(points) > 0), camera, 0.6, 1.0, opacity=0.1).max() > 0.7
