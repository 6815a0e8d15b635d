import numpy as np

from synthforge_hf.rendering.strokes import draw_strokes


def strokes(*each: tuple[tuple[float, float], tuple[float, float], int], thickness: int = 1) -> np.ndarray:
    begin, way, value = zip(*each, strict=True)
    return draw_strokes(np.array(begin), np.array(way), np.array(value, dtype=np.uint8), thickness, 8, 12)


def test_a_stroke_covers_the_pixels_on_its_way() -> None:
    drawn = strokes(((2.5, 3.5), (5.0, 0.0), 200))
    expected = np.zeros((8, 12), dtype=np.uint8)
    expected[3, 2:8] = 200
    assert np.array_equal(drawn, expected)


def test_a_slanted_stroke_has_no_gaps() -> None:
    rows, columns = np.nonzero(strokes(((0.5, 0.5), (9.0, 6.0), 255)))
    assert set(columns) == set(range(10))
    assert set(rows) == set(range(7))
    assert np.abs(rows - columns * 6 / 9).max() <= 1


def test_thickness_goes_to_both_sides() -> None:
    assert np.flatnonzero(strokes(((2.5, 3.5), (5.0, 0.0), 9), thickness=3)[:, 5]).tolist() == [2, 3, 4]
    assert np.flatnonzero(strokes(((2.5, 4.0), (5.0, 0.0), 9), thickness=2)[:, 5]).tolist() == [3, 4]


def test_later_strokes_cover_earlier_ones_and_the_outside_is_left_out() -> None:
    drawn = strokes(((-3.0, 2.5), (30.0, 0.0), 50), ((4.5, -5.0), (0.0, 30.0), 70), ((40.0, 40.0), (3.0, 3.0), 90))
    assert (drawn[2] == np.where(np.arange(12) == 4, 70, 50)).all()
    assert (drawn[:, 4] == 70).all()
    assert set(np.unique(drawn)) == {0, 50, 70}


def test_no_strokes_are_an_empty_picture() -> None:
    none = np.zeros((0, 2), dtype=np.float32)
    assert not draw_strokes(none, none, np.zeros(0, dtype=np.uint8), 2, 4, 6).any()
