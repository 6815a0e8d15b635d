"""Verification finds labels that are wrong even where every file is exactly as it was written."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reference_data import Reference

from synthforge_hf.converted_folder import file_sha256
from synthforge_hf.data.manifest import read_manifest, write_manifest
from synthforge_hf.data.png import decode_image, encode_png
from synthforge_hf.data.verification import verify
from synthforge_hf.errors import UsageError

SHARD = "train-00001"


def rewrite(out: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> str:
    """Change the rows of one shard and record its new size and hash, as a faulty generator would. Returns its path."""
    path = out / read_manifest(out).shards[SHARD].path
    table = pq.read_table(path)
    rows = change(table.to_pylist())
    columns = []
    for field in table.schema:
        values = [row[field.name] for row in rows]
        if isinstance(field.type, pa.ExtensionType):
            storage = pa.array([np.asarray(value).tolist() for value in values], field.type.storage_type)
            columns.append(pa.ExtensionArray.from_storage(field.type, storage))
        else:
            columns.append(pa.array(values, field.type))
    pq.write_table(pa.Table.from_arrays(columns, schema=table.schema), path)
    record_again(out, [SHARD])
    return str(path.relative_to(out))


def record_again(out: Path, names: Iterable[str]) -> None:
    """Put the sizes and hashes that shards have now into the manifest."""
    manifest = read_manifest(out)
    for name in names:
        path = out / manifest.shards[name].path
        manifest.shards[name] = replace(manifest.shards[name], size=path.stat().st_size, sha256=file_sha256(path))
    write_manifest(out, manifest)


def array(row: dict[str, Any], column: str) -> np.ndarray:
    return np.array(row[column], dtype=np.float32)


def shift_landmarks(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    points = array(rows[2], "landmarks_2d")
    points[30, 0] += 0.02
    rows[2]["landmarks_2d"] = points
    return rows


def lose_a_number(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    points = array(rows[0], "landmarks_3d")
    points[3, 1] = np.nan
    rows[0]["landmarks_3d"] = points
    return rows


def see_outside(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    points = array(rows[0], "landmarks_2d")
    points[30, 0] = 500
    rows[0]["landmarks_2d"] = points
    rows[0]["landmarks_visible"][30] = True
    return rows


def stretch_the_world(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    matrix = array(rows[1], "world_to_camera")
    matrix[:3, :3] *= 1.01
    rows[1]["world_to_camera"] = matrix
    return rows


def turn_the_focal_length(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    matrix = array(rows[1], "intrinsics")
    matrix[0, 0] *= -1
    rows[1]["intrinsics"] = matrix
    return rows


def image_change(column: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[list], list]:
    def apply(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        pixels = decode_image(rows[0][column]["bytes"]).copy()
        rows[0][column] = {"bytes": encode_png(change(pixels)), "path": None}
        return rows

    return apply


def push_back(depth: np.ndarray) -> np.ndarray:
    return np.where(depth > 0, depth + 50, 0).astype(np.uint16)  # 5 mm


def turn_normals(colours: np.ndarray) -> np.ndarray:
    return np.where((colours == 128).all(-1, keepdims=True), colours, colours[..., [1, 0, 2]])


def swap(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rows[1], rows[0], *rows[2:]]


def drop(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows[:-1]


def borrow_a_person(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows[0]["identity_id"] = 3  # the fourth person belongs to the validation split
    return rows


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (shift_landmarks, "landmarks_2d is 0.020 px from the projection"),
        (lose_a_number, "not finite"),
        (see_outside, "outside the image are called visible"),
        (stretch_the_world, "does not hold a rotation"),
        (turn_the_focal_length, "not a pinhole camera"),
        (image_change("depth", push_back), "mm from landmarks_3d"),
        (image_change("depth", lambda depth: depth * 0), "depth shows no surface"),
        (image_change("depth", lambda depth: depth[:32]), "depth is (32, 64), not (64, 64)"),
        (image_change("normals", turn_normals), "normals differ from the depth's slope"),
        (image_change("normals", lambda normals: normals[::-1]), "do not cover the same pixels"),
        (image_change("segmentation", lambda ids: ids + 18), "segmentation holds the class"),
        (image_change("segmentation", lambda ids: ids[::-1]), "where depth shows no surface"),
        (image_change("image", lambda image: image * 0), "of one colour"),
        (swap, "row 0 is sample 3-00000008 instead of 3-00000005"),
        (drop, "has 4 rows instead of 5"),
        (borrow_a_person, "identity 3 is also in the split"),
    ],
)
def test_wrong_labels_are_found(copy: Path, change: Callable, part: str) -> None:
    path = rewrite(copy, change)
    problems = verify(copy, progress=False)
    assert part in " ".join(problem.message for problem in problems)
    if change is not borrow_a_person:
        assert {problem.path for problem in problems} == {path}


def test_a_sound_data_set_has_no_problem(reference: Reference, copy: Path) -> None:
    assert verify(reference.folder, progress=False) == []
    rewrite(copy, lambda rows: rows)
    assert verify(copy, progress=False) == []


def test_a_shard_that_is_no_parquet_file_is_named(copy: Path) -> None:
    record = read_manifest(copy).shards[SHARD]
    (copy / record.path).write_bytes(b"PAR1 not really")
    record_again(copy, [SHARD])
    for quick in (False, True):
        (problem,) = verify(copy, quick, progress=False)
        assert problem.path == record.path
        assert str(problem).startswith(f"{record.path}: cannot be read")


def test_a_missing_column_is_named(copy: Path) -> None:
    manifest = read_manifest(copy)
    for record in manifest.shards.values():
        path = copy / record.path
        pq.write_table(pq.read_table(path).drop_columns(["normals"]), path)
    record_again(copy, manifest.shards)
    problems = verify(copy, progress=False)
    assert problems
    assert all("normals" in problem.message for problem in problems)


def test_a_missing_card_is_named(copy: Path) -> None:
    (copy / "README.md").unlink()
    assert [problem.path for problem in verify(copy, progress=False)] == ["README.md"]


def test_a_missing_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        verify(tmp_path / "absent")
    assert [problem.path for problem in verify(tmp_path)] == ["synthforge.json"]
