"""Is a data set on disk complete, undamaged and right? Every problem is found and named; nothing is changed."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from synthforge_hf.converted_folder import file_sha256
from synthforge_hf.data.label_checks import check_geometry_columns, check_images
from synthforge_hf.data.manifest import Manifest
from synthforge_hf.data.planning import Shard, sample_id
from synthforge_hf.data.quick_verification import (
    LIGHT_COLUMNS,
    Problem,
    check_columns,
    check_other_files,
    check_size,
    open_for_checks,
    unreadable,
    verify_quickly,
)
from synthforge_hf.data.schema import decode_row
from synthforge_hf.errors import SynthForgeError

IMAGES_PER_SHARD = 8
"""Rows of each shard whose images are decoded and checked, evenly spread. All rows' other columns are checked."""


def verify(out: str | Path, quick: bool = False, progress: bool = True) -> list[Problem]:
    """Check a data set that ``generate`` made; an empty list means that all is well.

    Checked are: that the manifest is byte for byte what was written; that every planned shard is there with the
    recorded size, SHA-256 and number of rows, and nothing else; types of columns; the sequence of sample ids; no person
    in two splits; in every row cameras and landmarks (finite, consistent: see ``label_checks``); and in
    ``IMAGES_PER_SHARD`` rows of each shard the images against each other and the landmarks.

    quick: see ``verify_quickly``. Raises UsageError when ``out`` is not a folder.
    """
    out = Path(out)
    if quick:
        return verify_quickly(out, progress)
    manifest = open_for_checks(out)
    if isinstance(manifest, Problem):
        return [manifest]
    plan = manifest.plan()
    problems: list[Problem] = []
    schema: pa.Schema | None = None
    split_of_person: dict[int, str] = {}
    for shard in tqdm(plan, desc="verifying", unit=" shards", disable=None if progress else True, delay=1):
        try:
            found, schema = _check_shard(out, shard, manifest, schema, split_of_person)
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, SyntaxError, SynthForgeError) as error:
            found = [unreadable(error)]
        problems += [Problem(shard.path, message) for message in found]
    return problems + check_other_files(out, plan, bool(problems))


def _check_shard(
    out: Path, shard: Shard, manifest: Manifest, schema: pa.Schema | None, split_of_person: dict[int, str]
) -> tuple[list[str], pa.Schema | None]:
    """Return what is wrong with one shard, and the schema that the others must have too."""
    path, record = out / shard.path, manifest.shards.get(shard.name)
    if problem := check_size(path, record):
        return [problem], schema
    if record is not None and file_sha256(path) != record.sha256:
        return ["has another SHA-256 than when it was made: damaged or edited"], schema
    with pq.ParquetFile(path) as file:
        stored = file.schema_arrow
        if schema is not None and not stored.equals(schema, check_metadata=True):
            return ["has other columns than the first shard"], schema
        if problem := check_columns(set(stored.names), manifest):
            return [problem], schema
        if file.metadata.num_rows != len(shard.indices):
            return [f"has {file.metadata.num_rows} rows instead of {len(shard.indices)}"], stored
        ids = file.read(columns=["sample_id"]).column("sample_id").to_pylist()
        wanted = [sample_id(manifest.seed, int(index)) for index in shard.indices]
        if ids != wanted:
            row = next(row for row, pair in enumerate(zip(ids, wanted, strict=True)) if pair[0] != pair[1])
            return [f"row {row} is sample {ids[row]} instead of {wanted[row]}"], stored
        return _check_rows(file, shard, manifest.resolution, split_of_person), stored


def _check_rows(file: pq.ParquetFile, shard: Shard, resolution: int, split_of_person: dict[int, str]) -> list[str]:
    problems: list[str] = []
    for row in file.read(columns=LIGHT_COLUMNS).to_pylist():
        problems += [f"sample {row['sample_id']}: {problem}" for problem in check_geometry_columns(row, resolution)]
        person = row["identity_id"]
        if split_of_person.setdefault(person, shard.split) != shard.split:
            problems.append(f"identity {person} is also in the split {split_of_person[person]}")
    rows = np.unique(np.linspace(0, len(shard.indices) - 1, IMAGES_PER_SHARD).round().astype(int))
    for row in read_rows(file, [int(row) for row in rows]):
        problems += [f"sample {row['sample_id']}: {problem}" for problem in check_images(decode_row(row), resolution)]
    return problems


def read_rows(file: pq.ParquetFile, rows: list[int]) -> list[dict[str, Any]]:
    """Read rows of one parquet file by their (ascending) numbers, one row group at a time."""
    found: list[dict[str, Any]] = []
    start = 0
    for group in range(file.metadata.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        inside = [row - start for row in rows if start <= row < start + count]
        if inside:
            found += file.read_row_group(group).take(inside).to_pylist()
        start += count
    return found
