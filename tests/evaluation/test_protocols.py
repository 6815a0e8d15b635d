"""The benchmark protocols, on folders small enough to know every answer."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from synthforge_hf.data.generation import generate
from synthforge_hf.data.public.celebamask_hq import exchange_sides, is_mirrored
from synthforge_hf.data.recipes import Recipe
from synthforge_hf.data.schema import decode_row
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.evaluation import evaluate
from synthforge_hf.evaluation.analyser import FaceAnalyser
from synthforge_hf.evaluation.detection import PhotoFinds, search_photos, summarise_finds
from synthforge_hf.evaluation.three_hundred_w import _best_find, _shake
from synthforge_hf.models.face_detector import DetectedFace, SynthForgeFaceDetectorConfig, SynthForgeFaceDetectorModel
from synthforge_hf.segmentation_classes import CLASS_ID
from synthforge_hf.testing import EllipsoidSettings


class TestThreeHundredW:
    def test_perfect_model_has_no_error(self, oracle, write_300w):
        folder, truth = write_300w(5)
        result = evaluate(oracle.knows(truth), "300w", folder)
        assert result.num_images == 5
        assert result.metrics["nme_interocular"] == pytest.approx(0, abs=1e-2)
        assert result.metrics["auc_10"] == pytest.approx(100, abs=0.1)

    def test_errors_by_hand_and_files(self, oracle, write_300w, tmp_path):
        """All points of every face 2 pixels off, eye corners 40 pixels apart: 5 percent."""
        folder, truth = write_300w(4)
        output = tmp_path / "out" / "results.json"
        result = evaluate(oracle.knows({k: v + (0, 2) for k, v in truth.items()}), "300w", folder, "lfpw", output)
        assert result.num_images == 2
        content = json.loads(output.read_text())
        assert set(content) == {"benchmark", "protocol", "model", "num_images", "metrics"}
        assert set(content["metrics"]) == {"nme_interocular", "nme_inner51", "nme_jaw", "failure_rate_10", "auc_10"}
        assert content["metrics"]["nme_interocular"] == pytest.approx(5.0, abs=1e-3)
        assert content["metrics"]["failure_rate_10"] == 0.0
        assert content["metrics"]["auc_10"] == pytest.approx(50.0, abs=1e-2)
        rows = list(csv.DictReader(output.with_suffix(".csv").open()))
        assert [row["image"] for row in rows] == ["lfpw/trainset/face1.png", "lfpw/trainset/face3.png"]
        assert float(rows[0]["nme_jaw"]) == pytest.approx(5.0, abs=1e-3)

    def test_protocol_names_what_changes_the_figures(self, analyser, write_300w):
        folder, _ = write_300w(3)
        plain = evaluate(analyser.with_options(flip_test=False), "300w", folder, "helen/trainset")
        varied = evaluate(analyser.with_options(refine=True), "300w", folder, box_noise=0.1, limit=2)
        assert varied.num_images == 2
        for part in ("helen/trainset", "ground-truth boxes", "crop 1.35 x", "(36, 45)"):
            assert part in plain.protocol
        for part in ("first 2", "box noise 0.1", "averaged with the mirrored crop", "second time"):
            assert part in varied.protocol
            assert part not in plain.protocol

    def test_box_noise_is_repeatable_and_sized_as_asked(self):
        box = np.array([100.0, 100, 200, 180])
        shaken = np.stack([_shake(box, 0.1, 0, number) for number in range(400)])
        np.testing.assert_array_equal(shaken[3], _shake(box, 0.1, 0, 3))
        centres = 0.5 * (shaken[:, :2] + shaken[:, 2:])
        np.testing.assert_allclose(centres.std(axis=0), 10, rtol=0.15)
        np.testing.assert_allclose(np.log((shaken[:, 2] - shaken[:, 0]) / 100).std(), 0.1, rtol=0.15)

    def test_finds_are_matched_to_the_annotated_face(self):
        truth = np.array([10.0, 10, 50, 50])
        other, near = DetectedFace((200, 200, 280, 280), 0.9), DetectedFace((12, 8, 54, 50), 0.5)
        np.testing.assert_array_equal(_best_find([other, near], truth), near.box)
        assert np.isnan(_best_find([other], truth)).all()
        assert np.isnan(_best_find([], truth)).all()

    def test_flip_averaging_treats_both_sides_alike(self, analyser):
        """With flip averaging the mirrored photo gives the mirrored landmarks; without, an untrained model does not."""
        from synthforge_hf.annotation.landmarks import MIRRORED_LANDMARKS

        pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)
        photo, mirrored = Image.fromarray(pixels), Image.fromarray(pixels[:, ::-1].copy())
        box = [np.array([[20.0, 20, 76, 76]])]
        both, analyser = analyser, analyser.with_options(flip_test=False)
        points, flipped = both.landmarks([photo], box)[0], both.landmarks([mirrored], box)[0]
        expected = np.stack([96 - points[:, 0], points[:, 1]], axis=1)[MIRRORED_LANDMARKS]
        assert np.median(np.abs(flipped - expected)) < 0.01
        plain, plain_flipped = analyser.landmarks([photo], box)[0], analyser.landmarks([mirrored], box)[0]
        expected = np.stack([96 - plain[:, 0], plain[:, 1]], axis=1)[MIRRORED_LANDMARKS]
        assert np.median(np.abs(plain_flipped - expected)) > 1

    def test_refusals(self, analyser, write_300w, tmp_path):
        folder, _ = write_300w(1)
        with pytest.raises(UsageError, match="boxes"):
            evaluate(analyser, "300w", folder, boxes="mine")
        with pytest.raises(UsageError, match="limit"):
            evaluate(analyser, "300w", folder, limit=0)
        with pytest.raises(UsageError, match="benchmark"):
            evaluate(analyser, "wflw", folder)
        with pytest.raises(UsageError, match=r"no \.pts"):
            evaluate(analyser, "300w", _made(tmp_path / "empty"))

    def test_a_detector_is_not_a_model_for_faces(self, tmp_path):
        SynthForgeFaceDetectorModel(SynthForgeFaceDetectorConfig()).save_pretrained(tmp_path)
        with pytest.raises(UsageError, match="synthforge_face_detector"):
            FaceAnalyser.load(str(tmp_path))
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(SynthForgeError, match=r"config\.json"):
            FaceAnalyser.load(str(tmp_path))


class TestCelebAMaskHQ:
    @pytest.fixture
    def folder(self, tmp_path) -> tuple[Path, dict[int, np.ndarray]]:
        """Three photos, the last one mirrored without its classes exchanged."""
        truth = {}
        for name in ("images", "masks"):
            (tmp_path / name).mkdir()
        for number in range(3):
            labels = np.ones((64, 64), np.uint8)
            labels[20:26, 8:20], labels[20:26, 44:56] = CLASS_ID["r_eye"], CLASS_ID["l_eye"]
            labels[40:50, 20:44] = CLASS_ID["mouth"]
            labels[60:] = 0
            truth[number] = labels
            shipped = labels[:, ::-1] if number == 2 else labels
            Image.new("RGB", (128, 128), (number,) * 3).save(tmp_path / "images" / f"{number}.png")
            Image.fromarray(shipped).save(tmp_path / "masks" / f"{number}.png")
        return tmp_path, truth

    def test_figures_with_and_without_the_mirrored_photo_put_right(self, folder, oracle):
        directory, truth = folder
        result = evaluate(oracle.knows(truth), "celebamask-hq", directory)
        assert result.metrics["mean_f1_mirrored_corrected"] == pytest.approx(100)
        # As shipped a third of the eyes' pixels is wrong on both sides.
        assert result.metrics["f1"]["l_eye"] == pytest.approx(200 / 3, abs=1e-3)
        assert result.metrics["f1"]["mouth"] == pytest.approx(100)
        # Core classes here: skin, both eyes, mouth.
        by_class = result.metrics["f1"]
        core = [by_class[name] for name in ("skin", "l_eye", "r_eye", "mouth")]
        assert result.metrics["mean_f1_core"] == pytest.approx(np.mean(core))
        assert "1 mirrored photos" in result.protocol
        assert [row["mirrored"] for row in result.per_image] == [0, 0, 1]

    def test_untrained_model_runs_and_scores_badly(self, folder, analyser):
        result = evaluate(analyser, "celebamask-hq", folder[0], limit=2)
        assert result.num_images == 2
        assert 0 <= result.metrics["mean_f1"] < 50

    def test_mirrored_masks_are_recognised_by_their_eyes(self):
        labels = np.zeros((10, 20), np.uint8)
        labels[2, 2:5], labels[2, 12:15], labels[5, 1] = CLASS_ID["l_eye"], CLASS_ID["r_eye"], CLASS_ID["l_ear"]
        assert is_mirrored(labels)
        fixed = exchange_sides(labels)
        assert not is_mirrored(fixed)
        assert fixed[5, 1] == CLASS_ID["r_ear"]
        np.testing.assert_array_equal(exchange_sides(fixed), labels)
        assert not is_mirrored(np.zeros((4, 4), np.uint8))

    def test_refuses_an_unknown_crop(self, folder, analyser):
        with pytest.raises(UsageError, match="crop"):
            evaluate(analyser, "celebamask-hq", folder[0], crop="middle")


class TestDetection:
    finds = (
        PhotoFinds(Path("a"), np.zeros(4), np.zeros((2, 4)), np.array([0.9, 0.6]), np.array([0.8, 0.1])),
        PhotoFinds(Path("b"), np.zeros(4), np.zeros((1, 4)), np.array([0.7]), np.array([0.2])),
        PhotoFinds(Path("c"), np.zeros(4), np.zeros((1, 4)), np.array([0.3]), np.array([0.6])),
        PhotoFinds(Path("d"), np.zeros(4), np.zeros((0, 4)), np.zeros(0), np.zeros(0)),
    )

    def test_recall_and_false_finds_by_hand(self):
        assert summarise_finds(list(self.finds), 0.5) == {
            "recall": 25.0,
            "false_finds_per_photo": 0.5,
            "median_iou": 0.8,
        }
        assert summarise_finds(list(self.finds), 0.2)["recall"] == 50.0

    def test_search_compares_with_the_annotated_face(self, write_300w):
        folder, truth = write_300w(1)
        path = folder / "helen" / "trainset" / "face0.png"
        box = (25.0, 25.0, 95.0, 95.0)
        found = search_photos(lambda photo, score_threshold: [DetectedFace(box, 0.9)], [(path, truth[0])])
        assert found[0].ious[0] > 0.5


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def toy_faces(tmp_path_factory) -> Path:
    """Eight painted ellipsoids, four of them for validation."""
    recipe = Recipe(
        name="toy",
        description="Painted ellipsoids.",
        generator="ellipsoid",
        settings=EllipsoidSettings(),
        splits={"train": 0.5, "validation": 0.5},
    )
    folder = tmp_path_factory.mktemp("toy") / "faces"
    generate(folder, recipe, 8, resolution=96, workers=1, shard_size=2, progress=False)
    return folder


class TestSynthetic:
    def test_the_truth_scores_perfectly(self, toy_faces, analyser):
        class Truth(FaceAnalyser):
            def analyse(self, photos, boxes, masks=True, **options):
                sample = next(s for s in samples if (np.asarray(photos[0]) == s.image).all())
                return [
                    {
                        "landmarks": sample.landmarks_2d,
                        "segmentation": sample.segmentation,
                        "depth": sample.depth,
                        "crop": np.array([10.0, 10, 80, 80]),
                    }
                ]

        files = sorted(toy_faces.glob("data/validation-*.parquet"))
        samples = [decode_row(row) for file in files for row in pq.read_table(file).to_pylist()]
        result = evaluate(Truth(analyser.model, analyser.processor, "truth"), "synthforge", toy_faces)
        assert result.num_images == len(samples) == 4
        assert result.metrics["nme_interocular"] == pytest.approx(0)
        assert result.metrics["mean_f1"] == pytest.approx(100)
        assert result.metrics["depth_abs_rel"] == pytest.approx(0)
        assert [row["image"] for row in result.per_image] == [sample.sample_id for sample in samples]

    def test_an_untrained_model_is_measured_on_all_three_tasks(self, toy_faces, analyser):
        result = evaluate(analyser, "synthforge", toy_faces, "train", limit=2)
        assert result.num_images == 2
        assert result.metrics["nme_interocular"] > 5
        assert 0 <= result.metrics["mean_f1"] < 60
        assert result.metrics["depth_abs_rel"] > 0
        assert "split train, first 2" in result.protocol

    def test_names_the_splits_there_are(self, toy_faces, analyser, tmp_path):
        with pytest.raises(UsageError, match="train"):
            evaluate(analyser, "synthforge", toy_faces, "test")
        with pytest.raises(SynthForgeError, match="nowhere"):
            evaluate(analyser, "synthforge", tmp_path / "nowhere")
