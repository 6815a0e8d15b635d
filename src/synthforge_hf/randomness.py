"""Counter-based random numbers: every stream is named by (seed, sample index, purpose) and nothing else.

No global state, so any sample can be made again alone, in any order, by any worker.
"""

import hashlib

import numpy as np
from numpy.random.bit_generator import ISeedSequence


def random_stream(seed: int, index: int, purpose: str) -> np.random.Generator:
    """Return the random generator of one purpose ("camera", "skin", ...) of one sample.

    Two streams differ as soon as one of the three arguments differs; the same three always give the same numbers.
    The name is hashed into the 128-bit key of a Philox counter generator.
    """
    digest = hashlib.blake2b(f"{seed}/{index}/{purpose}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(_Key(digest)))  # type: ignore[arg-type]


class _Key(ISeedSequence):
    """Seeds Philox with a key as it is. By its argument ``key`` the numbers are the same, but numpy would first ask the
    system for entropy, and throw it away."""

    def __init__(self, digest: bytes) -> None:
        self._words = np.frombuffer(digest, dtype="<u8").astype(np.uint64)

    def generate_state(self, n_words: int, dtype: object = np.uint32) -> np.ndarray:
        return self._words
