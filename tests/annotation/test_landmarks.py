"""The jaw that follows the view."""

import numpy as np
import pytest

from synthforge_hf.annotation.landmarks import MIRRORED_LANDMARKS, surface_points, visible_jaw
from synthforge_hf.heads.anny import load_anny_head
from synthforge_hf.rendering.camera import orbit_camera, project


def jaw_at(azimuth_deg: float, elevation_deg: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the jaw in pixels, the static jaw in pixels, and the head's vertices in pixels."""
    head = load_anny_head()
    camera = orbit_camera(np.radians(azimuth_deg), np.radians(elevation_deg), 0, 1.08, np.radians(17), 256)
    vertices = camera.to_camera(head.template.astype(np.float64))
    model = head.landmark_model
    fixed = surface_points(vertices, model.triangles, model.barycentric)
    jaw = visible_jaw(vertices, model, fixed)
    return project(jaw, camera.intrinsics), project(fixed[:17], camera.intrinsics), project(vertices, camera.intrinsics)


def test_mirroring_twice_is_nothing() -> None:
    assert np.array_equal(MIRRORED_LANDMARKS[MIRRORED_LANDMARKS], np.arange(68))
    assert sorted(MIRRORED_LANDMARKS) == list(range(68))


def test_frontal_jaw_is_the_static_one() -> None:
    jaw, static, _ = jaw_at(0)
    assert np.linalg.norm(jaw - static, axis=1).max() < 4  # of 256 pixels; the outer eye corners are 75 apart


@pytest.mark.parametrize("azimuth", [20, 40, 60])
@pytest.mark.parametrize("elevation", [-15, 0, 15])
def test_mirrored_views_have_mirrored_jaws(azimuth: float, elevation: float) -> None:
    left, _, _ = jaw_at(azimuth, elevation)
    right, _, _ = jaw_at(-azimuth, elevation)
    mirrored = (right * (-1, 1) + (256, 0))[::-1]
    assert np.linalg.norm(left - mirrored, axis=1).max() < 2.0


@pytest.mark.parametrize("azimuth", [25, 40, 55])
def test_near_side_slides_back_and_far_side_follows_the_silhouette(azimuth: float) -> None:
    """A camera on the subject's left sees the left jaw (points 9-16) as the near side, at the image's right."""
    jaw, static, _ = jaw_at(azimuth)
    assert (jaw[12:17, 0] - static[12:17, 0] > 1).all(), "near side moves towards the ear"
    assert (static[1:5, 0] - jaw[1:5, 0] > 3).all(), "far side moves out to the cheek's silhouette"
    head = load_anny_head()
    camera = orbit_camera(np.radians(azimuth), 0, 0, 1.08, np.radians(17), 256)
    skin = head.template[np.unique(head.faces[head.parts == 0])]
    face = skin[
        (np.abs(skin[:, 1] + 0.04) < 0.004) & (skin[:, 2] > -0.04)
    ]  # a slice through the cheeks, without the ears
    edge = camera.project(face.astype(np.float64))[:, 0].min()
    nearest = jaw[np.abs(jaw[:9, 1] - camera.project(np.array([[0, -0.04, 0.0]]))[0, 1]).argmin(), 0]
    assert abs(nearest - edge) < 4


def test_points_stay_in_order_and_apart() -> None:
    for azimuth in (-60, -30, 0, 30, 60):
        jaw, _, _ = jaw_at(azimuth)
        steps = np.linalg.norm(np.diff(jaw, axis=0), axis=1)
        assert steps.min() > 2 and steps.max() < 40
        assert jaw[8, 1] == pytest.approx(jaw[:, 1].max(), abs=3)


def test_the_chin_of_a_turned_head_leads_towards_the_far_side() -> None:
    """As annotators place it: by a few percent of the outer eye corners' distance, which is 75 pixels here."""
    frontal, frontal_static, _ = jaw_at(0)
    assert abs(frontal[8, 0] - frontal_static[8, 0]) < 0.2
    turned, turned_static, _ = jaw_at(40)
    assert 0.5 < turned_static[8, 0] - turned[8, 0] < 6, "the far side is at the image's left"


def test_the_points_beside_the_chin_of_a_turned_head_are_nearer_to_it() -> None:
    frontal, turned = (np.linalg.norm(np.diff(jaw_at(azimuth)[0], axis=0), axis=1) for azimuth in (0, 40))
    near_frontal, near_turned = (steps[8:] / steps[8:].sum() for steps in (frontal, turned))
    assert near_frontal[0] == pytest.approx(1 / 8, abs=0.01)
    assert near_turned[0] < 0.92 * near_frontal[0] and near_turned[-1] == pytest.approx(1 / 8, abs=0.01)
