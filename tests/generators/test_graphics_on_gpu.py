"""The graphics generator on CUDA draws what it draws on the CPU. Skipped without a GPU."""

import numpy as np
import pytest
import torch

from synthforge_hf.annotation import annotate
from synthforge_hf.generators import load_generator
from synthforge_hf.generators.graphics.generator import BATCH_ON_CUDA

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("index", range(6))
def test_a_face_looks_the_same_and_has_the_same_labels(index: int) -> None:
    there, here = (load_generator("graphics", device=device).generate(3, index, 256) for device in ("cuda", "cpu"))
    difference = np.abs(there.image.astype(int) - here.image.astype(int))
    # The last bits of sines and powers differ, and with them what noise rounds to.
    assert difference.mean() < 0.5 and (difference > 8).mean() < 0.01
    for name, value in vars(annotate(here)).items():
        other = getattr(annotate(there), name)
        assert np.array_equal(value, other) if isinstance(value, np.ndarray) else value == other


def test_a_face_is_the_same_every_time() -> None:
    generator = load_generator("graphics", device="cuda")
    first, second = (generator.generate(5, 2, 256).image for _ in "ab")
    assert np.array_equal(first, second)


def test_a_batch_looks_as_its_faces_do_one_by_one() -> None:
    generator = load_generator("graphics", device="cuda")
    indices = list(range(40, 40 + BATCH_ON_CUDA + 3))
    for index, face in zip(indices, generator.generate_many(5, indices, 192), strict=True):
        assert np.array_equal(face.image, generator.generate(5, index, 192).image)
