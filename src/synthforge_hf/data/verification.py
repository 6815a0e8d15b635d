"""Is a data set on disk complete, undamaged and right? Every problem is found and named; nothing is changed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features
from tqdm import tqdm

from synthforge_hf.data.card import CARD_NAME
from synthforge_hf.data.files import file_sha256
from synthforge_hf.data.label_checks import check_geometry_columns, check_images
from synthforge_hf.data.manifest import MANIFEST_NAME, Manifest, ShardRecord, read_manifest
from synthforge_hf.data.planning import DATA_FOLDER, Shard
from synthforge_hf.data.schema import decode_row, sample_id
from synthforge_hf.errors import SynthForgeError, UsageError

IMAGES_PER_SHARD = 8
"""Rows of each shard whose images are decoded and checked, evenly spread. All rows' other columns are checked."""

_LIGHT_COLUMNS = [
    "sample_id",
    "landmarks_2d",
    "landmarks_3d",
    "landmarks_visible",
    "intrinsics",
    "world_to_camera",
    "identity_id",
]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. path: the file, relative to the data set. message: what is wrong with it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def verify(out: str | Path, quick: bool = False, progress: bool = True) -> list[Problem]:
    """Check a data set that ``generate`` made; an empty list means that all is well.

    Checked are: that every planned shard is there with the recorded size, SHA-256 and number of rows, and nothing else;
    types of columns; the sequence of sample ids; no person in two splits; in every row cameras and landmarks (finite,
    consistent: see ``label_checks``); and in ``IMAGES_PER_SHARD`` rows of each shard the images against each other and
    the landmarks.

    quick: sizes, row counts, columns and sample ids only; does not read image bytes, so it overlooks edits in place.
    Raises UsageError when ``out`` is not a folder.
    """
    out = Path(out)
    if not out.is_dir():
        raise UsageError(f"there is no folder {out}")
    try:
        manifest = read_manifest(out)
    except SynthForgeError as error:
        return [Problem(MANIFEST_NAME, str(error))]
    plan = manifest.plan()
    problems: list[Problem] = []
    features: Features | None = None
    split_of_person: dict[int, str] = {}
    for shard in tqdm(plan, desc="verifying", unit=" shards", disable=None if progress else True, delay=1):
        try:
            found, features = _check_shard(out, shard, manifest, features, split_of_person, quick)
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, SyntaxError) as error:
            found = [f"cannot be read: {' '.join(str(error).split())}"]
        problems += [Problem(shard.path, message) for message in found]
    planned = {shard.path for shard in plan}
    problems += [
        Problem(f"{DATA_FOLDER}/{path.name}", "does not belong to the data set; load_dataset would read it too")
        for path in sorted((out / DATA_FOLDER).glob("*.parquet"))
        if f"{DATA_FOLDER}/{path.name}" not in planned
    ]
    if not problems and not (out / CARD_NAME).is_file():
        problems.append(Problem(CARD_NAME, "is missing; generate writes it"))
    return problems


def _check_shard(
    out: Path,
    shard: Shard,
    manifest: Manifest,
    features: Features | None,
    split_of_person: dict[int, str],
    quick: bool,
) -> tuple[list[str], Features | None]:
    """Return what is wrong with one shard, and the features that the others must have too."""
    path, record = out / shard.path, manifest.shards.get(shard.name)
    if problem := _check_file(path, record, quick):
        return [problem], features
    with pq.ParquetFile(path) as file:
        stored = Features.from_arrow_schema(file.schema_arrow)
        if features is not None and stored != features:
            return ["has other columns than the first shard"], features
        missing = [name for name in _LIGHT_COLUMNS if name not in stored]
        if missing or ("normals" in stored) != manifest.recipe.normals:
            return [f"does not have the columns of its recipe ({', '.join(missing) or 'normals'})"], features
        if file.metadata.num_rows != len(shard.indices):
            return [f"has {file.metadata.num_rows} rows instead of {len(shard.indices)}"], stored
        ids = file.read(columns=["sample_id"]).column("sample_id").to_pylist()
        wanted = [sample_id(manifest.seed, int(index)) for index in shard.indices]
        if ids != wanted:
            row = next(row for row, pair in enumerate(zip(ids, wanted, strict=True)) if pair[0] != pair[1])
            return [f"row {row} is sample {ids[row]} instead of {wanted[row]}"], stored
        if quick:
            return [], stored
        return _check_rows(file, shard, manifest.resolution, split_of_person), stored


def _check_file(path: Path, record: ShardRecord | None, quick: bool) -> str | None:
    if record is None:
        return "is not made yet" if not path.exists() else "is not in the manifest"
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != record.size:
        return f"has {size} bytes instead of {record.size}: truncated or changed"
    if not quick and file_sha256(path) != record.sha256:
        return "has another SHA-256 than when it was made: damaged or edited"
    return None


def _check_rows(file: pq.ParquetFile, shard: Shard, resolution: int, split_of_person: dict[int, str]) -> list[str]:
    problems: list[str] = []
    for row in file.read(columns=_LIGHT_COLUMNS).to_pylist():
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
