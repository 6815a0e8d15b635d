"""Where things sit on one person's head: its own upright frame, and height maps that things are laid on."""

from copy import copy
from functools import cached_property, reduce

import numpy as np
import torch

from synthforge_hf.generators.graphics.solids import Solid
from synthforge_hf.heads.anny import AnnyHead
from synthforge_hf.rendering.mesh import used_vertices
from synthforge_hf.rendering.rasterize import depth_map

CELL = 0.0015
"""Metres per cell of the map seen from the front."""
REACH = np.array([0.105, 0.13])
"""Half width and half height of that map."""
NOTHING = -0.25
"""Height where there is nothing."""
AROUND_COLUMNS, AROUND_ROWS = 120, 96
SKULL_CENTRE = np.array([0.0, 0.022, -0.075])
"""On the mean head: what directions to the hat, hood or turban are counted from."""


class HeadFitter:
    """Fits things to heads of one model; holds what is the same for all persons."""

    def __init__(self, head: AnnyHead) -> None:
        self.head = head
        self.solid_faces = head.faces[head.parts != head.part_names.index("eyelashes")]
        self.scalp = np.unique(head.hair_triangles)
        scalp = head.template[self.scalp].astype(np.float64)
        self.scalp_spread = scalp - scalp.mean(0)
        self.ears = {
            side: np.unique(head.faces[head.parts == head.part_names.index(f"{side}_ear")])
            for side in ("left", "right")
        }
        skin = np.unique(head.faces[head.parts == head.part_names.index("skin")])
        self.ear_roots = {side: np.intersect1d(ear, skin) for side, ear in self.ears.items()}
        template = head.template
        bare = np.setdiff1d(skin, np.concatenate(list(self.ears.values())))
        level = bare[(np.abs(template[bare, 0]) > 0.03) & (np.abs(template[bare, 1] + 0.01) < 0.05)]
        self.beside = {"left": level[template[level, 0] > 0], "right": level[template[level, 0] < 0]}
        x, y, _ = template[skin].T
        self.throat = skin[(np.abs(y + 0.135) < 0.012) & (np.abs(x) < 0.075)]
        shell = head.faces[np.isin(head.parts, [head.part_names.index(n) for n in ("skin", "left_ear", "right_ear")])]
        height = template[shell, 1]
        self.outer_faces = shell[(height > -0.4).all(1)]
        self.neck_faces = shell[((height > -0.32) & (height < -0.07)).all(1)]
        self.throat_faces = shell[((height > -0.2) & (height < -0.08)).any(1)]
        self.head_faces = self.solid_faces[(template[self.solid_faces, 1] > -0.135).all(1)]
        self.upper_faces = self.solid_faces[(template[self.solid_faces, 1] > -0.2).all(1)]

    def fit(self, vertices: np.ndarray) -> "HeadFit":
        """vertices: (V, 3) of one person, head frame, metres."""
        return HeadFit(self, vertices)


class HeadFit:
    """One person's head in its own frame: x to the subject's left, y up along the skull, z out of the face, origin
    between the outer eye corners; it follows the head's turn on the neck.

    points: (V, 3) and landmarks: (68, 3) in that frame. scale: size of the skull, 1 on the mean head. rotation: (3, 3)
    columns are the frame's axes in the head frame. origin: (3,). outer_faces: (F, 3) what ``skull`` is a map of.
    """

    def __init__(self, fitter: HeadFitter, vertices: np.ndarray) -> None:
        self.fitter = fitter
        head = fitter.head
        actual = vertices[fitter.scalp].astype(np.float64)
        template_spread, actual_spread = fitter.scalp_spread, actual - actual.mean(0)
        left, _, right = np.linalg.svd(actual_spread.T @ template_spread)
        flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
        self.rotation: np.ndarray = left @ flip @ right
        self.scale = float(np.linalg.norm(actual_spread) / np.linalg.norm(template_spread))
        model = head.landmark_model
        points = np.einsum("lka,lk->la", vertices[model.triangles].astype(np.float64), model.barycentric)
        self.origin: np.ndarray = 0.5 * (points[36] + points[45])
        self.landmarks: np.ndarray = self.to_local(points)
        self.points: np.ndarray = self.to_local(vertices)
        self.outer_faces = fitter.outer_faces

    @cached_property
    def neck(self) -> "HeadFit":
        """The same person in the frame of the shoulders, directions counted from the middle of the neck."""
        other = copy(self)
        for name in ("front", "skull", "throat"):
            other.__dict__.pop(name, None)
        vertices = self.to_world(self.points)
        other.rotation, other.origin = np.eye(3), vertices[self.fitter.throat].mean(0)
        other.points, other.landmarks = vertices - other.origin, self.to_world(self.landmarks) - other.origin
        other.__dict__["skull_centre"] = np.zeros(3)
        other.outer_faces = self.fitter.neck_faces
        return other

    def to_local(self, points: np.ndarray) -> np.ndarray:
        return (np.asarray(points, dtype=np.float64) - self.origin) @ self.rotation

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) of this frame -> the head frame that all meshes are drawn in."""
        return points @ self.rotation.T + self.origin

    def place(self, solid: Solid) -> Solid:
        return solid.moved(self.to_world(solid.points))

    @cached_property
    def front(self) -> np.ndarray:
        """(H, W) height z of the face seen straight from the front, cells of ``CELL``; NOTHING beside it."""
        width, height = (2 * REACH / CELL).astype(int)
        seen = np.stack([self.points[:, 0], -self.points[:, 1], 1.0 - self.points[:, 2]], axis=1).astype(np.float32)
        intrinsics = np.array([[1 / CELL, 0, width / 2], [0, 1 / CELL, height / 2], [0, 0, 1]], dtype=np.float32)
        depth = depth_map(
            torch.from_numpy(np.ascontiguousarray(seen))[None],
            torch.from_numpy(self.fitter.upper_faces),
            torch.from_numpy(intrinsics)[None],
            int(height),
            int(width),
            orthographic=True,
        )[0].numpy()
        return np.where(depth > 0, 1.0 - depth, NOTHING)

    def height(self, points: np.ndarray, radius: float = 0.0) -> np.ndarray:
        """z of the face below (N, 2 or 3) points; the highest within ``radius`` metres, NOTHING beside the face."""
        relief = self.front if radius == 0 else spread(self.front, max(int(np.ceil(radius / CELL)), 1))
        rows, columns = relief.shape
        column = np.clip(((points[:, 0] + REACH[0]) / CELL).astype(int), 0, columns - 1)
        row = np.clip(((REACH[1] - points[:, 1]) / CELL).astype(int), 0, rows - 1)
        inside = (np.abs(points[:, :2]) < REACH).all(1)
        return np.where(inside, relief[row, column], NOTHING)

    def settle(self, points: np.ndarray, gap: float = 0.001) -> float:
        """How far to move (N, 3) points along z until the first of them is ``gap`` metres in front of the face."""
        return float((self.height(points, 0.0015) + gap - points[:, 2]).max())

    @cached_property
    def skull_centre(self) -> np.ndarray:
        return SKULL_CENTRE * self.scale

    def around(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N, 3) points -> azimuth (0 in front, growing to the subject's left, -pi to pi), angle from straight up, and
        distance from the skull's centre."""
        away = points - self.skull_centre
        radius = np.linalg.norm(away, axis=-1)
        polar = np.arccos(np.clip(away[..., 1] / np.maximum(radius, 1e-9), -1, 1))
        return np.arctan2(away[..., 0], away[..., 2]), polar, radius

    def ray(self, azimuth: np.ndarray, polar: np.ndarray, radius: np.ndarray) -> np.ndarray:
        """The inverse of ``around``."""
        across = np.sin(polar) * radius
        away = np.stack([np.sin(azimuth) * across, np.cos(polar) * radius, np.cos(azimuth) * across], axis=-1)
        return away + self.skull_centre

    @cached_property
    def skull(self) -> np.ndarray:
        """(AROUND_ROWS, AROUND_COLUMNS) distance of the outermost surface (ears included) from the skull's centre;
        rows are angles from straight up to straight down, columns azimuths from -pi to pi."""
        return self.wrap(self.points, self.outer_faces)

    @cached_property
    def throat(self) -> np.ndarray:
        """The map ``skull`` of the middle of the neck alone."""
        return self.wrap(self.points, self.fitter.throat_faces)

    def wrap(self, points: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """The map ``skull`` of other surfaces."""
        used, faces = used_vertices(faces, len(points))
        azimuth, polar, radius = self.around(points[used])
        first, second, third = azimuth[faces].T
        across = np.maximum(np.maximum(first, second), third) - np.minimum(np.minimum(first, second), third) > np.pi
        # Triangles that cross the seam behind the head are drawn at both of its sides.
        flat = np.concatenate([faces[~across].ravel(), faces[across].ravel(), faces[across].ravel()])
        angle = azimuth[flat]
        seam, doubled = 3 * int((~across).sum()), 3 * int(across.sum())
        angle[seam : seam + doubled] += np.where(angle[seam : seam + doubled] < 0, 2 * np.pi, 0)
        angle[seam + doubled :] -= np.where(angle[seam + doubled :] > 0, 2 * np.pi, 0)
        seen = np.stack([angle, polar[flat], 1.0 - radius[flat]], axis=1).astype(np.float32)
        width, height = AROUND_COLUMNS / (2 * np.pi), AROUND_ROWS / np.pi
        intrinsics = np.array([[width, 0, AROUND_COLUMNS / 2], [0, height, 0], [0, 0, 1]], dtype=np.float32)
        depth = depth_map(
            torch.from_numpy(np.ascontiguousarray(seen))[None],
            torch.arange(len(flat), dtype=torch.int32).reshape(-1, 3),
            torch.from_numpy(intrinsics)[None],
            AROUND_ROWS,
            AROUND_COLUMNS,
            orthographic=True,
        )[0].numpy()
        radii = np.where(depth > 0, 1.0 - depth, 0.0)
        # The crown, where the map's columns meet, is seen by few of them.
        seen_by = (radii > 0).sum(1)
        mean = radii.sum(1) / np.maximum(seen_by, 1)
        radii = np.where(radii > 0, radii, mean[:, None])
        seen_rows = np.flatnonzero(seen_by)
        return radii[np.clip(np.arange(AROUND_ROWS), seen_rows[0], seen_rows[-1])]

    def look_up(self, radii: np.ndarray, azimuth: np.ndarray, polar: np.ndarray) -> np.ndarray:
        """Bilinear values of a map like ``skull``."""
        column = (azimuth / (2 * np.pi) + 0.5) * AROUND_COLUMNS - 0.5
        row = np.clip(polar / np.pi * AROUND_ROWS - 0.5, 0, AROUND_ROWS - 1.001)
        left, top = np.floor(column).astype(int), row.astype(int)
        right_share, low_share = column - left, row - top
        left, right = left % AROUND_COLUMNS, (left + 1) % AROUND_COLUMNS
        upper = radii[top, left] * (1 - right_share) + radii[top, right] * right_share
        lower = radii[top + 1, left] * (1 - right_share) + radii[top + 1, right] * right_share
        return upper * (1 - low_share) + lower * low_share


def spread(values: np.ndarray, cells: int, wrap: bool = False) -> np.ndarray:
    """The highest value within so many cells, up and down, left and right (``wrap``: columns run around)."""
    result = values
    for axis in (0, 1):
        padding = [(cells, cells) if axis == each else (0, 0) for each in (0, 1)]
        padded = np.pad(result, padding, mode="wrap" if wrap and axis == 1 else "edge")
        count = result.shape[axis]
        shifted = [padded[(slice(None),) * axis + (slice(step, step + count),)] for step in range(2 * cells + 1)]
        result = reduce(np.maximum, shifted)
    return result


def smooth_around(radii: np.ndarray, cells: int, rounds: int = 2) -> np.ndarray:
    """A map like ``HeadFit.skull``, blurred by box filters."""
    for _ in range(rounds):
        for axis in (0, 1):
            padding = [(cells, cells) if axis == each else (0, 0) for each in (0, 1)]
            padded = np.pad(radii, padding, mode="wrap" if axis == 1 else "edge")
            total = np.cumsum(np.insert(padded, 0, 0.0, axis=axis), axis=axis)
            width = 2 * cells + 1
            count = radii.shape[axis]
            radii = (
                np.take(total, range(width, width + count), axis=axis) - np.take(total, range(count), axis=axis)
            ) / width
    return radii
