"""Which sample goes into which shard: a pure function of (number of samples, splits, shard size), nothing else.

A sample's split follows from its index alone, and each split's samples are cut into shards in the order of their
indices. So a larger data set begins with the smaller one: only the last shard of each split, if it was not full, has to
be made again.
"""

from dataclasses import dataclass

import numpy as np

DATA_FOLDER = "data"

_PARTS = 1_000_000
"""Shares are rounded to millionths and counted in whole numbers, so that no machine rounds differently."""


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


def plan_shards(num_samples: int, splits: dict[str, float], shard_size: int, kept_together: int = 1) -> list[Shard]:
    """Return all shards, split by split. A split that gets no sample gets no shard.

    Consecutive ``kept_together`` samples, such as those of one person, stay in one split.
    """
    indices = np.arange(num_samples, dtype=np.int64)
    numbers = split_numbers(indices, list(splits.values()), kept_together)
    shards: list[Shard] = []
    for number, split in enumerate(splits):
        own = indices[numbers == number]
        pieces = [own[start : start + shard_size] for start in range(0, len(own), shard_size)]
        shards += [Shard(split, k, shard_path(split, k, len(pieces)), piece) for k, piece in enumerate(pieces)]
    return shards


def split_numbers(indices: np.ndarray, shares: list[float], kept_together: int = 1) -> np.ndarray:
    """Return the split (0, 1, ...) of each sample. indices: (N,) int64.

    Groups of ``kept_together`` are dealt out evenly, with 0.9 and 0.1 every tenth to the second split: each split takes
    its share of those that the splits before it left over, so the first n groups hold every split in its share to
    within about one group.
    """
    numbers = np.zeros(len(indices), dtype=np.int64)
    left = np.ones(len(indices), dtype=bool)
    turn = indices // kept_together  # how many groups came to this split's choice before
    remaining = 1.0
    for number, share in enumerate(shares[:-1]):
        part = round(_PARTS * share / remaining)
        taken_before, taken_after = -(-turn * part // _PARTS), -(-(turn + 1) * part // _PARTS)
        left &= taken_after == taken_before
        numbers[left] = number + 1
        turn = turn - taken_before
        remaining -= share
    return numbers


def shard_path(split: str, number: int, count: int) -> str:
    """Return the file name the Hub expects, relative to the data set's folder."""
    return f"{DATA_FOLDER}/{split}-{number:05d}-of-{count:05d}.parquet"


def sample_id(seed: int, index: int) -> str:
    """Return what names a sample; ids of one seed sort as their indices do."""
    return f"{seed}-{index:08d}"
