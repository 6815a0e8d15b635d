"""Coordinates on the ground that hair lies on: rows end, columns go around."""

import numpy as np

from synthforge_hf.generators.graphics.hair import _trace
from synthforge_hf.generators.graphics.hair_ground import HairGround
from synthforge_hf.generators.graphics.hair_strands import load_hair_kernels
from synthforge_hf.warp_runtime import launch_on_cpu

ROWS, COLUMNS = 10, 12
ROW_LENGTH, COLUMN_LENGTH = 0.01, 0.02


def flat_ground() -> HairGround:
    nothing = np.zeros((ROWS, COLUMNS, 3))
    length = np.ones((ROWS, COLUMNS))
    azimuth, hanging = np.zeros(COLUMNS), np.zeros(COLUMNS, dtype=bool)
    return HairGround(nothing, nothing, azimuth, length, hanging, ROW_LENGTH * length, COLUMN_LENGTH * length)


def test_tables_are_read_between_rows_and_around_columns() -> None:
    row, column = np.mgrid[:ROWS, :COLUMNS].astype(np.float64)
    table = np.stack([row, np.cos(2 * np.pi * column / COLUMNS)], axis=-1)
    places = np.array([0.0, 0.25, 3.5, 8.9]), np.array([0.0, 5.0, -0.5, 11.5 + 2 * COLUMNS])
    rows, waves = flat_ground().at(table, *places).T
    np.testing.assert_allclose(rows, places[0], atol=1e-6)
    # Halfway between the last column and the first, however often one has gone around.
    np.testing.assert_allclose(waves[2:], 0.5 * (1 + np.cos(2 * np.pi / COLUMNS)), atol=1e-6)
    # Beyond the last row it stays what it is there; a table without a last axis gives none.
    np.testing.assert_allclose(
        flat_ground().at(row, np.array([[99.0], [-5.0]]), np.zeros((2, 1))), [[9], [0]], atol=2e-3
    )


def test_paths_follow_the_flow_for_their_length() -> None:
    flow = np.zeros((ROWS, COLUMNS, 2))
    flow[..., 0] = 1
    start = np.array([1.0, 1.0, 1.0]), np.array([0.0, 4.0, 11.0])
    turn = np.array([0.0, np.pi / 2, -np.pi / 2])
    rows, columns = _trace(flat_ground(), flow, *start, np.array([0.04, 0.04, 0.08]), turn, steps=5)
    np.testing.assert_allclose(rows[:, -1], [1 + 0.04 / ROW_LENGTH, 1, 1], atol=1e-5)
    np.testing.assert_allclose(columns[:, -1], [0, 4 + 0.04 / COLUMN_LENGTH, 11 - 0.08 / COLUMN_LENGTH], atol=1e-5)
    assert np.allclose(np.diff(rows[0]), 1.0)


def test_over_the_crown_paths_go_down_the_other_side() -> None:
    flow = np.zeros((ROWS, COLUMNS, 2))
    flow[..., 0] = -1
    rows, columns = _trace(
        flat_ground(), flow, np.array([0.5]), np.array([2.0]), np.array([0.01]), np.zeros(1), steps=2
    )
    np.testing.assert_allclose((rows[0, -1], columns[0, -1]), (0.5, 2 + COLUMNS / 2), atol=1e-5)


def test_what_falls_keeps_off_the_nearest_of_all_obstacles() -> None:
    random = np.random.default_rng(0)
    body = random.uniform(-0.1, 0.1, (300, 3)).astype(np.float32)
    body = body[np.argsort(-body[:, 1])]
    off = random.normal(size=body.shape)
    off = (off / np.linalg.norm(off, axis=1, keepdims=True)).astype(np.float32)
    away = random.uniform(0, 0.02, len(body)).astype(np.float32)
    points = np.zeros((12, 5, 3), np.float32)
    points[0] = random.uniform(-0.05, 0.05, (5, 3)) + [0, 0.08, 0]
    direction = np.tile(np.float32([0, -1, 0]), (5, 1))
    pull = random.normal(0, 0.5, (5, 3)).astype(np.float32)
    expected, step, turning = points.copy(), 0.015, 0.3
    for column, way in enumerate(direction.copy()):
        for row in range(1, len(points)):
            way = way + pull[column] * np.float32(turning)
            moved = expected[row - 1, column] + way / np.linalg.norm(way) * np.float32(step)
            nearest = np.linalg.norm(moved - body, axis=1).argmin()
            moved = moved + off[nearest] * max(away[nearest] - (moved - body[nearest]) @ off[nearest], 0)
            way = (moved - expected[row - 1, column]) / np.linalg.norm(moved - expected[row - 1, column])
            expected[row, column] = moved
    launch_on_cpu(load_hair_kernels().let_fall, [points, direction, pull, step, turning, body, off, away])
    np.testing.assert_allclose(points, expected, atol=1e-5)
