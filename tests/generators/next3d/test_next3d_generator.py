"""The paper's pipeline on a made-up FLAME and random weights: faces, labels, a data set; and its geometry exactly."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from datasets import load_dataset
from reference_arrays import Reference

from synthforge_hf.annotation.annotate import annotate
from synthforge_hf.data.generation import generate
from synthforge_hf.data.preview import read_samples
from synthforge_hf.data.recipes import recipe_from_mapping
from synthforge_hf.data.strict_yaml import to_mapping
from synthforge_hf.data.verification import verify
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.generators import load_generator
from synthforge_hf.generators.base import FaceGenerator
from synthforge_hf.generators.next3d import views
from synthforge_hf.generators.next3d.camera import camera_label, metric_camera
from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
from synthforge_hf.generators.next3d.generator import Next3DGenerator
from synthforge_hf.generators.next3d.settings import Next3DSettings
from synthforge_hf.rendering.volume import camera_rays


@pytest.fixture(scope="module")
def generator(settings: Next3DSettings) -> FaceGenerator:
    return load_generator("next3d", settings, device="cpu")


def test_a_face_and_its_labels(generator: FaceGenerator) -> None:
    assert isinstance(generator, FaceGenerator)
    face = generator.generate(3, 1, 128)
    again = generator.generate(3, 1, 128)
    assert np.array_equal(face.image, again.image) and np.array_equal(face.depth, again.depth)
    assert not np.array_equal(face.image, generator.generate(3, 2, 128).image)
    assert face.image.shape == (128, 128, 3) and face.image.std() > 5
    assert face.attributes["depth_source"] == "volume"
    assert face.attributes["alignment_error_after_mm"] <= face.attributes["alignment_error_before_mm"]
    labels = annotate(face)
    assert np.array_equal(labels.depth, face.depth)
    assert 0.7 < np.median(labels.depth[labels.depth > 0]) < 1.5
    # The head looks at a camera that is 1.08 m away and stands in the middle of the picture.
    assert np.abs(labels.landmarks_2d.mean(0) - 64).max() < 25
    assert np.abs(labels.landmarks_3d[:, 2] - 1.0).max() < 0.2
    assert 0.1 < (labels.segmentation > 0).mean() < 0.8


def test_a_data_set(settings: Next3DSettings, tmp_path: Path) -> None:
    recipe = recipe_from_mapping(
        {
            "name": "paper-next3d",
            "generator": "next3d",
            "next3d": to_mapping(settings),
        }
    )
    out = tmp_path / "synthforge"
    generate(out, recipe, num_samples=4, resolution=64, workers=1, shard_size=4, device="cpu", progress=False)
    assert verify(out, progress=False) == []
    dataset = load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert dataset.num_rows == 4
    assert len({tuple(row["identity"]) for row in dataset["head"]}) == 4
    assert "Next3D checkpoint" in (out / "README.md").read_text()
    sample = read_samples(out, 1)[0]
    assert sample.generator == "next3d" and np.abs(sample.head["identity"][:100]).max() <= 2
    assert not np.any(sample.head["identity"][100:]) and not np.any(sample.head["pose"])


def test_the_documented_recipe_is_the_default_one(repository: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (repository / "docs" / "next3d.md").read_text(), re.S)
    assert recipe_from_mapping(yaml.safe_load(block)).settings == Next3DSettings()


def test_draws_apart_are_rejected_and_counted(generator: FaceGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(generator, Next3DGenerator)

    def limit_error(millimetres: float) -> None:
        limited = replace(generator.settings, max_alignment_error_mm=millimetres, max_attempts=2)
        monkeypatch.setattr(generator, "settings", limited)

    # One after the other has another error; of these two, the second is the smaller for this sample.
    index = 8  # whose second draw is the better one
    errors = [generator._draws(0, [index], attempt)[0].alignment.error_after_m * 1000 for attempt in range(2)]
    assert errors[1] < errors[0]
    limit_error(0.5 * sum(errors))
    assert generator.generate(0, index, 32).attributes["rejected_draws"] == 1
    limit_error(1e-9)
    with pytest.raises(SynthForgeError, match="at best in 2 draws"):
        generator.generate(0, index, 32)


def test_settings_and_folders_are_checked(
    settings: Next3DSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNTHFORGE_NEXT3D", raising=False)
    with pytest.raises(UsageError, match=r"set next3d\.model in the recipe, or SYNTHFORGE_NEXT3D"):
        load_generator("next3d")
    monkeypatch.setenv("SYNTHFORGE_NEXT3D", settings.model)
    monkeypatch.setenv("SYNTHFORGE_FLAME", settings.flame)
    assert load_generator("next3d", device="cpu").name == "next3d"
    weights = Path(settings.model) / "model.safetensors"
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_bytes((Path(settings.model) / "config.json").read_bytes())
    (damaged / "model.safetensors").write_bytes(weights.read_bytes()[:10000])
    with pytest.raises(SynthForgeError, match="is damaged"):
        load_generator("next3d", replace(settings, model=str(damaged)))
    with pytest.raises(UsageError, match="holds no converted Next3D model"):
        load_generator("next3d", replace(settings, model=str(tmp_path)))
    with pytest.raises(UsageError, match="opacity"):
        replace(settings, opacity=1.5)
    with pytest.raises(UsageError, match="takes Next3DSettings"):
        load_generator("next3d", settings=Next3DConfig())


def test_camera_labels_are_the_published_ones(reference: Reference) -> None:
    """Reference yaw and pitch offsets (0.2, -0.1) and (-0.35, 0.15), fields of view 18 and 25."""
    wanted = reference.arrays("common")["c"]
    for label, yaw, pitch, field_of_view in zip(wanted, (0.2, -0.35), (-0.1, 0.15), (18, 25), strict=True):
        np.testing.assert_allclose(camera_label(yaw, -pitch, field_of_view), label, rtol=0, atol=2e-6)


def test_azimuth_and_elevation_move_the_camera_to_the_left_and_up() -> None:
    position = camera_label(0.3, 0.2, 18)[:16].reshape(4, 4)[:3, 3]
    assert position[0] > 0 and position[1] > 0 and position[2] > 2


def test_mesh_volume_and_camera_share_one_frame() -> None:
    """A point of the mesh lies on the ray of its own pixel, and where plane 0 shows what the front view shows."""
    config = Next3DConfig()
    random = np.random.default_rng(0)
    origin = np.array([0.002, 0.03, 0.02])
    head_points = random.uniform(-0.08, 0.08, (20, 3))
    mesh_points = head_points + origin
    label = camera_label(0.5, -0.3, 20.0)
    camera = metric_camera(label, origin, config, 512)

    front = views.project_to_view(torch.tensor(mesh_points)[None], views.FRONT, 5.0, config.orth_shift)[0].numpy()
    unit = config.metres_per_unit
    world = (mesh_points + np.array([0, 0.01, -0.01])) / unit
    np.testing.assert_allclose(2.0 * world[:, :2], front[:, :2], atol=1e-9)

    pose = torch.tensor(label[:16].reshape(1, 4, 4), dtype=torch.float32)
    resolution = 512
    origins, directions = camera_rays(pose, torch.tensor(label[16:].reshape(1, 3, 3), dtype=torch.float32), resolution)
    pixels = camera.project(head_points)
    for point, (x, y) in zip(world, pixels, strict=True):
        ray = int(y) * resolution + int(x)
        start, direction = origins[0, ray].numpy(), directions[0, ray].numpy()
        beside = np.linalg.norm(np.cross(point - start, direction))
        assert beside * unit < 1.08 * 0.75 / camera.intrinsics[0, 0]
    depth = camera.to_camera(head_points)[:, 2]
    np.testing.assert_allclose(depth, (world - label[:16].reshape(4, 4)[:3, 3]) @ label[[2, 6, 10]] * unit, atol=1e-9)
