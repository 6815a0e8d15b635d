"""Samples made several at a time and samples thrown away because a detector sees them elsewhere: each is still a
function of (recipe, seed, index) alone."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from synthforge_hf.data.generation import generate
from synthforge_hf.data.manifest import read_manifest
from synthforge_hf.data.recipes import Recipe, load_recipe_generator
from synthforge_hf.data.verification import verify
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.generators import load_generator
from synthforge_hf.generators.base import GeneratedFace
from synthforge_hf.generators.next3d.generator import Next3DGenerator
from synthforge_hf.generators.next3d.modeling_next3d import Planes
from synthforge_hf.generators.next3d.settings import Next3DSettings

IN_ORDER = range(4)
EACH_AFTER_ANOTHER_GROUP = (2, 1, 3, 0)
"""With groups of two, no sample is left from the group of the one before it: each is made alone."""


class LikesTheLeft:
    """An observer that sees no face where the camera stands far to the right, and a face far off near the middle."""

    version = "for tests"

    def __init__(self) -> None:
        self.sides: set[int] = set()

    def disagreement_px(self, face: GeneratedFace) -> float:
        self.sides |= {*face.image.shape[:2], face.camera.width}
        azimuth = face.attributes["camera_azimuth_deg"]
        return 4.0 if azimuth > 0 else 40.0 if azimuth > -20 else float("inf")


class SeesNobody:
    """An observer that sees no face in some samples."""

    version = "for tests"

    def __init__(self, blind_to: Iterable[int]) -> None:
        self.blind_to = set(blind_to)

    def disagreement_px(self, face: GeneratedFace) -> float:
        return float("inf") if face.identity_id in self.blind_to else 1.0


def build(settings: Next3DSettings, observer: object = None, **changes: object) -> Next3DGenerator:
    generator = load_generator("next3d", replace(settings, **changes), device="cpu", observer=observer)
    assert isinstance(generator, Next3DGenerator)
    return generator


def digest(face: GeneratedFace) -> str:
    content = [face.image, face.depth, face.head_vertices, face.camera.world_to_camera, face.coefficients.identity]
    parts = [np.ascontiguousarray(array).tobytes() for array in content] + [repr(face.attributes).encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def digests(generator: Next3DGenerator, order: Iterable[int]) -> list[str]:
    return [text for _, text in sorted((index, digest(generator.generate(5, index, 32))) for index in order)]


def batches(generator: Next3DGenerator, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the size of every batch that the networks are given."""
    sizes: list[int] = []
    make_planes = generator.model.make_planes

    def counting(ws: Tensor, *geometry: Tensor) -> Planes:
        sizes.append(len(ws))
        return make_planes(ws, *geometry)

    monkeypatch.setattr(generator.model, "make_planes", counting)
    return sizes


def test_a_sample_is_the_same_in_order_and_alone(settings: Next3DSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = build(settings, batch_size=2)
    sizes = batches(generator, monkeypatch)
    in_order = digests(generator, IN_ORDER)
    assert sizes == [2, 2] and len(set(in_order)) == 4
    assert digests(generator, EACH_AFTER_ANOTHER_GROUP) == in_order
    assert sizes == [2] * 6


def test_only_rejected_samples_are_drawn_again(settings: Next3DSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [1000 * draw.alignment.error_after_m for draw in build(settings)._draws(5, range(3), 0)]
    generator = build(settings, batch_size=3, max_alignment_error_mm=0.5 * sum(sorted(errors)[1:]), max_attempts=50)
    sizes = batches(generator, monkeypatch)
    faces = [generator.generate(5, index, 32) for index in range(3)]
    assert sizes[0] == 3 and len(sizes) > 1 and set(sizes[1:]) == {1}
    rejected = [face.attributes["rejected_draws"] for face in faces]
    assert sorted(rejected) == [0, 0, len(sizes) - 1] and rejected.index(max(rejected)) == int(np.argmax(errors))
    assert digest(generator.generate(5, 2, 32)) == digest(faces[2])


@pytest.mark.parametrize("random_rays", [False, True])
def test_a_group_shows_what_single_samples_show(settings: Next3DSettings, random_rays: bool) -> None:
    """Rounding apart; so every sample of a group has its own random numbers, along rays too."""
    together, singly = (build(settings, batch_size=size, random_rays=random_rays) for size in (2, 1))
    for index in range(2):
        one, other = together.generate(5, index, 64), singly.generate(5, index, 64)
        assert np.abs(one.image.astype(int) - other.image).max() <= 1
        assert one.attributes["camera_azimuth_deg"] == other.attributes["camera_azimuth_deg"]
        np.testing.assert_array_equal(one.coefficients.identity, other.coefficients.identity)
        both = (one.depth > 0) & (other.depth > 0)
        assert both.mean() > 0.1 and np.abs(one.depth - other.depth)[both].max() < 1e-3


def test_a_data_set_made_in_groups(settings: Next3DSettings, tmp_path: Path) -> None:
    """Shards and splits that do not fit the groups, two workers or one, interrupted or not: the same bytes."""
    recipe = Recipe(
        "groups", generator="next3d", settings=replace(settings, batch_size=2), splits={"train": 0.7, "test": 0.3}
    )
    common = {"recipe": recipe, "resolution": 32, "shard_size": 3, "device": "cpu", "progress": False}
    generate(tmp_path / "once", num_samples=7, workers=1, **common)
    assert verify(tmp_path / "once", progress=False) == []
    plan = read_manifest(tmp_path / "once").plan()
    split_of_group = {(int(index) // 2, shard.split) for shard in plan for index in shard.indices}
    assert len(split_of_group) == 4  # no group is made for two splits

    # Interrupted with the first samples done and a shard lost, then gone on with by more workers.
    generate(tmp_path / "resumed", num_samples=3, workers=1, **common)
    next((tmp_path / "resumed" / "data").glob("*.parquet")).unlink()
    generate(tmp_path / "resumed", num_samples=7, workers=2, **common)
    hashes = [
        {name: record.sha256 for name, record in read_manifest(tmp_path / folder).shards.items()}
        for folder in ("once", "resumed")
    ]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 3


def test_faces_that_the_observer_sees_elsewhere_are_drawn_anew(settings: Next3DSettings) -> None:
    observer = LikesTheLeft()
    filtered = {"max_detector_disagreement_px": 11.0, "max_attempts": 50}
    generator = build(settings, observer, batch_size=2, **filtered)
    faces = [generator.generate(5, index, 32) for index in IN_ORDER]
    assert all(face.attributes["camera_azimuth_deg"] > 0 for face in faces)
    assert {face.attributes["detector_disagreement_px"] for face in faces} == {4.0}
    assert {face.attributes["detector_weights"] for face in faces} == {"for tests"}
    rejected = [face.attributes["rejected_by_detector"] for face in faces]
    assert rejected == [face.attributes["rejected_draws"] for face in faces] and max(rejected) > 0
    assert digest(generator.generate(5, 0, 32)) == digest(faces[0])
    # The same draw is kept at every resolution: it is always the network's own image that is looked at.
    assert [generator.generate(5, index, 64).attributes["rejected_by_detector"] for index in (0, 1)] == rejected[:2]
    assert observer.sides == {512}
    assert "rejected_by_detector" not in build(settings, observer).generate(5, 0, 32).attributes


def test_attempts_are_bounded_and_a_failure_is_one_sample_s_own(settings: Next3DSettings) -> None:
    filtered = {"max_detector_disagreement_px": 11.0, "max_attempts": 3, "batch_size": 2}
    generator = build(settings, SeesNobody([1]), **filtered)
    assert generator.generate(5, 0, 32).attributes["rejected_by_detector"] == 0
    for _ in range(2):
        message = r"sample 1: .* in 3 draws .*; the detector looked at 3 of them and saw no face \(.* = 11\)"
        with pytest.raises(SynthForgeError, match=message):
            generator.generate(5, 1, 32)
    far = build(settings, LikesTheLeft(), azimuth_deg=(-10, -5), **filtered)
    with pytest.raises(SynthForgeError, match=r"saw the face 40\.0 px off at best .* raise a limit or max_attempts"):
        far.generate(5, 0, 32)


def test_a_recipe_finds_its_observer(settings: Next3DSettings, tmp_path: Path) -> None:
    filtered = replace(settings, max_detector_disagreement_px=11.0, max_attempts=2)
    with pytest.raises(UsageError, match="needs somebody who looks"):
        load_generator("next3d", filtered, device="cpu")
    with pytest.raises(UsageError, match="max_detector_disagreement_px is -1: it must be above 0"):
        replace(settings, max_detector_disagreement_px=-1.0)
    with pytest.raises(UsageError, match="batch_size is 0"):
        replace(settings, batch_size=0)
    recipe = Recipe("filtered", generator="next3d", settings=filtered)
    generator = load_recipe_generator(recipe, "cpu")
    assert isinstance(generator, Next3DGenerator) and generator.observer is not None
    assert "mini" in generator.observer.version
    # Random weights make fog, in which the embedded detector sees no face.
    with pytest.raises(SynthForgeError, match=r"sample 0: .* looked at 2 of them and saw no face"):
        generate(tmp_path / "out", recipe, num_samples=1, resolution=32, workers=1, device="cpu", progress=False)
