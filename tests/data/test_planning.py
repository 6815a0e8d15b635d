"""Plans: every sample once, splits in their shares, growth that only adds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthforge_hf.data.planning import plan_shards, split_numbers

SPLITS = {"train": 0.8, "validation": 0.15, "test": 0.05}


@settings(max_examples=60, deadline=None)
@given(num_samples=st.integers(1, 3000), shard_size=st.integers(1, 700), photos=st.integers(1, 5))
def test_every_sample_is_in_exactly_one_shard_and_persons_stay_together(
    num_samples: int, shard_size: int, photos: int
) -> None:
    shards = plan_shards(num_samples, SPLITS, shard_size, photos)
    indices = np.concatenate([shard.indices for shard in shards])
    assert np.array_equal(np.sort(indices), np.arange(num_samples))
    assert len({shard.path for shard in shards}) == len(shards)
    split_of_person: dict[int, str] = {}
    for shard in shards:
        assert 1 <= len(shard.indices) <= shard_size
        assert (np.diff(shard.indices) > 0).all()
        for person in shard.indices // photos:
            assert split_of_person.setdefault(int(person), shard.split) == shard.split


@settings(max_examples=40, deadline=None)
@given(small=st.integers(1, 2000), extra=st.integers(0, 2000), shard_size=st.integers(1, 300))
def test_a_larger_data_set_begins_with_the_smaller_one(small: int, extra: int, shard_size: int) -> None:
    before = plan_shards(small, SPLITS, shard_size)
    after = {shard.name: shard for shard in plan_shards(small + extra, SPLITS, shard_size)}
    for shard in before:
        grown = after[shard.name].indices
        assert np.array_equal(grown[: len(shard.indices)], shard.indices)
        if len(shard.indices) == shard_size:
            assert np.array_equal(grown, shard.indices)


@pytest.mark.parametrize("count", [100, 1000, 10_000])
def test_splits_get_their_shares(count: int) -> None:
    numbers = split_numbers(np.arange(count), list(SPLITS.values()))
    got = np.bincount(numbers, minlength=3)
    assert np.abs(got - count * np.array(list(SPLITS.values()))).max() <= 1.5


def test_names_are_the_hub_s() -> None:
    paths = [shard.path for shard in plan_shards(5, {"train": 1.0}, 2)]
    assert paths == [f"data/train-0000{number}-of-00003.parquet" for number in range(3)]
