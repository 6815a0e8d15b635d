"""Making a data set on disk: plan, make what is missing in worker processes, record, describe.

Layout (the Hub's own): OUT/data/{split}-{k:05d}-of-{n:05d}.parquet, OUT/synthforge.json, OUT/README.md.
"""

import os
import re
import warnings
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from tqdm import tqdm

from synthforge_hf.data.card import CARD_NAME, write_card
from synthforge_hf.data.checked_files import CheckedFiles
from synthforge_hf.data.files import WORK_FOLDER, exclusive, publish, sync_folder, writing
from synthforge_hf.data.manifest import (
    MANIFEST_NAME,
    Manifest,
    ShardRecord,
    current_versions,
    recover_manifest,
    write_manifest,
    write_spare_manifest,
)
from synthforge_hf.data.planning import DATA_FOLDER, Shard
from synthforge_hf.data.png import LARGEST_SIDE
from synthforge_hf.data.ray_executor import import_ray, make_shards_on_ray
from synthforge_hf.data.recipes import DEFAULT_RECIPE, Recipe, load_recipe, pin_backgrounds, recipe_from_mapping
from synthforge_hf.data.shards import SampleRequest
from synthforge_hf.data.workers import Event, SampleMade, ShardMade, WorkerReady, check_may_spawn, make_shards
from synthforge_hf.errors import SynthForgeError, UsageError

EXECUTORS = ("local", "ray")

SHARD_NAME = re.compile(r"([a-z][a-z0-9_]*-\d{5})-of-\d{5}\.parquet")


@dataclass(frozen=True)
class GenerationReport:
    """What a call of ``generate`` did. splits: rows per split. shards_made, shards_kept: files. seconds: wall time."""

    out: str
    recipe: str
    num_samples: int
    splits: dict[str, int]
    shards_made: int
    shards_kept: int
    seconds: float


def generate(
    out: str | Path,
    recipe: Recipe | str | Path = DEFAULT_RECIPE,
    num_samples: int = 1000,
    resolution: int = 512,
    seed: int = 0,
    workers: int | None = None,
    shard_size: int = 500,
    generator: str | None = None,
    device: str = "auto",
    executor: str = "local",
    progress: bool = True,
    backgrounds: str | Path | None = None,
) -> GenerationReport:
    """Make the data set of (recipe, seed, num_samples, resolution, shard_size) in the folder ``out``.

    The same five give byte-identical shards whatever the workers, the order and the interruptions (with the same
    versions of the libraries recorded in the manifest, on the same kind of device). Only what is missing or damaged is
    made: calling again resumes. A larger ``num_samples`` extends the data set; the last shard of each split is made
    again if it was not full.

    recipe: a ``Recipe``, the name of one that comes with the package, or the path of a YAML file.
    workers: processes, each with one thread; None for one per core. generator: overrides the recipe's.
    device: "auto", "cpu" or "cuda", for the generator. progress: show a bar if standard error is a terminal.
    executor: "local" for processes of this machine, "ray" for those of a Ray cluster (``docs/scale.md``).
    backgrounds: a folder of images, or a data set with images for ``datasets.load_dataset``, to put behind heads; the
    hash of names and contents is part of the recipe, so a data set cannot go on with other pictures.

    Raises UsageError when the request is impossible or ``out`` holds something else, SynthForgeError when writing fails
    or a worker dies; what is finished stays. Ctrl-C raises KeyboardInterrupt after the workers have been stopped.
    """
    begin = perf_counter()
    out = Path(out)
    wanted = _request(recipe, generator, num_samples, resolution, seed, shard_size)
    wanted = replace(wanted, recipe=pin_backgrounds(wanted.recipe, backgrounds))
    if executor not in EXECUTORS:
        raise UsageError(f"executor is '{executor}': it must be {' or '.join(EXECUTORS)}")
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}: it must be at least 1")
    if executor == "ray":
        import_ray()
    else:
        check_may_spawn()
    _check_destination(out)
    with exclusive(out) as unfinished:
        manifest = _begin(out, wanted)
        plan = manifest.plan()
        checked = CheckedFiles(out / WORK_FOLDER)
        kept = _keep_sound_shards(out, plan, manifest, checked, progress)
        manifest = replace(manifest, shards=kept)
        missing = [shard for shard in plan if shard.name not in kept]
        with writing(out):
            if missing:
                (out / CARD_NAME).unlink(missing_ok=True)  # it would promise rows that are not there yet
            write_manifest(out, manifest)
            write_spare_manifest(out, manifest)
        if missing:
            request = SampleRequest(manifest.recipe, manifest.seed, manifest.resolution)
            make = make_shards_on_ray if executor == "ray" else make_shards
            events = make(missing, request, device, workers, unfinished)
            manifest = _record(out, manifest, missing, events, checked, progress)
        with writing(out):
            if missing:
                write_spare_manifest(out, manifest)
            _remove_strays(out, plan)
            if missing or not (out / CARD_NAME).exists():
                write_card(out, manifest)
    return GenerationReport(
        out=str(out),
        recipe=manifest.recipe.name,
        num_samples=num_samples,
        splits=manifest.split_rows(),
        shards_made=len(missing),
        shards_kept=len(kept),
        seconds=round(perf_counter() - begin, 3),
    )


def _request(
    recipe: Recipe | str | Path, generator: str | None, num_samples: int, resolution: int, seed: int, shard_size: int
) -> Manifest:
    for name, value, low, high in (
        ("num_samples", num_samples, 1, 99_999_999),
        ("resolution", resolution, 16, LARGEST_SIDE),
        ("seed", seed, 0, 2**63 - 1),
        ("shard_size", shard_size, 1, 1_000_000),
    ):
        if not low <= value <= high:
            raise UsageError(f"{name} is {value}: it must lie between {low} and {high}")
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, generator)
    elif generator not in (None, recipe.generator):
        raise UsageError(f"the recipe is for the generator '{recipe.generator}', not '{generator}'")
    else:
        # As it will be read back: settings made in Python may hold 45 for 45.0, whose text and hash are others.
        recipe = recipe_from_mapping(recipe.to_mapping())
    return Manifest(recipe, seed, num_samples, resolution, shard_size, versions=current_versions())


def _check_destination(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: choose a folder for the data set")
    try:
        foreign = out.exists() and not (out / MANIFEST_NAME).exists()
        if foreign and any(not entry.name.startswith(".") for entry in out.iterdir()):
            raise UsageError(f"{out} holds files but no {MANIFEST_NAME}: choose an empty or a new folder")
    except OSError as error:
        raise SynthForgeError(f"cannot read {out}: {error.strerror}") from error


def _begin(out: Path, wanted: Manifest) -> Manifest:
    """Return the manifest to work towards: the one that lies in OUT brought up to the wanted size, or a new one."""
    if not (out / MANIFEST_NAME).exists():
        return wanted
    found = recover_manifest(out)
    if found.recipe.content_hash() != wanted.recipe.content_hash():
        difference = _difference(found.recipe, wanted.recipe)
        raise UsageError(f"{out} holds a data set of another recipe ({difference}): choose another folder")
    for name in ("seed", "resolution", "shard_size"):
        there, here = getattr(found, name), getattr(wanted, name)
        if there != here:
            raise UsageError(f"{out} holds a data set with {name} {there}, not {here}: choose another folder")
    if found.num_samples > wanted.num_samples:
        raise UsageError(
            f"{out} holds {found.num_samples} samples, more than the {wanted.num_samples} asked for: "
            "ask for at least as many or choose another folder"
        )
    there, here = (manifest.versions.get("synthforge_hf") for manifest in (found, wanted))
    if there != here:
        raise UsageError(f"{out} was made by synthforge_hf {there}, this is {here}: choose another folder")
    changed = [name for name, number in wanted.versions.items() if found.versions.get(name) != number]
    if changed:
        warnings.warn(f"{out} was begun with another {' and '.join(changed)}: new shards may not be byte-identical")
    return replace(found, num_samples=wanted.num_samples, recipe=wanted.recipe)


def _difference(found: Recipe, wanted: Recipe) -> str:
    """Name the first key in which two recipes differ."""
    there, here = (_flatten(recipe.published().to_mapping()) for recipe in (found, wanted))
    for key in [*there, *here]:
        if key not in ("name", "description") and there.get(key) != here.get(key):
            return f"{key} is {there.get(key, 'absent')} there and {here.get(key, 'absent')} here"
    return "its splits are in another order"


def _flatten(mapping: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in mapping.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _keep_sound_shards(
    out: Path, plan: list[Shard], manifest: Manifest, checked: CheckedFiles, progress: bool
) -> dict[str, ShardRecord]:
    """Return the records of planned shards whose files are undamaged, and give the files their planned names.

    A file is looked for under any count of shards ("-of-"), because that part changes when the data set grows.
    """
    present: dict[str, list[Path]] = {}
    for path in sorted((out / DATA_FOLDER).glob("*.parquet")):
        if match := SHARD_NAME.fullmatch(path.name):
            present.setdefault(match[1], []).append(path)
    kept: dict[str, ShardRecord] = {}
    for shard in _bar(plan, "checking", "shards", progress and bool(present)):
        record = manifest.shards.get(shard.name)
        if record is None or record.rows != len(shard.indices):
            continue
        sound = [path for path in present.get(shard.name, []) if checked.is_sound(path, record)]
        if sound:
            if sound[0] != out / shard.path:
                with writing(out):
                    os.replace(sound[0], out / shard.path)
                checked.remember(out / shard.path, record.sha256)
            kept[shard.name] = replace(record, path=shard.path)
    sync_folder(out / DATA_FOLDER)
    return kept


def _record(
    out: Path,
    manifest: Manifest,
    missing: list[Shard],
    events: Generator[Event, None, None],
    checked: CheckedFiles,
    progress: bool,
) -> Manifest:
    """Put shards in their places and into the manifest as they are made; return the manifest that holds them all."""
    with writing(out):
        (out / DATA_FOLDER).mkdir(exist_ok=True)
        sync_folder(out)
    total = sum(len(shard.indices) for shard in missing)
    with _bar(None, "generating", "faces", progress, total) as bar, closing(events):
        for event in events:
            if isinstance(event, SampleMade):
                bar.update(event.count)
            elif isinstance(event, WorkerReady):
                manifest = replace(manifest, generator_license=event.generator_license)
            elif isinstance(event, ShardMade):
                shard = event.shard
                with writing(out):
                    publish(event.path, out / shard.path)
                    checked.remember(out / shard.path, event.sha256)
                    record = ShardRecord(shard.path, shard.split, len(shard.indices), event.size, event.sha256)
                    manifest = replace(manifest, shards={**manifest.shards, shard.name: record})
                    write_manifest(out, manifest)
    return manifest


def _remove_strays(out: Path, plan: list[Shard]) -> None:
    """Remove shards under names that the plan no longer has, such as the last one before the data set grew."""
    planned = {shard.path for shard in plan}
    for path in (out / DATA_FOLDER).glob("*.parquet"):
        if SHARD_NAME.fullmatch(path.name) and f"{DATA_FOLDER}/{path.name}" not in planned:
            path.unlink()


def _bar(items: list[Shard] | None, what: str, unit: str, progress: bool, total: int | None = None) -> tqdm:
    # disable=None: quiet when standard error is not a terminal.
    return tqdm(items, desc=what, unit=f" {unit}", total=total, disable=None if progress else True, delay=1)
