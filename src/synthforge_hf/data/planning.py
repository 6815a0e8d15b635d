"""Which sample goes into which shard: a pure function of (number of samples, splits, shard size), nothing else.

A sample's split follows from its index alone, and each split's samples are cut into shards in the order of their
indices. So a larger data set begins with the smaller one: only the last shard of each split, if it was not full, has to
be made again.
"""

from dataclasses import dataclass

import numpy as np

DATA_FOLDER = "data"

_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
"""2**64 divided by the golden ratio: multiples of it, modulo 2**64, fill the range as evenly as any sequence can."""


@dataclass(frozen=True)
class Shard:
    """One planned parquet file. number counts within the split; indices: (rows,) int64 sample indices, ascending."""

    split: str
    number: int
    path: str
    indices: np.ndarray

    @property
    def name(self) -> str:
        """What stays the same when the data set grows: the split and the number within it."""
        return f"{self.split}-{self.number:05d}"


def plan_shards(
    num_samples: int, splits: dict[str, float], shard_size: int, photos_per_identity: int = 1
) -> list[Shard]:
    """Return all shards, split by split. A split that gets no sample gets no shard.

    Consecutive ``photos_per_identity`` samples show one person and stay in one split.
    """
    indices = np.arange(num_samples, dtype=np.int64)
    numbers = split_numbers(indices, list(splits.values()), photos_per_identity)
    shards: list[Shard] = []
    for number, split in enumerate(splits):
        own = indices[numbers == number]
        pieces = [own[start : start + shard_size] for start in range(0, len(own), shard_size)]
        shards += [Shard(split, k, shard_path(split, k, len(pieces)), piece) for k, piece in enumerate(pieces)]
    return shards


def split_numbers(indices: np.ndarray, shares: list[float], photos_per_identity: int = 1) -> np.ndarray:
    """Return the split (0, 1, ...) of each sample. indices: (N,) int64.

    Persons are dealt out by a low-discrepancy sequence, so any prefix holds each split in nearly its exact share.
    """
    persons = (indices // photos_per_identity).astype(np.uint64)
    position = (persons * _GOLDEN_RATIO).astype(np.float64) / 2.0**64
    return np.searchsorted(np.cumsum(shares)[:-1], position, side="right")


def shard_path(split: str, number: int, count: int) -> str:
    """Return the file name the Hub expects, relative to the data set's folder."""
    return f"{DATA_FOLDER}/{split}-{number:05d}-of-{count:05d}.parquet"
