"""Labels of the embedded head: random people, faces and cameras, and what must hold for each of them."""

from functools import cache

import numpy as np
import pytest
from analytic_meshes import pixel_rays

from synthforge_hf.annotation import annotate
from synthforge_hf.generators.base import GeneratedFace, LabelledMesh
from synthforge_hf.heads.anny import load_anny_head
from synthforge_hf.heads.base import HeadCoefficients
from synthforge_hf.rendering.camera import orbit_camera, project
from synthforge_hf.rendering.mesh import vertex_normals

SEEDS = range(12)
INNER = slice(17, 68)
EYE_CORNERS = np.array([36, 39, 42, 45])


@cache
def random_face(seed: int) -> GeneratedFace:
    """Make a face whose classes are the head's own part numbers, one up."""
    random = np.random.default_rng(seed)
    head = load_anny_head()
    identity = np.array(head.neutral().identity)
    identity[:7] = random.uniform(0.2, 0.8, 7)
    expression = np.where(random.random(len(head.expression_names)) < 0.1, random.uniform(0, 0.5), 0)
    pose = random.normal(0, 0.05, (len(head.joint_names), 3))
    coefficients = HeadCoefficients(identity, expression.astype(np.float32), pose.astype(np.float32))
    vertices = head.vertices(coefficients)
    kept = head.parts != head.part_names.index("eyelashes")
    faces = head.faces[kept]
    mesh = LabelledMesh(
        vertices=vertices,
        faces=faces,
        vertex_normals=vertex_normals(vertices, faces),
        triangle_classes=head.parts[kept] + np.uint8(1),
        corner_uv=np.zeros((len(faces), 3, 2), dtype=np.float32),
        label_texture=np.zeros((1, 1), dtype=np.uint8),
    )
    camera = orbit_camera(
        azimuth=random.uniform(-0.7, 0.7),
        elevation=random.uniform(-0.4, 0.4),
        roll=random.uniform(-0.2, 0.2),
        distance=random.uniform(0.8, 1.6),
        field_of_view=np.radians(random.uniform(12, 27)),
        resolution=256,
        target=(0.0, -0.03, 0.0),
    )
    return GeneratedFace(
        image=np.zeros((256, 256, 3), dtype=np.uint8),
        camera=camera,
        mesh=mesh,
        head_vertices=vertices,
        landmark_model=head.landmark_model,
        head_name=head.name,
        head_version=head.version,
        coefficients=coefficients,
        identity_id=seed,
        attributes={},
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_landmarks_agree_with_depth_and_camera(seed: int) -> None:
    labels = annotate(random_face(seed))
    reprojected = project(labels.landmarks_3d.astype(np.float64), labels.intrinsics.astype(np.float64))
    assert np.abs(reprojected - labels.landmarks_2d).max() < 0.01
    visible = labels.landmarks_visible[INNER]
    pixels = labels.landmarks_2d[INNER][visible].astype(int)
    depth = labels.depth[pixels[:, 1], pixels[:, 0]]
    assert np.abs(depth - labels.landmarks_3d[INNER][visible, 2]).max() <= 3e-3
    assert visible.sum() > 25


@pytest.mark.parametrize("seed", SEEDS)
def test_normals_agree_with_the_depth_gradient(seed: int) -> None:
    face = random_face(seed)
    labels = annotate(face)
    rays = pixel_rays(face.camera.intrinsics, 256, 256)
    points = labels.depth[..., None] * rays
    slope = np.cross(points[2:, 1:-1] - points[:-2, 1:-1], points[1:-1, 2:] - points[1:-1, :-2])
    window = np.lib.stride_tricks.sliding_window_view(labels.depth, (3, 3)).reshape(254, 254, 9)
    normals = labels.normals[1:-1, 1:-1]
    facing = -(normals * rays[1:-1, 1:-1]).sum(-1)
    smooth = (window > 0).all(-1) & (window.max(-1) - window.min(-1) < 0.004) & (facing > 0.3)
    assert smooth.sum() > 5000
    cosine = (normals * slope).sum(-1)[smooth] / np.linalg.norm(slope, axis=-1)[smooth]
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    # The head's triangles meet at up to tens of degrees in lips, lids and ears, where smooth normals leave the facets.
    assert np.median(angle) < 5
    assert np.quantile(angle, 0.95) < 20


@pytest.mark.parametrize("seed", SEEDS)
def test_the_part_under_eyes_is_an_eye(seed: int) -> None:
    face = random_face(seed)
    labels = annotate(face)
    head = load_anny_head()
    for side, corners in (("right", EYE_CORNERS[:2]), ("left", EYE_CORNERS[2:])):
        if not labels.landmarks_visible[corners].all():
            continue
        eyeball = np.unique(head.faces[head.parts == head.part_names.index(f"{side}_eyeball")])
        front = face.camera.project(face.head_vertices[eyeball])
        x, y = front[face.camera.to_camera(face.head_vertices[eyeball])[:, 2].argmin()].astype(int)
        around = labels.segmentation[y - 6 : y + 7, x - 6 : x + 7]
        other = "left" if side == "right" else "right"
        assert head.part_names.index(f"{side}_eyeball") + 1 in around
        assert head.part_names.index(f"{other}_eyeball") + 1 not in around
