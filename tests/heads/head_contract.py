"""What every parametric head must keep; a subclass says which head by overriding ``head``."""

import numpy as np
import pytest

from synthforge_hf.annotation.landmarks import surface_points
from synthforge_hf.heads.base import HeadCoefficients, ParametricHead

OUTER_EYE_CORNERS = (36, 45)


class HeadContract:
    @pytest.fixture
    def head(self) -> ParametricHead:
        raise NotImplementedError

    def random_coefficients(self, head: ParametricHead, seed: int) -> HeadCoefficients:
        """Moderate random values; a head with other units overrides this."""
        random = np.random.default_rng(seed)
        neutral = head.neutral()
        return HeadCoefficients(
            (neutral.identity + random.normal(0, 0.1, neutral.identity.shape)).astype(np.float32),
            random.uniform(0, 0.2, neutral.expression.shape).astype(np.float32),
            random.normal(0, 0.05, neutral.pose.shape).astype(np.float32),
        )

    def test_satisfies_the_protocol(self, head: ParametricHead) -> None:
        assert isinstance(head, ParametricHead)
        assert head.name and head.version

    def test_arrays_have_their_shapes(self, head: ParametricHead) -> None:
        coefficients = head.neutral()
        assert coefficients.identity.shape == (len(head.identity_names),)
        assert coefficients.expression.shape == (len(head.expression_names),)
        assert coefficients.pose.shape == (len(head.joint_names), 3)
        vertices = head.vertices(coefficients)
        assert vertices.dtype == np.float32 and vertices.shape[1] == 3
        assert head.faces.dtype == np.int32 and head.faces.min() == 0 and head.faces.max() < len(vertices)

    def test_names_are_unique(self, head: ParametricHead) -> None:
        for names in (head.identity_names, head.expression_names, head.joint_names):
            assert len(set(names)) == len(names)

    def test_landmarks_lie_on_triangles_of_the_mesh(self, head: ParametricHead) -> None:
        model = head.landmark_model
        assert model.triangles.shape == (68, 3) and model.barycentric.shape == (68, 3)
        assert model.contour_triangles.ndim == 3 and len(model.contour_triangles) % 2 == 1
        known = {tuple(sorted(face)) for face in head.faces.tolist()}
        for triangles, weights in (
            (model.triangles, model.barycentric),
            (model.contour_triangles.reshape(-1, 3), model.contour_barycentric.reshape(-1, 3)),
        ):
            assert all(tuple(sorted(triangle)) in known for triangle in triangles.tolist())
            assert np.abs(weights.sum(-1) - 1).max() < 1e-3 and weights.min() > -1e-3

    def test_frame_is_metric_and_upright(self, head: ParametricHead) -> None:
        """x to the subject's left, y up, z out of the face; eyes about 9 cm from corner to corner, near the origin."""
        model = head.landmark_model
        points = surface_points(head.vertices(head.neutral()), model.triangles, model.barycentric)
        right_corner, left_corner = points[list(OUTER_EYE_CORNERS)]
        assert 0.07 < left_corner[0] - right_corner[0] < 0.12
        assert abs(points[[36, 45, 39, 42]].mean(0)[:2]).max() < 0.01
        assert points[8, 1] < points[57, 1] < points[30, 1] < points[27, 1] < points[19, 1]
        assert points[30, 2] > points[27, 2] > points[0, 2]

    def test_faces_point_outwards(self, head: ParametricHead) -> None:
        vertices = head.vertices(head.neutral())
        model = head.landmark_model
        for landmark in (19, 24, 30, 33, 8):
            a, b, c = vertices[model.triangles[landmark]]
            face = {frozenset(item): item for item in head.faces.tolist()}[
                frozenset(model.triangles[landmark].tolist())
            ]
            a, b, c = vertices[face]
            assert np.cross(b - a, c - a)[2] > 0 or np.cross(b - a, c - a)[1] < 0

    def test_every_coefficient_moves_something_and_nothing_explodes(self, head: ParametricHead) -> None:
        neutral = head.neutral()
        rest = head.vertices(neutral)
        for field in ("expression", "pose"):
            values = getattr(neutral, field)
            for index in np.ndindex(values.shape):
                changed = values.copy()
                changed[index] += 0.3
                coefficients = HeadCoefficients(**{**vars(neutral), field: changed})
                moved = np.linalg.norm(head.vertices(coefficients) - rest, axis=1)
                assert 1e-5 < moved.max() < 0.25, f"{field} {index}"

    def test_same_coefficients_give_the_same_bytes(self, head: ParametricHead) -> None:
        coefficients = self.random_coefficients(head, 3)
        assert head.vertices(coefficients).tobytes() == head.vertices(coefficients).tobytes()

    def test_wrong_shapes_are_refused_by_name(self, head: ParametricHead) -> None:
        neutral = head.neutral()
        for field in ("identity", "expression", "pose"):
            broken = HeadCoefficients(**{**vars(neutral), field: np.zeros(3, dtype=np.float32)})
            with pytest.raises(ValueError, match=field):
                head.vertices(broken)
