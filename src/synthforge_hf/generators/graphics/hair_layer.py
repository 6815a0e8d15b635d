"""The opaque layer under the ribbons: a cap on the scalp, a curtain where hair falls."""

from dataclasses import dataclass, replace

import numpy as np

from synthforge_hf.generators.graphics.hair_ground import ANCHOR_ROW, HairGround
from synthforge_hf.generators.graphics.hair_strands import unit
from synthforge_hf.generators.graphics.solids import grid_faces
from synthforge_hf.rendering.mesh import cross
from synthforge_hf.rendering.shading import Material, ShadedMesh

CAP_ROWS = 28
SHARE_OF_HEIGHT = 0.82
"""Where the layer lies within the hair's height."""
DEPTH_SHADE = 0.82
"""Share of the light that reaches the layer between the clumps on it."""


@dataclass(frozen=True)
class Coverage:
    """start, end: (C,) rows of the ground between which hair grows, per column. height: (R, C) metres. table: (R, C, 7)
    float32, the ground's points and outward directions, and the height."""

    start: np.ndarray
    end: np.ndarray
    height: np.ndarray
    table: np.ndarray


def cap_layer(ground: HairGround, coverage: Coverage, standing: bool) -> ShadedMesh:
    """The layer over the scalp; where hair does not fall it dips under the skin a little inside the hairline.

    standing: the hair stands on end, and has no highlights along the scalp.
    """
    columns = len(coverage.end)
    share = np.linspace(0, 1.08, CAP_ROWS)[:, None]
    last = np.where(ground.hanging, coverage.end, coverage.end - 0.5)
    row = coverage.start + (last - coverage.start) * share
    column = np.broadcast_to(np.arange(columns, dtype=np.float64), row.shape)
    values = ground.at(coverage.table, row, column)
    offset = SHARE_OF_HEIGHT * values[..., 6] + 0.0012
    under = (share > 1) & ~ground.hanging
    if coverage.start.any():
        under |= (share == 0) | (coverage.end - coverage.start < 1.5)
    grid = values[..., :3] + values[..., 3:6] * np.where(under, -0.004, offset)[..., None]
    mesh = _surface(grid, closed=True)
    # Hair on end shows its tips: grains instead of streaks.
    return replace(mesh, directions=mesh.normals, uv=mesh.uv * np.array([3, 20], np.float32)) if standing else mesh


def curtain_layer(ground: HairGround, coverage: Coverage) -> ShadedMesh:
    """The layer of what falls, a little shorter than the clumps on it."""
    columns = np.flatnonzero(ground.hanging).astype(np.float64)
    rows = np.linspace(ANCHOR_ROW - 3, len(ground.points) - 1 - 2.5, 26)
    row, column = np.meshgrid(rows, columns, indexing="ij")
    values = ground.at(coverage.table, row, column)
    grid = values[..., :3] + values[..., 3:6] * (SHARE_OF_HEIGHT * values[..., 6:] + 0.001)
    return _surface(grid, closed=False)


def _surface(grid: np.ndarray, closed: bool) -> ShadedMesh:
    """(rows, columns, 3) points -> mesh with strands along the columns. closed: the last column meets the first."""
    if closed:
        grid = np.concatenate([grid, grid[:, :1]], axis=1)
    rows, columns = grid.shape[:2]
    vertices = grid.reshape(-1, 3).astype(np.float32)
    faces = grid_faces(rows, columns).astype(np.int32)
    directions = np.gradient(grid, axis=0)
    if closed:  # columns go around, and at the crown they meet
        around = np.concatenate([grid[:, -2:-1], grid, grid[:, 1:2]], axis=1)
        normals = cross(directions, around[:, 2:] - around[:, :-2])
        normals[0] = normals[1].sum(0)
    else:
        normals = cross(directions, np.gradient(grid, axis=1))
    normals = unit(normals)
    length = np.linalg.norm(np.diff(grid, axis=0), axis=-1).mean(1)
    along = np.concatenate([[0], np.cumsum(length)]) / 0.10
    uv = np.stack(np.broadcast_arrays(np.linspace(0, 1, columns)[None], along[:, None]), axis=-1)
    return ShadedMesh(
        vertices=vertices,
        faces=faces,
        materials=np.full(len(faces), Material.HAIR, dtype=np.uint8),
        normals=normals.reshape(-1, 3).astype(np.float32),
        uv=uv.reshape(-1, 2).astype(np.float32),
        directions=directions.reshape(-1, 3).astype(np.float32),
        occlusion=np.full(len(vertices), DEPTH_SHADE, dtype=np.float32),
        colours=np.zeros((len(vertices), 4), dtype=np.float32),
    )


def smooth_noise(rows: int, columns: int, cells: int, random: np.random.Generator) -> np.ndarray:
    """(rows, columns) noise of unit spread, periodic over the columns, with features a ``cells``-th of the grid
    wide."""
    coarse = random.normal(size=(cells + 2, 2 * cells))
    row = np.linspace(0, cells, rows)
    column = np.linspace(0, 2 * cells, columns, endpoint=False)
    r0, c0 = row.astype(int), column.astype(int)
    fr, fc = _ease(row - r0)[:, None], _ease(column - c0)[None]
    r1, c1 = r0 + 1, (c0 + 1) % (2 * cells)
    above = coarse[np.ix_(r0, c0)] * (1 - fc) + coarse[np.ix_(r0, c1)] * fc
    below = coarse[np.ix_(r1, c0)] * (1 - fc) + coarse[np.ix_(r1, c1)] * fc
    return above * (1 - fr) + below * fr


def _ease(t: np.ndarray) -> np.ndarray:
    return t * t * (3 - 2 * t)
