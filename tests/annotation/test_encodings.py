import numpy as np
import pytest

from synthforge_hf.annotation.depth import decode_depth, encode_depth
from synthforge_hf.annotation.normals import decode_normals, encode_normals
from synthforge_hf.errors import UsageError


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_depth_survives_to_half_a_step(dtype: type) -> None:
    depth = np.random.default_rng(0).uniform(1e-4, 6.5535, (50, 60)).astype(dtype)
    depth[::7] = 0
    encoded = encode_depth(depth)
    assert encoded.dtype == np.uint16
    decoded = decode_depth(encoded)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, depth, atol=0.51e-4)
    np.testing.assert_array_equal(decoded == 0, depth == 0)


def test_depth_steps_are_tenths_of_millimetres() -> None:
    np.testing.assert_array_equal(encode_depth(np.array([0.0, 1e-4, 0.7, 6.5535])), [0, 1, 7000, 65535])
    steps = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(encode_depth(decode_depth(steps)), steps)


@pytest.mark.parametrize("wrong", [-0.1, 6.554, 1e-5, np.nan, np.inf])
def test_depth_that_does_not_fit_is_refused(wrong: float) -> None:
    depth = np.full((4, 4), 0.7, dtype=np.float32)
    depth[2, 1] = wrong
    with pytest.raises(UsageError, match=f"depth of {np.float32(wrong):g} m does not fit"):
        encode_depth(depth)


def test_depth_squeezed_to_8_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="must be uint16, not uint8"):
        decode_depth(np.zeros((4, 4), dtype=np.uint8))


def test_normals_survive_to_half_a_degree() -> None:
    random = np.random.default_rng(0)
    normals = random.normal(size=(5000, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals[::9] = 0
    encoded = encode_normals(normals)
    assert encoded.dtype == np.uint8
    decoded = decode_normals(encoded)
    assert decoded.dtype == np.float32
    surface = normals.any(axis=1)
    assert (decoded[~surface] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(decoded[surface], axis=1), 1, atol=1e-6)
    cosine = (decoded[surface] * normals[surface]).sum(1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.5


def test_normals_are_stored_as_half_plus_half() -> None:
    np.testing.assert_array_equal(
        encode_normals(np.array([[0, 0, -1], [1, 0, 0], [0, 0, 0]])), [[128, 128, 0], [255, 128, 128], [128] * 3]
    )
