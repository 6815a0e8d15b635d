"""Is one stored sample consistent with itself? Its labels re-derived from each other, as exactly as storage allows."""

from typing import Any

import numpy as np

from synthforge_hf.data.schema import DEPTH_UNIT, NUM_LANDMARKS, Sample
from synthforge_hf.rendering.camera import project
from synthforge_hf.segmentation_classes import CLASS_ID, SEGMENTATION_CLASSES

LANDMARK_TOLERANCE_PX = 0.01
DEPTH_TOLERANCE_M = 0.003 + DEPTH_UNIT
"""A landmark counts as visible up to 3 mm from the surface; storage rounds that surface's depth."""

NORMAL_TOLERANCE_DEG = 10.0
INNER = slice(17, NUM_LANDMARKS)
"""The 51 points that are fixed on the surface; the jaw's 17 slide along the contour."""


def check_geometry_columns(row: dict[str, Any], resolution: int) -> list[str]:
    """Check one row's cameras and landmarks, without its images. Returns one sentence per problem."""
    points = np.asarray(row["landmarks_3d"], dtype=np.float64)
    pixels = np.asarray(row["landmarks_2d"], dtype=np.float64)
    intrinsics = np.asarray(row["intrinsics"], dtype=np.float64)
    pose = np.asarray(row["world_to_camera"], dtype=np.float64)
    if not all(np.isfinite(array).all() for array in (points, pixels, intrinsics, pose)):
        return ["landmarks, intrinsics or world_to_camera hold numbers that are not finite"]
    problems = []
    focal = intrinsics[[0, 1], [0, 1]]
    if (focal <= 0).any() or not np.array_equal(intrinsics[2], [0, 0, 1]):
        problems.append("intrinsics is not a pinhole camera's")
    rotation = pose[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-4 or np.linalg.det(rotation) < 0:
        problems.append("world_to_camera does not hold a rotation")
    if not np.array_equal(pose[3], [0, 0, 0, 1]):
        problems.append("world_to_camera's last row is not (0, 0, 0, 1)")
    if (points[:, 2] <= 0).any():
        problems.append("landmarks_3d lie behind the camera")
    elif (error := np.abs(project(points, intrinsics) - pixels)[INNER].max()) > LANDMARK_TOLERANCE_PX:
        problems.append(f"landmarks_2d is {error:.3f} px from the projection of landmarks_3d")
    inside = ((pixels >= 0) & (pixels <= resolution)).all(axis=1)
    if (np.asarray(row["landmarks_visible"], dtype=bool) & ~inside).any():
        problems.append("landmarks outside the image are called visible")
    if row["identity_id"] < 0:
        problems.append(f"identity_id is {row['identity_id']}")
    return problems


def check_images(sample: Sample, resolution: int) -> list[str]:
    """Check one sample's images against each other and against its landmarks. Returns one sentence per problem."""
    for name, array in (("image", sample.image), ("normals", sample.normals)):
        if array is not None and (array.shape != (resolution, resolution, 3)):
            return [f"{name} is {array.shape}, not ({resolution}, {resolution}, 3)"]
    for name, array in (("depth", sample.depth), ("segmentation", sample.segmentation)):
        if array.shape != (resolution, resolution):
            return [f"{name} is {array.shape}, not ({resolution}, {resolution})"]
    problems = []
    surface = sample.depth > 0
    if not surface.any():
        return ["depth shows no surface"]
    if sample.image.min() == sample.image.max():
        problems.append("image is of one colour")
    if sample.segmentation.max() >= len(SEGMENTATION_CLASSES):
        problems.append(f"segmentation holds the class {sample.segmentation.max()}, which there is not")
    # Clear glasses are looked through by depth, also where nothing is behind them.
    elif ((sample.segmentation > 0) & (sample.segmentation != CLASS_ID["eye_g"]) & ~surface).any():
        problems.append("segmentation has classes where depth shows no surface")
    if sample.normals is not None and (sample.normals.any(axis=-1) != surface).any():
        problems.append("normals and depth do not cover the same pixels")
    elif sample.normals is not None and (angle := normal_error_deg(sample)) > NORMAL_TOLERANCE_DEG:
        problems.append(f"normals differ from the depth's slope by {angle:.1f} degrees (median)")
    # A generator that renders a volume has depth of one surface and landmarks of another; it reports how far apart.
    error = 0.0 if sample.attributes.get("depth_source") == "volume" else landmark_depth_error(sample)
    if error > DEPTH_TOLERANCE_M:
        problems.append(f"depth under a visible landmark is {error * 1000:.1f} mm from landmarks_3d")
    return problems


def landmark_depth_error(sample: Sample) -> float:
    """Return the largest distance in metres of a visible inner landmark's z from the depth of the pixel it lies in."""
    visible = np.flatnonzero(sample.landmarks_visible)
    visible = visible[visible >= INNER.start]
    height, width = sample.depth.shape
    column, row = np.clip(np.floor(sample.landmarks_2d[visible]).astype(int), 0, (width - 1, height - 1)).T
    depth = sample.depth[row, column]
    return float(np.abs(np.where(depth > 0, depth, np.inf) - sample.landmarks_3d[visible, 2]).max(initial=0))


def normal_error_deg(sample: Sample) -> float:
    """Return the median angle in degrees between the stored normals and those of the depth image's own surface.

    The slope is taken over a 64th of the image, because depth comes in steps of 0.1 mm, and only where depth bends
    little over that distance: next to edges, and across them, it says nothing about the surface.
    """
    assert sample.normals is not None
    height, width = sample.depth.shape
    reach = max(1, width // 128)
    v, u = np.mgrid[:height, :width] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(sample.intrinsics.astype(np.float64)).T
    points = rays * sample.depth[..., None]
    left, right, up, down = (
        np.s_[reach:-reach, : -2 * reach],
        np.s_[reach:-reach, 2 * reach :],
        np.s_[: -2 * reach, reach:-reach],
        np.s_[2 * reach :, reach:-reach],
    )
    middle = np.s_[reach:-reach, reach:-reach]
    depth = sample.depth
    covered = np.min([depth[side] for side in (left, right, up, down, middle)], axis=0) > 0
    bend = np.maximum(
        np.abs(depth[left] + depth[right] - 2 * depth[middle]), np.abs(depth[up] + depth[down] - 2 * depth[middle])
    )
    step = np.abs(points[right][..., 0] - points[left][..., 0])
    smooth = covered & (bend < 0.1 * step + 2 * DEPTH_UNIT)
    if not smooth.any():
        return 0.0
    slope = np.cross(points[down] - points[up], points[right] - points[left])[smooth]
    cosine = (slope * sample.normals[middle][smooth]).sum(axis=-1) / np.linalg.norm(slope, axis=-1)
    return float(np.degrees(np.median(np.arccos(np.clip(cosine, -1, 1)))))
