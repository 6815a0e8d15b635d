"""A mesh that was moved away from the surface that a depth image shows comes back to it."""

import numpy as np
import pytest
import torch

from synthforge_hf.annotation.depth_normals import depth_normals
from synthforge_hf.annotation.surface import visible_surface
from synthforge_hf.generators.alignment import align_to_depth
from synthforge_hf.generators.base import GeneratedFace
from synthforge_hf.rendering.camera import PinholeCamera, orbit_camera
from synthforge_hf.rendering.rasterize import depth_map
from synthforge_hf.testing import load_ellipsoid_generator


@pytest.fixture(scope="module")
def face() -> GeneratedFace:
    return load_ellipsoid_generator("ellipsoid").generate(seed=0, index=0, resolution=128)


@pytest.fixture(scope="module")
def camera() -> PinholeCamera:
    return orbit_camera(0.3, 0.1, 0.0, 1.08, np.radians(14), 128)


def depth_of(vertices: np.ndarray, face: GeneratedFace, camera: PinholeCamera) -> np.ndarray:
    return depth_map(
        torch.tensor(camera.to_camera(vertices), dtype=torch.float32)[None],
        torch.tensor(face.mesh.faces),
        torch.tensor(camera.intrinsics, dtype=torch.float32)[None],
        camera.height,
        camera.width,
    )[0].numpy()


def bumpy(face: GeneratedFace) -> np.ndarray:
    """The ellipsoid with bumps, so that no shift along its surface goes unnoticed."""
    vertices = face.mesh.vertices.astype(np.float64)
    waves = np.sin(60 * vertices[:, 0]) + np.sin(70 * vertices[:, 1] + 1)
    return vertices * (1 + 0.02 * waves[:, None])


def test_a_shift_and_a_scale_are_found(face: GeneratedFace, camera: PinholeCamera) -> None:
    truth = bumpy(face)
    moved = truth.mean(0) + 0.98 * (truth - truth.mean(0)) + np.array([0.004, -0.003, 0.005])
    depth = depth_of(truth, face, camera)
    rng = np.random.default_rng(0)
    depth = np.where(depth > 0, depth + rng.normal(0, 0.001, depth.shape), 0)
    depth[:40] = np.where(depth[:40] > 0, depth[:40] - 0.05, 0)  # a hat, nearer by more than counts
    aligned, found = align_to_depth(moved, face.mesh.faces, camera, depth)
    assert found.error_before_m > 0.002
    assert found.error_after_m < 0.0011
    assert np.abs(aligned - truth).max() < 0.002
    assert found.scale == pytest.approx(1 / 0.98, abs=0.006)


def test_measuring_alone_moves_nothing(face: GeneratedFace, camera: PinholeCamera) -> None:
    vertices = bumpy(face).astype(np.float32)
    depth = depth_of(vertices + np.float32(0.003), face, camera)
    same, found = align_to_depth(vertices, face.mesh.faces, camera, depth, correct=False)
    assert np.array_equal(same, vertices)
    assert 0.001 < found.error_after_m == found.error_before_m < 0.006


def test_what_cannot_be_compared_is_infinitely_far(face: GeneratedFace, camera: PinholeCamera) -> None:
    nothing = np.zeros((128, 128))
    same, found = align_to_depth(face.mesh.vertices, face.mesh.faces, camera, nothing)
    assert found.error_after_m == np.inf
    np.testing.assert_allclose(same, face.mesh.vertices, atol=1e-7)


def test_a_large_correction_is_not_made(face: GeneratedFace, camera: PinholeCamera) -> None:
    truth = bumpy(face)
    depth = depth_of(truth, face, camera)
    moved = truth + np.array([0.0, 0.0, 0.028])
    _, found = align_to_depth(moved, face.mesh.faces, camera, depth)
    assert np.linalg.norm(found.shift_m) <= 0.025 and abs(found.scale - 1) <= 0.1
    assert found.error_after_m <= found.error_before_m


def test_a_correction_that_does_not_help_is_not_made(face: GeneratedFace, camera: PinholeCamera) -> None:
    vertices = bumpy(face)
    _, found = align_to_depth(vertices, face.mesh.faces, camera, depth_of(vertices, face, camera))
    assert found.error_after_m <= found.error_before_m < 1e-6


def test_normals_from_depth_are_the_surface_s(face: GeneratedFace, camera: PinholeCamera) -> None:
    surface = visible_surface(face.mesh, camera)
    normals = depth_normals(surface.depth, camera.intrinsics)
    covered = surface.depth > 0
    assert np.array_equal(normals.any(-1), covered)
    np.testing.assert_allclose(np.linalg.norm(normals[covered], axis=1), 1, atol=1e-5)
    corners = surface.vertices[face.mesh.faces[surface.triangle[covered]]]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    angle = np.degrees(np.arccos(np.clip((flat * normals[covered]).sum(1), -1, 1)))
    assert np.median(angle) < 4
    assert (normals[covered][:, 2] < 0).mean() > 0.99
