"""What hair lies on: a grid of points over the scalp and, where hair is long, down past ears, neck and shoulders.

Every path of hair is drawn in the coordinates of this grid (row, column), so that nothing needs to search the mesh.
Row 0 is at the crown, ``ANCHOR_ROW`` about where the head is widest; further rows follow the skin of the face and neck
where hair is short, and fall down where it is long. Column 0 is over the forehead, columns go once around by the
subject's left.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synthforge_hf.generators.graphics.hair_strands import load_hair_kernels, unit
from synthforge_hf.heads.anny import AnnyHead
from synthforge_hf.warp_runtime import launch_on_cpu

ANCHOR_ROW, HANGING_ROWS = 24, 24
SCALP_STEP_DEG = 150.0 / 45
"""Polar angle between rows of the head's own grid."""
SPACING, EAR_SPACING = 0.017, 0.010
"""Metres between the points of the body, and of an ear, that falling hair is kept away from."""
OVER_HEAD, OVER_EAR, OVER_BODY = 0.005, 0.008, 0.020
"""Metres that falling hair keeps from the head, from an ear, and from the shoulders with the clothes on them."""


@dataclass(frozen=True)
class HairGround:
    """points: (R, C, 3) head frame, metres. outward: (R, C, 3) unit vectors off the surface. azimuth: (C,) degrees, 0
    over the forehead, growing to the subject's left. polar: (R, C) degrees from the crown (of rows that fall: as if
    they did not). hanging: (C,) bool. row_length, column_length: (R, C) metres to the next row and column."""

    points: np.ndarray
    outward: np.ndarray
    azimuth: np.ndarray
    polar: np.ndarray
    hanging: np.ndarray
    row_length: np.ndarray
    column_length: np.ndarray

    def at(self, table: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Interpolate an (R, C) or (R, C, A) table at any rows and columns (columns go around): (..., [A]) float32."""
        attributes = np.ascontiguousarray(table.reshape(*table.shape[:2], -1), dtype=np.float32)
        values = np.empty((*row.shape, attributes.shape[2]), np.float32)
        places = [np.ascontiguousarray(each, dtype=np.float32).ravel() for each in (row, column)]
        flat = values.reshape(-1, attributes.shape[2])
        launch_on_cpu(load_hair_kernels().interpolate_table, [attributes, *places, flat])
        return values[..., 0] if table.ndim == 2 else values

    def row_of(self, polar: np.ndarray) -> np.ndarray:
        """(C,) polar angles in degrees, one per column -> (C,) rows."""
        anchor = self.polar[ANCHOR_ROW]
        return np.where(polar <= anchor, polar / anchor * ANCHOR_ROW, ANCHOR_ROW + (polar - anchor) / SCALP_STEP_DEG)


@lru_cache(maxsize=1)
def _obstacles(head: AnnyHead) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (M,) spread over skin and ears, whether each belongs to an ear, and the metres hair keeps away."""
    parts = [head.part_names.index(name) for name in ("skin", "left_ear", "right_ear")]
    vertices = np.unique(head.faces[np.isin(head.parts, parts)])
    points = head.template[vertices]
    kept = (points[:, 1] > -0.36) & (points[:, 1] < 0.05)
    vertices, points = vertices[kept], points[kept]
    ear = np.isin(vertices, head.faces[np.isin(head.parts, parts[1:])])
    # Of an ear, what stands out furthest; of the rest, any.
    order = np.lexsort((-np.abs(points[:, 0]), ear))
    vertices, points, ear = vertices[order], points[order], ear[order]
    cells = np.round(points / np.where(ear, EAR_SPACING, SPACING)[:, None]).astype(int)
    cells[ear, 0] = 1000 * np.sign(points[ear, 0])
    _, first = np.unique(cells, axis=0, return_index=True)
    vertices, points, ear = vertices[first], points[first], ear[first]
    away = np.where(ear, OVER_EAR, np.interp(points[:, 1], [-0.15, -0.11], [OVER_BODY, OVER_HEAD]))
    return vertices, ear, away


def lay_ground(
    head: AnnyHead,
    vertices: np.ndarray,
    normals: np.ndarray,
    anchor: np.ndarray,
    hanging: np.ndarray,
    length: float,
    forward: float,
    inward: np.ndarray,
) -> HairGround:
    """Make the ground for one person.

    vertices, normals: (V, 3) of the posed head. anchor: (C,) polar angle of ``ANCHOR_ROW`` in each column, degrees.
    hanging: (C,) bool, columns that fall from there by ``length`` metres. forward: pull to the front of the shoulders
    (negative: behind them). inward: (C,) pull towards the neck. Both as shares of the weight.
    """
    scalp = np.einsum("rcka,rck->rca", vertices[head.hair_triangles], head.hair_barycentric)
    columns = scalp.shape[1]
    upper = np.linspace(0, 1, ANCHOR_ROW + 1)[:, None] * anchor
    lower = np.minimum(anchor + SCALP_STEP_DEG * np.arange(1, HANGING_ROWS + 1)[:, None], 149.9)
    polar = np.concatenate([upper, lower])
    row = polar / SCALP_STEP_DEG
    index = np.minimum(row.astype(int), len(scalp) - 2)
    fraction = (row - index)[..., None].astype(np.float32)
    column = np.arange(columns)
    points = scalp[index, column] * (1 - fraction) + scalp[index + 1, column] * fraction
    centre = scalp[: len(scalp) * 2 // 3].reshape(-1, 3).mean(0)
    outward = unit(points - centre)
    if hanging.any():
        chosen = np.flatnonzero(hanging)
        # Every other column is enough; the others lie between.
        guides = chosen[::2] if len(chosen) % 2 else np.append(chosen[::2], chosen[-1])
        start = points[ANCHOR_ROW - 2 : ANCHOR_ROW + 1, guides]
        fallen, away = _fall(head, vertices, normals, start, centre, length, forward, inward[guides])
        place = np.interp(chosen, guides, np.arange(len(guides)))
        left = np.minimum(place.astype(int), len(guides) - 2)
        share = (place - left)[:, None]
        points[ANCHOR_ROW + 1 :, chosen] = fallen[:, left] * (1 - share) + fallen[:, left + 1] * share
        outward[ANCHOR_ROW + 1 :, chosen] = unit(away[:, left] * (1 - share) + away[:, left + 1] * share)
    row_length = np.linalg.norm(np.diff(points, axis=0, append=2 * points[-1:] - points[-2:-1]), axis=-1)
    column_length = np.linalg.norm(np.roll(points, -1, axis=1) - points, axis=-1)
    azimuth = np.linspace(0, 360, columns, endpoint=False)
    azimuth = np.where(azimuth > 180, azimuth - 360, azimuth)
    return HairGround(
        points, outward, azimuth, polar, hanging, np.maximum(row_length, 1e-4), np.maximum(column_length, 1e-4)
    )


def _fall(
    head: AnnyHead,
    vertices: np.ndarray,
    normals: np.ndarray,
    start: np.ndarray,
    centre: np.ndarray,
    length: float,
    forward: float,
    inward: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Let paths go on from their last rows (3, C, 3) downwards for ``length`` metres, over head and shoulders.

    Returns (HANGING_ROWS, C, 3) points and unit vectors away from the body.
    """
    chosen, ear, away = _obstacles(head)
    body = vertices[chosen].astype(np.float32)
    off = normals[chosen].astype(np.float32)
    # An ear's own normals point every way; hair slides over it as over a bump of the head.
    off[ear] = unit(body[ear] - centre.astype(np.float32))
    radial = unit((start[-1] - centre) * np.array([1, 0, 1])).astype(np.float32)
    direction = unit(start[-1] - start[0]).astype(np.float32)
    pull = np.array([0, -1, 0.35 * forward], np.float32) - inward.astype(np.float32)[:, None] * radial
    step = length / HANGING_ROWS
    points = np.empty((HANGING_ROWS + 1, *direction.shape), np.float32)
    points[0] = start[-1]
    downwards = np.argsort(-body[:, 1])
    obstacles = [each[downwards] for each in (body, off, away.astype(np.float32))]
    launch_on_cpu(load_hair_kernels().let_fall, [points, direction, pull, step, min(1.0, 60 * step), *obstacles])
    fallen = points[1:]
    smooth = fallen.copy()
    smooth[:, 1:-1] = 0.25 * fallen[:, :-2] + 0.5 * fallen[:, 1:-1] + 0.25 * fallen[:, 2:]
    along = unit(np.gradient(smooth, axis=0))
    # On the shoulders the hair lies flat: outwards is then up.
    outward = unit(radial - np.einsum("rca,ca->rc", along, radial)[..., None] * along)
    return smooth, outward
