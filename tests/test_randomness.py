"""Streams of random numbers depend on their name, and on nothing else."""

import hashlib

import numpy as np

from synthforge_hf.randomness import random_stream


def test_a_stream_is_philox_with_the_hash_of_its_name_as_the_key() -> None:
    for seed, index, purpose in ((0, 0, "camera"), (7, 123_456, "skin"), (2**40, 1, "")):
        digest = hashlib.blake2b(f"{seed}/{index}/{purpose}".encode(), digest_size=16).digest()
        expected = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
        stream = random_stream(seed, index, purpose)
        assert np.array_equal(stream.integers(0, 2**63, 50), expected.integers(0, 2**63, 50))
        assert np.array_equal(stream.normal(size=50), expected.normal(size=50))


def test_other_names_give_other_numbers() -> None:
    names = [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b"), (0, 1, "0/a")]
    assert len({random_stream(*name).random() for name in names}) == len(names)
