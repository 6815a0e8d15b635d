"""One shard, made from nothing but the request: the same request always gives the same bytes."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import Features

from synthforge_hf.annotation.annotate import annotate
from synthforge_hf.converted_folder import file_sha256
from synthforge_hf.data.recipes import Recipe
from synthforge_hf.data.schema import dataset_features, encode_sample, encode_table
from synthforge_hf.errors import SynthForgeError
from synthforge_hf.generators.base import FaceGenerator, generate_many

_ROWS_PER_GROUP = 64

_WRITER_SETTINGS: dict[str, Any] = {
    "version": "2.6",
    "data_page_version": "1.0",
    # Images are compressed already and the other columns are a hundredth of the file.
    "compression": "none",
    "use_dictionary": ["generator", "generator_license"],
    "write_page_index": True,
    "store_schema": True,
}
"""Fixed here, because the writer's own defaults may change and with them the bytes."""


@dataclass(frozen=True)
class SampleRequest:
    """What every sample of a data set has in common."""

    recipe: Recipe
    seed: int
    resolution: int


def rows_per_group(resolution: int) -> int:
    """Return how many rows are written together: what a worker holds in memory, and what a reader of one row must load.

    About 35 MB, whatever the resolution.
    """
    return max(1, min(_ROWS_PER_GROUP, _ROWS_PER_GROUP * 512**2 // resolution**2))


def make_row(generator: FaceGenerator, request: SampleRequest, index: int) -> dict[str, Any]:
    """Generate, annotate and encode sample ``index``."""
    return next(make_rows(generator, request, [index]))


def make_rows(generator: FaceGenerator, request: SampleRequest, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The same for several samples."""
    faces = generate_many(generator, request.seed, indices, request.resolution)
    for index, face in zip(indices, faces, strict=True):
        yield encode_sample(face, annotate(face), request.recipe, request.seed, index, generator.license)


def row_features(row: dict[str, Any]) -> Features:
    """Return the features of the data set that a row belongs to."""
    return dataset_features(row["attributes"], normals="normals" in row)


def write_shard(
    path: Path,
    generator: FaceGenerator,
    request: SampleRequest,
    indices: list[int],
    on_sample: Callable[[], None] = lambda: None,
) -> tuple[int, str]:
    """Make the samples ``indices`` and write them to ``path``, safe on disk. Returns (bytes, SHA-256).

    ``on_sample`` is called after every sample. Whatever is raised meanwhile leaves no file behind.
    """
    writer: pq.ParquetWriter | None = None
    features: Any = None
    group = rows_per_group(request.resolution)
    try:
        for start in range(0, len(indices), group):
            rows = []
            for row in make_rows(generator, request, indices[start : start + group]):
                features = features or row_features(row)
                _check_attributes(row, features)
                rows.append(row)
                on_sample()
            writer = writer or pq.ParquetWriter(path, features.arrow_schema, **_WRITER_SETTINGS)
            writer.write_table(encode_table(rows, features), row_group_size=group)
        if writer is not None:
            writer.close()
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return path.stat().st_size, file_sha256(path)
    except BaseException:
        _abandon(writer)
        path.unlink(missing_ok=True)
        raise


def _check_attributes(row: dict[str, Any], features: Features) -> None:
    if list(row["attributes"]) != list(features["attributes"]):
        raise SynthForgeError(
            f"sample {row['sample_id']} has attributes {list(row['attributes'])}, others of the same generator have "
            f"{list(features['attributes'])}: a generator must give every sample the same ones"
        )


def _abandon(writer: pq.ParquetWriter | None) -> None:
    """Close a writer whose file is given up; closing writes a footer, which may fail on a full disk."""
    try:
        if writer is not None:
            writer.close()
    except OSError:
        pass
