"""A head-shaped mesh made from formulas, in FLAME's place: an ellipsoid with a mouth hole, texture and landmarks."""

import numpy as np

RADII = np.array([0.085, 0.125, 0.1])
COLUMNS, ROWS = 64, 48
MOUTH = (-0.055, 0.012, 0.026)
"""Height of the mouth's centre, half its height and half its width, metres."""


def small_head() -> dict[str, np.ndarray]:
    """Return vertices (V, 3) and landmarks (68, 3) in metres, faces and uvfaces (F, 3), uvs (VT, 2), v up, and the mask
    uv_face_eye_mask (256, 256) uint8."""
    longitude = np.linspace(-np.pi, np.pi, COLUMNS + 1)
    latitude = np.linspace(0.5 * np.pi, -0.5 * np.pi, ROWS + 1)
    phi, theta = np.meshgrid(latitude, longitude, indexing="ij")
    vertices = RADII * np.stack([np.sin(theta) * np.cos(phi), np.sin(phi), np.cos(theta) * np.cos(phi)], -1)
    uvs = np.stack([0.5 + 0.5 * theta / np.pi, 0.5 + phi / np.pi], -1).reshape(-1, 2)
    corner = (np.arange(ROWS)[:, None] * (COLUMNS + 1) + np.arange(COLUMNS)).reshape(-1)
    down = COLUMNS + 1
    faces = np.concatenate(
        [
            np.stack([corner, corner + down, corner + 1], 1),
            np.stack([corner + 1, corner + down, corner + down + 1], 1),
        ]
    )
    vertices = vertices.reshape(-1, 3)
    area = np.linalg.norm(
        np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]), axis=1
    )
    centre = vertices[faces].mean(1)
    height, half_height, half_width = MOUTH
    inside = (centre[:, 2] > 0) & (
        (centre[:, 0] / half_width) ** 2 + ((centre[:, 1] - height) / half_height) ** 2 < 0.5
    )
    faces = faces[(area > 1e-9) & ~inside]
    mask = np.zeros((256, 256), np.uint8)
    mask[20:200, 40:216] = 255
    mask[100:112, 96:112] = 0
    mask[100:112, 144:160] = 0
    return {
        "vertices": vertices.astype(np.float32),
        "landmarks": small_landmarks().astype(np.float32),
        "faces": faces.astype(np.int32),
        "uvfaces": faces.astype(np.int32),
        "uvs": uvs.astype(np.float32),
        "uv_face_eye_mask": mask,
    }


def small_landmarks() -> np.ndarray:
    """(68, 3) points on the ellipsoid's front; only the mouth's matter to the generator."""
    points = np.zeros((68, 2))
    points[:17] = 0.06 * np.stack([np.cos(np.linspace(np.pi, 2 * np.pi, 17)), np.sin(np.linspace(np.pi, 0, 17)) - 1], 1)
    points[17:48, 1] = 0.03
    height, half_height, half_width = MOUTH
    for begin, count, size in ((48, 12, 1.0), (60, 8, 0.6)):
        angle = np.pi - np.arange(count) * 2 * np.pi / count
        points[begin : begin + count] = np.stack(
            [size * half_width * np.cos(angle), height + size * half_height * np.sin(angle)], 1
        )
    z = RADII[2] * np.sqrt(1 - (points[:, 0] / RADII[0]) ** 2 - (points[:, 1] / RADII[1]) ** 2)
    return np.concatenate([points, z[:, None]], 1)
