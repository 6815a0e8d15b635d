"""Drawing: pictures of the right size, marks in the right place, arguments untouched."""

import numpy as np

from synthforge_hf.annotation.drawing import (
    HIDDEN_COLOUR,
    SEGMENTATION_PALETTE,
    VISIBLE_COLOUR,
    colourise_depth,
    colourise_normals,
    colourise_segmentation,
    draw_box,
    draw_landmarks,
    overlay_segmentation,
    side_by_side,
)
from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES


def test_near_is_brighter_than_far_and_nothing_is_black() -> None:
    picture = colourise_depth(np.array([[0.0, 0.5, 0.6, 0.9]], np.float32)).astype(int).sum(axis=-1)[0]
    assert picture[0] == 0
    assert picture[1] > picture[2] > picture[3] > 0
    assert not colourise_depth(np.zeros((3, 3))).any()


def test_a_surface_facing_the_camera_is_light_blue() -> None:
    normals = np.zeros((1, 2, 3), np.float32)
    normals[0, 1] = (0, 0, -1)
    assert colourise_normals(normals).tolist() == [[[0, 0, 0], [128, 128, 255]]]


def test_every_class_has_its_own_colour() -> None:
    assert len({tuple(colour) for colour in SEGMENTATION_PALETTE.tolist()}) == len(SEGMENTATION_CLASSES)
    ids = np.arange(len(SEGMENTATION_CLASSES), dtype=np.uint8)[None]
    assert np.array_equal(colourise_segmentation(ids)[0], SEGMENTATION_PALETTE)


def test_overlay_leaves_the_background_alone() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    mixed = overlay_segmentation(image, np.array([[0, 1], [0, 0]]), opacity=0.5)
    assert mixed[0, 0].tolist() == [100, 100, 100]
    assert np.array_equal(mixed[0, 1], ((100 + SEGMENTATION_PALETTE[1].astype(float)) / 2).round())


def test_landmarks_are_centred_on_their_points_and_scale_with_the_image() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    point = np.array([[150.5, 80.5]])
    drawn = draw_landmarks(image, point)
    assert not image.any()
    assert drawn[80, 150].tolist() == list(VISIBLE_COLOUR)
    rows, columns = np.nonzero(drawn.any(axis=-1))
    assert (rows.mean(), columns.mean()) == (80, 150)
    large = draw_landmarks(np.zeros((1600, 1600, 3), np.uint8), point * 4)
    assert large.any(axis=-1).sum() > 8 * drawn.any(axis=-1).sum()


def test_hidden_landmarks_are_rings() -> None:
    image = np.zeros((640, 640, 3), np.uint8)
    drawn = draw_landmarks(image, np.array([[320.5, 320.5]]), np.array([False]), radius=4.5)
    assert drawn[320, 320].tolist() == [0, 0, 0]
    assert drawn[320, 324].tolist() == list(HIDDEN_COLOUR)


def test_points_and_boxes_outside_the_image_are_cut_off() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    points = np.array([[-50, 5], [1e9, 1e9], [np.nan, 3], [np.inf, 3]])
    assert not draw_landmarks(image, points).any()
    boxed = draw_box(image, (-10, -10, 15.2, 40), colour=(1, 2, 3), width=2)
    assert (boxed[:, 13:15] == (1, 2, 3)).all()
    assert not boxed[:, :13].any()
    assert not boxed[:, 15:].any()
    assert not draw_box(image, (40, 40, 50, 50)).any()


def test_side_by_side_brings_pictures_to_one_height() -> None:
    row = side_by_side([np.zeros((10, 10, 3), np.uint8), np.zeros((20, 30, 3), np.uint8)], gap=3)
    assert row.shape == (10, 10 + 3 + 15, 3)
    assert (row[:, 10:13] == 255).all()
