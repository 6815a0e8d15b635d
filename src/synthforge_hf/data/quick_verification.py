"""Is a data set on disk complete, as far as sizes and the parquet files' footers tell? 2,000 shards take seconds.

Imports little, because on a large data set of sound shards the imports would take longer than the work.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from synthforge_hf.data.manifest import CARD_NAME, MANIFEST_NAME, Manifest, ShardRecord, read_manifest
from synthforge_hf.data.planning import DATA_FOLDER, Shard, sample_id
from synthforge_hf.errors import SynthForgeError, UsageError

LIGHT_COLUMNS = [
    "sample_id",
    "landmarks_2d",
    "landmarks_3d",
    "landmarks_visible",
    "intrinsics",
    "world_to_camera",
    "identity_id",
]
"""Columns without images that every recipe has."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. path: the file, relative to the data set. message: what is wrong with it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def verify_quickly(out: Path, progress: bool = True) -> list[Problem]:
    """Check sizes, row counts, columns, and the first and last sample id of each row group, as the footers tell them.

    Whatever else was changed in place is overlooked. Raises UsageError when ``out`` is not a folder.
    """
    manifest = open_for_checks(out)
    if isinstance(manifest, Problem):
        return [manifest]
    plan = manifest.plan()
    problems: list[Problem] = []
    first: pq.FileMetaData | None = None
    for shard in tqdm(plan, desc="verifying", unit=" shards", disable=None if progress else True, delay=1):
        message = check_size(out / shard.path, manifest.shards.get(shard.name))
        if message is None:
            try:
                footer = pq.read_metadata(out / shard.path)
                message = _check_footer(footer, first or footer, shard, manifest)
                first = first or footer
            except (OSError, pa.ArrowException, ValueError) as error:
                message = unreadable(error)
        if message is not None:
            problems.append(Problem(shard.path, message))
    return problems + check_other_files(out, plan, bool(problems))


def open_for_checks(out: Path) -> Manifest | Problem:
    """Read the manifest of a data set, or say what is wrong with it. Raises UsageError when there is no folder."""
    if not out.is_dir():
        raise UsageError(f"there is no folder {out}")
    try:
        return read_manifest(out)
    except SynthForgeError as error:
        return Problem(MANIFEST_NAME, str(error))


def check_size(path: Path, record: ShardRecord | None) -> str | None:
    """Say what is wrong with a shard without looking into it."""
    if record is None:
        return "is not made yet" if not path.exists() else "is not in the manifest"
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != record.size:
        return f"has {size} bytes instead of {record.size}: truncated or changed"
    return None


def check_other_files(out: Path, plan: list[Shard], has_problems: bool) -> list[Problem]:
    """Name shards that do not belong to the data set and, if all else is well, a missing card."""
    planned = {shard.path for shard in plan}
    problems = [
        Problem(f"{DATA_FOLDER}/{path.name}", "does not belong to the data set; load_dataset would read it too")
        for path in sorted((out / DATA_FOLDER).glob("*.parquet"))
        if f"{DATA_FOLDER}/{path.name}" not in planned
    ]
    if not problems and not has_problems and not (out / CARD_NAME).is_file():
        problems.append(Problem(CARD_NAME, "is missing; generate writes it"))
    return problems


def check_columns(names: set[str], manifest: Manifest) -> str | None:
    """Say which columns of its recipe a shard lacks."""
    missing = [name for name in LIGHT_COLUMNS if name not in names]
    if missing or ("normals" in names) != manifest.recipe.normals:
        return f"does not have the columns of its recipe ({', '.join(missing) or 'normals'})"
    return None


def unreadable(error: Exception) -> str:
    return f"cannot be read: {' '.join(str(error).split())}"


def _check_footer(footer: pq.FileMetaData, first: pq.FileMetaData, shard: Shard, manifest: Manifest) -> str | None:
    if not footer.schema.equals(first.schema) or footer.metadata != first.metadata:
        return "has other columns than the first shard"
    paths = [footer.schema.column(column).path for column in range(footer.num_columns)]
    if problem := check_columns({path.split(".")[0] for path in paths}, manifest):
        return problem
    if footer.num_rows != len(shard.indices):
        return f"has {footer.num_rows} rows instead of {len(shard.indices)}"
    column = paths.index("sample_id")
    start = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        end = start + group.num_rows
        wanted = [sample_id(manifest.seed, int(shard.indices[row])) for row in (start, end - 1)]
        statistics = group.column(column).statistics
        found = [statistics.min, statistics.max] if statistics is not None and statistics.has_min_max else ["unknown"]
        if found != wanted:
            return f"rows {start} to {end - 1} are samples {' to '.join(found)} instead of {' to '.join(wanted)}"
        start = end
    return None
