"""Metrics against examples worked out by hand, and the properties they must have."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthforge_hf.evaluation.metrics import (
    DepthScores,
    SegmentationScores,
    area_under_curve,
    failure_rate,
    normalised_mean_errors,
    summarise_landmark_errors,
)
from synthforge_hf.evaluation.report import EvaluationResult
from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES

OFF_BY_FIVE = np.array([3.0, 4.0])


@pytest.fixture
def faces() -> np.ndarray:
    """Three random faces whose outer eye corners are 50 pixels apart."""
    points = np.random.default_rng(0).uniform(0, 100, (3, 68, 2))
    points[:, 36], points[:, 45] = (25, 40), (75, 40)
    return points


class TestLandmarks:
    def test_perfect_prediction_has_no_error(self, faces):
        assert all((values == 0).all() for values in normalised_mean_errors(faces, faces).values())

    def test_by_hand(self, faces):
        """Jaw points 5 pixels off in x, the others exact: 10 percent of 50 pixels on 17 of 68 points."""
        predicted = faces.copy()
        predicted[:, :17, 0] += 5
        errors = normalised_mean_errors(predicted, faces)
        np.testing.assert_allclose(errors["nme_jaw"], 10.0)
        np.testing.assert_allclose(errors["nme_inner51"], 0.0)
        np.testing.assert_allclose(errors["nme_interocular"], 10.0 * 17 / 68)

    def test_outer_eye_corners_normalise(self, faces):
        """All points off by (3, 4): 5 pixels of 50, and half of that once the eyes are twice as far apart."""
        wide = faces.copy()
        wide[:, 45, 0] += 50
        np.testing.assert_allclose(normalised_mean_errors(faces + OFF_BY_FIVE, faces)["nme_interocular"], 10.0)
        np.testing.assert_allclose(normalised_mean_errors(wide + OFF_BY_FIVE, wide)["nme_interocular"], 5.0)

    @given(st.floats(0.01, 100), st.floats(-1000, 1000), st.floats(-3.2, 3.2))
    @settings(max_examples=30, deadline=None)
    def test_does_not_depend_on_scale_place_or_rotation(self, scale, shift, angle):
        random = np.random.default_rng(1)
        target = random.uniform(0, 100, (2, 68, 2))
        predicted = target + random.normal(0, 3, target.shape)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        plain = normalised_mean_errors(predicted, target)
        moved = normalised_mean_errors(scale * predicted @ turn + shift, scale * target @ turn + shift)
        for name, values in plain.items():
            np.testing.assert_allclose(moved[name], values, rtol=1e-6)

    def test_curve_and_failures_by_hand(self):
        errors = np.array([0.0, 5.0, 10.0, 20.0])
        assert failure_rate(errors) == 25.0
        assert area_under_curve(errors) == pytest.approx(100 * (1 + 0.5 + 0 + 0) / 4)

    def test_curve_agrees_with_integrating_the_distribution(self):
        errors = np.random.default_rng(2).gamma(4, 1.2, 500)
        limits = np.linspace(0, 10, 20001)
        shares = np.searchsorted(np.sort(errors), limits, side="right") / len(errors)
        assert area_under_curve(errors) == pytest.approx(10 * np.trapezoid(shares, limits), abs=0.02)

    def test_a_face_not_found_is_a_failure_but_not_in_the_means(self, faces):
        predicted = faces + OFF_BY_FIVE
        predicted[1] = np.nan
        metrics = summarise_landmark_errors(normalised_mean_errors(predicted, faces))
        assert metrics["nme_interocular"] == pytest.approx(10.0)
        assert metrics["failure_rate_10"] == pytest.approx(100 / 3, abs=0.01)
        assert metrics["auc_10"] == pytest.approx(0.0, abs=1e-6)

    def test_refuses_what_it_cannot_measure(self, faces):
        with pytest.raises(ValueError, match="68"):
            normalised_mean_errors(faces[:, :51], faces[:, :51])
        flat = faces.copy()
        flat[0, 45] = flat[0, 36]
        with pytest.raises(ValueError, match="eye corners"):
            normalised_mean_errors(faces, flat)


class TestSegmentation:
    def test_perfect_prediction_scores_100(self):
        scores = SegmentationScores(SEGMENTATION_CLASSES)
        labels = np.random.default_rng(0).integers(0, 19, (64, 64))
        scores.update(labels, labels)
        metrics = scores.compute()
        assert metrics["mean_f1"] == pytest.approx(100.0)
        assert metrics["pixel_accuracy"] == pytest.approx(100.0)
        assert set(metrics["f1"]) == set(SEGMENTATION_CLASSES)

    def test_by_hand_with_pooled_pixels(self):
        """Class "a" over both images: 3 true positives, 1 false positive, 2 false negatives; F1 = 6 / 9."""
        scores = SegmentationScores(("background", "a", "b"))
        scores.update(np.array([[1, 1, 1, 0]]), np.array([[1, 1, 0, 1]]))
        scores.update(np.array([[1, 0, 2, 2]]), np.array([[1, 1, 2, 2]]))
        metrics = scores.compute(suffix="_x")
        assert metrics["f1_x"]["a"] == pytest.approx(100 * 6 / 9, abs=1e-3)
        assert metrics["f1_x"]["b"] == pytest.approx(100.0)
        assert metrics["mean_f1_x"] == pytest.approx((100 * 6 / 9 + 100) / 2, abs=1e-3)
        assert metrics["pixel_accuracy_x"] == pytest.approx(100 * 5 / 8)

    def test_swapped_classes_show(self):
        """Left and right eyes exchanged: both score zero, everything else stays perfect."""
        labels = np.repeat(np.arange(19), 10)[None]
        swapped = labels.copy()
        swapped[labels == 4], swapped[labels == 5] = 5, 4
        scores = SegmentationScores(SEGMENTATION_CLASSES)
        scores.update(swapped, labels)
        by_class = scores.compute()["f1"]
        assert by_class["l_eye"] == by_class["r_eye"] == 0.0
        assert all(value == pytest.approx(100.0) for name, value in by_class.items() if not name.endswith("_eye"))

    def test_absent_classes_and_background_are_left_out_of_the_mean(self):
        scores = SegmentationScores(("background", "a", "b"))
        scores.update(np.array([[0, 1, 2, 1]]), np.array([[0, 0, 1, 1]]))
        metrics = scores.compute()
        assert set(metrics["f1"]) == {"background", "a"}
        assert metrics["mean_f1"] == pytest.approx(metrics["f1"]["a"])

    def test_refuses_unknown_classes_and_other_shapes(self):
        scores = SegmentationScores(("background", "a"))
        with pytest.raises(ValueError, match="0 to 1"):
            scores.update(np.array([[2]]), np.array([[0]]))
        with pytest.raises(ValueError, match="shape"):
            scores.update(np.zeros((2, 2), int), np.zeros((3, 2), int))


class TestDepth:
    def test_by_hand(self):
        """Half the pixels 10 percent too far, half exact; the last one has no surface."""
        target = np.array([[1.0, 2.0, 1.0, 2.0, 0.0]])
        predicted = np.array([[1.1, 2.2, 1.0, 2.0, 5.0]])
        scores = DepthScores()
        scores.update(predicted, target)
        metrics = scores.compute()
        assert metrics["depth_abs_rel"] == pytest.approx(0.05)
        assert metrics["depth_si_log"] == pytest.approx(math.log(1.1) / 2)

    def test_scale_changes_the_relative_error_only(self):
        target = np.random.default_rng(0).uniform(0.5, 1.5, (8, 8))
        scores = DepthScores()
        scores.update(1.2 * target, target)
        assert scores.compute()["depth_abs_rel"] == pytest.approx(0.2)
        assert scores.compute()["depth_abs_rel_scaled"] == pytest.approx(0.0, abs=1e-9)
        assert scores.compute()["depth_si_log"] == pytest.approx(0.0, abs=1e-9)


class TestReport:
    result = EvaluationResult(
        benchmark="300w",
        protocol="all; ground-truth boxes",
        model="mini",
        num_images=2,
        metrics={"nme_interocular": 5.0, "f1": {"skin": 90.0}, "auc_10": float("inf")},
        per_image=({"image": "a.jpg", "nme_interocular": 4.0}, {"image": "b.jpg", "nme_interocular": 6.0}),
    )

    def test_results_file_has_exactly_the_agreed_keys(self, tmp_path):
        results, table = self.result.save(tmp_path / "new" / "results.json")
        content = json.loads(results.read_text())
        assert list(content) == ["benchmark", "protocol", "model", "num_images", "metrics"]
        assert content["metrics"] == {"nme_interocular": 5.0, "f1": {"skin": 90.0}, "auc_10": None}
        assert table.read_text().splitlines() == ["image,nme_interocular", "a.jpg,4", "b.jpg,6"]

    def test_prints_every_metric(self, capsys):
        self.result.print()
        printed = capsys.readouterr().out
        for part in ("nme_interocular", "5.00", "f1 skin", "90.00", "ground-truth boxes", "2 images"):
            assert part in printed
