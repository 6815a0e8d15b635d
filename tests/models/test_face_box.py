import numpy as np
import pytest

from synthforge_hf.annotation.face_box import box_iou, face_box, square_crop


def test_face_box_keeps_the_centre_and_grows_by_a_tenth_of_the_larger_side() -> None:
    points = np.array([[[10.0, 20.0], [110.0, 70.0], [60.0, 45.0]]])
    assert np.allclose(face_box(points), [[5.0, 15.0, 115.0, 75.0]])


def test_square_crop_is_centred_with_the_larger_side_scaled() -> None:
    assert np.allclose(square_crop([[5.0, 15.0, 115.0, 75.0]], 1.35), [[60.0, 45.0, 148.5]])


def test_iou_of_same_shifted_disjoint_and_empty_boxes() -> None:
    boxes = [[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [1, 1, 1, 1]]
    assert np.allclose(box_iou(boxes[:1], boxes), [[1.0, 1.0 / 3.0, 0.0, 0.0]])
    assert box_iou(np.zeros((0, 4)), boxes).shape == (0, 4)


@pytest.mark.parametrize("shape", [(68, 2), (1, 0, 2), (1, 68, 3)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="landmarks_2d"):
        face_box(np.zeros(shape))


def test_scale_must_be_positive() -> None:
    with pytest.raises(ValueError, match="scale"):
        square_crop([[0, 0, 1, 1]], 0.0)
