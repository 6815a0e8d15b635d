"""The face detector: network, loss, decoding, use on photos, and the scenes it is trained on."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from synthforge_hf.annotation.face_box import box_iou, face_box
from synthforge_hf.data.public.three_hundred_w import read_300w
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.evaluation.detection import search_photos, summarise_finds
from synthforge_hf.models.face_detector import (
    FaceDetector,
    SynthForgeFaceDetectorConfig,
    SynthForgeFaceDetectorModel,
    load_face_detector,
)
from synthforge_hf.models.face_detector.detection import decode, normalise, suppress
from synthforge_hf.models.face_detector.loss import _make_targets, detection_loss, generalised_iou
from synthforge_hf.models.face_detector.modeling_face_detector import STRIDE
from synthforge_hf.training.face_detector import FacePool, SceneComposer
from synthforge_hf.training.face_detector.scenes import _warp

FACE_SIZE = 256


@pytest.fixture(scope="module")
def model() -> SynthForgeFaceDetectorModel:
    torch.manual_seed(0)
    return SynthForgeFaceDetectorModel(SynthForgeFaceDetectorConfig()).eval()


@pytest.fixture(scope="module")
def pool() -> FacePool:
    return drawn_faces(12)


def drawn_faces(count: int) -> FacePool:
    """Cartoon faces: a skin ellipse with eyes, nose and mouth, on a plain background."""
    random = np.random.default_rng(0)
    angle = np.linspace(0, np.pi, 17)
    ring = np.linspace(-np.pi, np.pi, 7)[:6]
    mouth = np.linspace(-np.pi, np.pi, 21)[:20]
    shape = np.concatenate(
        [
            np.stack([-np.cos(angle), 1.1 * np.sin(angle)], axis=1) * 0.5,
            np.stack([np.linspace(-0.4, 0.4, 10), np.full(10, -0.3)], axis=1),
            np.stack([np.zeros(9), np.linspace(-0.15, 0.12, 9)], axis=1),
            np.stack([0.09 * np.cos(ring) - 0.22, 0.05 * np.sin(ring) - 0.16], axis=1),
            np.stack([0.09 * np.cos(ring) + 0.22, 0.05 * np.sin(ring) - 0.16], axis=1),
            np.stack([0.18 * np.cos(mouth), 0.07 * np.sin(mouth) + 0.3], axis=1),
        ]
    )
    images, masks, landmarks = [], [], []
    for _ in range(count):
        points = shape * random.uniform(100, 140) + FACE_SIZE / 2 + random.uniform(-10, 10, 2)
        image = Image.new("RGB", (FACE_SIZE, FACE_SIZE), tuple(random.integers(0, 256, 3).tolist()))
        mask = Image.new("L", image.size, 0)
        x0, y0, x1, y1 = face_box(points[None])[0]
        outline = (x0, y0 - 0.3 * (y1 - y0), x1, y1)
        ImageDraw.Draw(image).ellipse(outline, fill=tuple(random.integers(120, 240, 3).tolist()))
        ImageDraw.Draw(mask).ellipse(outline, fill=1)
        for part in (slice(36, 42), slice(42, 48), slice(48, 68)):
            ImageDraw.Draw(image).polygon([tuple(point) for point in points[part]], fill=(40, 20, 20))
        images.append(np.asarray(image))
        masks.append(np.asarray(mask))
        landmarks.append(points)
    return FacePool(np.stack(images), np.stack(masks), np.stack(landmarks).astype(np.float32))


class TestNetwork:
    def test_is_small(self, model):
        assert 200_000 < model.num_parameters() < 600_000

    @pytest.mark.parametrize(("height", "width"), [(192, 192), (64, 160), (32, 32)])
    def test_shapes_follow_the_input(self, model, height, width):
        output = model(torch.zeros(2, 3, height, width))
        assert output.centre_logits.shape == (2, height // STRIDE, width // STRIDE)
        assert output.log_distances.shape == (2, 4, height // STRIDE, width // STRIDE)
        assert output.loss is None

    def test_refuses_sizes_that_do_not_divide(self, model):
        with pytest.raises(ValueError, match="multiples of 32"):
            model(torch.zeros(1, 3, 100, 96))

    def test_starts_out_finding_nothing(self, model):
        assert model(torch.rand(1, 3, 64, 64)).centre_logits.sigmoid().max() < 0.2

    def test_survives_saving_and_loading(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        again = load_face_detector(tmp_path)
        pixels = torch.rand(1, 3, 64, 96)
        with torch.no_grad():
            torch.testing.assert_close(
                again.model(pixels).centre_logits, model(pixels).centre_logits, atol=1e-5, rtol=1e-4
            )
        assert again.config.to_dict()["channels"] == model.config.to_dict()["channels"]

    @pytest.mark.parametrize("change", [{"channels": (8, 8)}, {"detection_sizes": (100,)}, {"detection_sizes": ()}])
    def test_configuration_refuses_nonsense(self, change):
        with pytest.raises(Exception, match="|".join(change)):
            SynthForgeFaceDetectorConfig(**change)

    def test_loading_names_the_folder_without_a_detector(self, tmp_path):
        with pytest.raises(SynthForgeError, match=str(tmp_path)):
            load_face_detector(tmp_path)


class TestLossAndDecoding:
    boxes = (torch.tensor([[20.0, 30.0, 90.0, 110.0], [120.0, 8.0, 150.0, 44.0]]), torch.zeros(0, 4))

    def ideal_output(self, certainty: float = 12.0):
        """What a perfect network would say about ``boxes``."""
        bumps, distances, weights, _ = _make_targets(torch.zeros(2, 24, 24), self.boxes, None, STRIDE)
        logits = torch.where(bumps == 1, certainty, -certainty)
        log_distances = torch.where(weights[..., None] > 0, distances, 1.0).log().permute(0, 3, 1, 2)
        return logits, log_distances

    def test_decoding_inverts_the_targets(self):
        logits, log_distances = self.ideal_output()
        found, scores = decode(logits[0], log_distances[0], 0.5)
        order = np.argsort(found[:, 0])
        np.testing.assert_allclose(found[order], self.boxes[0].numpy(), atol=1e-3)
        assert (scores > 0.99).all()
        assert len(decode(logits[1], log_distances[1], 0.5)[0]) == 0

    def test_perfect_output_costs_nothing_and_a_blind_one_much(self):
        perfect = detection_loss(*self.ideal_output(), self.boxes, None, STRIDE)
        assert perfect["centre"] < 1e-3
        assert perfect["box"] < 1e-4
        blind = detection_loss(torch.full((2, 24, 24), -8.0), torch.zeros(2, 4, 24, 24), self.boxes, None, STRIDE)
        assert blind["centre"] > 4
        assert blind["box"] > 0.5

    def test_ignored_regions_are_free(self):
        logits = torch.full((1, 24, 24), -12.0)
        logits[0, 10, 10] = 6.0
        distances = torch.zeros(1, 4, 24, 24)
        nothing = [torch.zeros(0, 4)]
        region = [torch.tensor([[72.0, 72.0, 104.0, 104.0]])]
        assert detection_loss(logits, distances, nothing, None, STRIDE)["centre"] > 1
        assert detection_loss(logits, distances, nothing, region, STRIDE)["centre"] < 1e-3

    def test_generalised_iou_by_hand(self):
        # A square of side 2 and the same square moved by 1 to the right: intersection 2, union 6, hull 6.
        square, moved = torch.tensor([[1.0, 1, 1, 1]]), torch.tensor([[0.0, 1, 2, 1]])
        assert generalised_iou(square, square).item() == pytest.approx(1.0)
        assert generalised_iou(square, moved).item() == pytest.approx(1 / 3)
        # Apart by 2: no intersection, union 8, hull 6 x 2 = 12.
        apart = torch.tensor([[-3.0, 1, 5, 1]])
        assert generalised_iou(square, apart).item() == pytest.approx(-(12 - 8) / 12)

    def test_suppression(self):
        boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [22, 22, 26, 26], [5, 0, 15, 10]], float)
        scores = np.array([0.8, 0.9, 0.5, 0.6, 0.3])
        # 1 beats 0 (IoU 0.82); 3 lies inside 2 and beats it; 4 overlaps 1 with IoU 6/14 only.
        assert suppress(boxes, scores, 0.45) == [1, 3, 4]
        assert suppress(boxes, scores, 0.4) == [1, 3]
        assert suppress(np.zeros((0, 4)), np.zeros(0), 0.4) == []


class TestOnPhotos:
    @pytest.mark.parametrize(
        ("size", "mode"), [((1, 1), "RGB"), ((3000, 7), "RGB"), ((300, 200), "L"), ((90, 120), "RGBA")]
    )
    def test_any_photo_gives_a_list(self, model, size, mode):
        assert FaceDetector(model)(Image.new(mode, size)) == []

    def test_refuses_other_arrays(self, model):
        with pytest.raises(SynthForgeError, match="channels"):
            FaceDetector(model)(np.zeros((10, 10, 7), np.float32))

    def test_boxes_return_to_the_photos_pixels(self, model):
        """A mark in the photo must sit at the same place, scaled, in what the network sees, at every size."""
        photo = Image.new("RGB", (640, 400))
        photo.paste((255, 255, 255), (320, 100, 352, 132))
        for size in model.config.detection_sizes:
            pixels, scale = FaceDetector(model).prepare(photo, size)
            bright = np.argwhere(pixels[0].mean(dim=0).numpy() > 1.5)[:, ::-1] + 0.5
            np.testing.assert_allclose(bright.mean(axis=0) / scale, (336, 116), atol=2)

    def test_learns_from_drawn_faces(self, pool):
        """The whole chain, scenes to boxes: the loss falls within a few dozen steps on cartoons."""
        torch.manual_seed(0)
        config = SynthForgeFaceDetectorConfig(channels=(16, 24, 32, 32), depths=(0, 1, 1, 1), neck_channels=24)
        model = SynthForgeFaceDetectorModel(config)
        composer = SceneComposer(pool, [], size=96)
        optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
        losses = []
        for step in range(60):
            scenes = [composer.compose(step * 12 + number) for number in range(12)]
            images = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2)
            output = model(
                normalise(images, config),
                boxes=[torch.from_numpy(scene.boxes) for scene in scenes],
                ignored=[torch.from_numpy(scene.ignored) for scene in scenes],
            )
            output.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(output.loss.item())
        assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


class TestScenes:
    def test_are_repeatable_and_differ(self, pool):
        first, second = SceneComposer(pool, [], seed=3), SceneComposer(pool, [], seed=3)
        for index in (0, 7):
            a, b = first.compose(index), second.compose(index)
            assert (a.image == b.image).all()
            assert (a.boxes == b.boxes).all()
        assert (first.compose(0).image != first.compose(1).image).any()

    def test_hold_zero_to_six_faces_at_many_scales(self, pool):
        scenes = [SceneComposer(pool, []).compose(index) for index in range(150)]
        counts = [len(scene.boxes) for scene in scenes]
        sides = np.concatenate([(scene.boxes[:, 2:] - scene.boxes[:, :2]).max(axis=1) for scene in scenes])
        assert min(counts) == 0
        assert 3 <= max(counts) <= 6
        assert counts.count(1) > 0.4 * len(counts)
        assert sides.min() < 30
        assert sides.max() > 150
        assert all(scene.image.shape == (192, 192, 3) and scene.image.dtype == np.uint8 for scene in scenes)

    def test_faces_do_not_hide_each_other(self, pool):
        for index in range(150):
            boxes = SceneComposer(pool, []).compose(index).boxes
            overlap = box_iou(boxes, boxes) - np.eye(len(boxes))
            assert overlap.max(initial=0) < 0.3

    @pytest.mark.parametrize("scale", [1.3, 0.6, 0.21])
    @pytest.mark.parametrize("mirror", [1.0, -1.0])
    def test_warping_moves_pixels_as_it_moves_points(self, scale, mirror):
        source, target = np.array([100.0, 140.0]), np.array([90.0, 60.0])
        turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
        matrix = scale * turn * np.array([mirror, 1.0])
        layer = Image.new("RGBA", (256, 256), (0, 0, 0, 255))
        layer.paste((255, 255, 255, 255), (110, 150, 122, 162))
        warped = np.asarray(_warp(layer, matrix, source, target, 192))[..., 0].astype(float)
        rows, columns = np.mgrid[:192, :192] + 0.5
        centre = np.array([(columns * warped).sum(), (rows * warped).sum()]) / warped.sum()
        expected = matrix @ (np.array([116.0, 156.0]) - source) + target
        np.testing.assert_allclose(centre, expected, atol=0.3)

    def test_pool_names_the_missing_column(self):
        with pytest.raises(UsageError, match="segmentation"):
            FacePool.from_samples([{"image": Image.new("RGB", (8, 8)), "landmarks_2d": np.zeros((68, 2))}], 5)

    @pytest.mark.parametrize(("side", "kept"), [(512, 256), (192, 192)])
    def test_pool_scales_landmarks_with_the_image(self, side, kept):
        row = {
            "image": Image.new("RGB", (side, side)),
            "segmentation": Image.new("L", (side, side)),
            "landmarks_2d": np.full((68, 2), 100.0),
        }
        pool = FacePool.from_samples([row] * 3, 2)
        assert len(pool) == 2
        assert pool.size == kept
        np.testing.assert_allclose(pool.landmarks, 100.0 * kept / side)


@pytest.fixture(scope="module")
def embedded() -> FaceDetector:
    return load_face_detector()


class TestEmbedded:
    """The weights that ship with the package."""

    def test_weights_are_small_and_on_disk(self, repository):
        folder = repository / "src" / "synthforge_hf" / "pretrained" / "detector"
        assert {"config.json", "model.safetensors", "README.md"} <= {path.name for path in folder.iterdir()}
        assert (folder / "model.safetensors").stat().st_size < 3_000_000

    # Where the faces are, by eye.
    @pytest.mark.parametrize(
        ("name", "face"), [("astronaut.jpg", (178, 90, 274, 197)), ("grace_hopper.jpg", (182, 165, 360, 325))]
    )
    def test_best_find_is_the_face_of_a_portrait(self, embedded, repository, name, face):
        found = embedded(repository / "examples" / "photos" / name)
        assert box_iou([found[0].box], [face])[0, 0] > 0.5
        assert len(found) <= 4

    def test_finds_the_face_wherever_it_is(self, embedded, repository):
        """The same portrait mirrored, and in the corner of a larger grey photo."""
        portrait = Image.open(repository / "examples" / "photos" / "astronaut.jpg").convert("RGB")
        whole = embedded(portrait)[0].box
        mirrored = embedded(portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT))[0].box
        width = portrait.width
        assert box_iou([whole], [(width - mirrored[2], mirrored[1], width - mirrored[0], mirrored[3])])[0, 0] > 0.6
        canvas = Image.new("RGB", (800, 700), (110, 110, 110))
        canvas.paste(portrait, (280, 180))
        moved = embedded(canvas)[0].box
        assert box_iou([np.array(whole) + (280, 180, 280, 180)], [moved])[0, 0] > 0.6

    def test_finds_no_face_where_there_is_none(self, embedded):
        random = np.random.default_rng(0)
        noise = random.integers(0, 256, (300, 400, 3)).astype(np.uint8)
        ramp = np.tile(np.linspace(0, 255, 400, dtype=np.uint8)[None, :, None], (300, 1, 3))
        assert embedded(noise) == []
        assert embedded(np.ascontiguousarray(ramp)) == []
        assert embedded(Image.new("RGB", (1, 1))) == []

    def test_recall_on_real_photos(self, embedded, real_photos):
        """Every fourth photo of the two folders that the threshold was chosen on."""
        subsets = ("lfpw/trainset", "helen/trainset")
        samples = [sample for subset in subsets for sample in read_300w(real_photos / "300w", subset)[::4]]
        scores = summarise_finds(search_photos(embedded, samples), embedded.config.score_threshold)
        assert scores["recall"] >= 95
        assert scores["false_finds_per_photo"] < 0.3
