"""A ``datasets`` builder that generates faces instead of reading them: nothing has to be on disk first.

    builder = SynthForgeBuilder(recipe="paper", num_samples=1000, resolution=256)
    stream = builder.as_streaming_dataset(split="train")          # faces are made as they are asked for
    builder.download_and_prepare(num_proc=2)                      # or: made once, kept in the cache of datasets
    dataset = builder.as_dataset(split="train")

For data sets to keep, share or make on many cores, use ``generate``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import datasets

from synthforge_hf import __version__
from synthforge_hf.data.planning import plan_shards
from synthforge_hf.data.recipes import (
    DEFAULT_RECIPE,
    Recipe,
    load_recipe,
    load_recipe_generator,
    pin_backgrounds,
    recipe_from_mapping,
)
from synthforge_hf.data.shards import SampleRequest, make_row, make_rows, row_features
from synthforge_hf.data.strict_yaml import canonical_json
from synthforge_hf.errors import UsageError
from synthforge_hf.generators.base import FaceGenerator

_PROBE_RESOLUTION = 64
"""The names and types of attributes are learnt from one small sample."""


@dataclass
class SynthForgeBuilderConfig(datasets.BuilderConfig):
    """recipe: the whole recipe as canonical JSON, so that the cache of datasets tells recipes apart by content."""

    recipe: str = ""
    num_samples: int = 1000
    resolution: int = 512
    seed: int = 0
    shard_size: int = 100
    device: str = "auto"


class SynthForgeBuilder(datasets.GeneratorBasedBuilder):
    """Builds the data set of (recipe, seed, num_samples, resolution), the same samples as ``generate`` makes."""

    VERSION = datasets.Version(__version__)
    BUILDER_CONFIG_CLASS = SynthForgeBuilderConfig
    # Rows hold four images each: few in memory at once.
    DEFAULT_WRITER_BATCH_SIZE = 32

    def __init__(
        self,
        recipe: Recipe | str | Path = DEFAULT_RECIPE,
        num_samples: int = 1000,
        resolution: int = 512,
        seed: int = 0,
        device: str = "auto",
        shard_size: int = 100,
        **kwargs: Any,
    ) -> None:
        """Load the recipe and learn the columns from one small sample.

        recipe: a ``Recipe``, its name, or the path of its file. shard_size: samples that one of ``num_proc`` processes
        makes at a time. kwargs: those of ``datasets.DatasetBuilder``, such as ``cache_dir``.
        Raises UsageError for an impossible recipe or number.
        """
        if num_samples < 1 or resolution < 16 or shard_size < 1 or seed < 0:
            raise UsageError("num_samples and shard_size must be at least 1, resolution 16, seed 0")
        recipe = pin_backgrounds(recipe if isinstance(recipe, Recipe) else load_recipe(recipe))
        super().__init__(
            dataset_name="synthforge",
            recipe=canonical_json({**recipe.to_mapping(), "splits": list(recipe.splits.items())}),
            num_samples=num_samples,
            resolution=resolution,
            seed=seed,
            shard_size=shard_size,
            device=device,
            **kwargs,
        )

    def _info(self) -> datasets.DatasetInfo:
        recipe, generator = _recipe_and_generator(self.config.recipe, self.config.device)
        row = make_row(generator, SampleRequest(recipe, self.config.seed, _PROBE_RESOLUTION), 0)
        return datasets.DatasetInfo(
            description=recipe.description, features=row_features(row), license=generator.license
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        config = self.config
        recipe, _ = _recipe_and_generator(config.recipe, config.device)
        shards: dict[str, list[list[int]]] = {}
        for shard in plan_shards(config.num_samples, recipe.splits, config.shard_size, recipe.kept_together):
            shards.setdefault(shard.split, []).append([int(index) for index in shard.indices])
        return [datasets.SplitGenerator(name, gen_kwargs={"shards": own}) for name, own in shards.items()]

    def _generate_examples(self, shards: list[list[int]]) -> Iterator[tuple[int, dict[str, Any]]]:
        recipe, generator = _recipe_and_generator(self.config.recipe, self.config.device)
        request = SampleRequest(recipe, self.config.seed, self.config.resolution)
        for indices in shards:
            yield from zip(indices, make_rows(generator, request, indices), strict=True)


@lru_cache(maxsize=1)
def _recipe_and_generator(recipe_json: str, device: str) -> tuple[Recipe, FaceGenerator]:
    """Build the generator once per process. It is not kept in the builder, which must travel between processes."""
    mapping = json.loads(recipe_json)
    recipe = recipe_from_mapping({**mapping, "splits": dict(mapping["splits"])})
    return recipe, load_recipe_generator(recipe, device)
