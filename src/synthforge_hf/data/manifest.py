"""``synthforge.json``: what a data set is meant to hold, and the fingerprint of every shard that has been made."""

import hashlib
import json
import platform
import warnings
import zlib
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from synthforge_hf import __version__
from synthforge_hf.data.files import WORK_FOLDER, write_atomically
from synthforge_hf.data.planning import Shard, plan_shards
from synthforge_hf.data.recipes import Recipe, recipe_from_mapping
from synthforge_hf.errors import SynthForgeError, UsageError

MANIFEST_NAME = "synthforge.json"
CARD_NAME = "README.md"
FORMAT = 2

_DIGEST = "manifest_sha256"
"""Key of the SHA-256 (hex) of all the rest of the file, so that not one of its bytes changes unnoticed."""


@dataclass(frozen=True)
class ShardRecord:
    """One finished shard. path: relative to the data set. size: bytes. sha256: hex digest of the whole file."""

    path: str
    split: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The request that a data set answers, and the shards made so far, by ``Shard.name``."""

    recipe: Recipe
    seed: int
    num_samples: int
    resolution: int
    shard_size: int
    generator_license: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    shards: dict[str, ShardRecord] = field(default_factory=dict)

    def plan(self) -> list[Shard]:
        """Return every shard that the request asks for."""
        splits = tuple(self.recipe.splits.items())
        return list(_plan(self.num_samples, splits, self.shard_size, self.recipe.kept_together))

    def is_complete(self) -> bool:
        return all(shard.name in self.shards for shard in self.plan())

    def split_rows(self) -> dict[str, int]:
        """Return the number of rows per split of the finished shards."""
        rows: dict[str, int] = {}
        for record in self.shards.values():
            rows[record.split] = rows.get(record.split, 0) + record.rows
        return rows


def current_versions() -> dict[str, str]:
    """Return the versions of what decides the bytes of a data set."""
    libraries = ("numpy", "pillow", "pyarrow", "datasets", "torch", "warp-lang")
    return {
        "synthforge_hf": __version__,
        "python": platform.python_version(),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        **{library: version(library) for library in libraries},
    }


@lru_cache(maxsize=2)
def _plan(
    num_samples: int, splits: tuple[tuple[str, float], ...], shard_size: int, kept_together: int
) -> tuple[Shard, ...]:
    # Asked for again whenever a shard is done; with millions of samples that would take longer than the shard.
    return tuple(plan_shards(num_samples, dict(splits), shard_size, kept_together))


def write_manifest(out: Path, manifest: Manifest) -> None:
    """Write OUT/synthforge.json, safe on disk."""
    write_atomically(out / MANIFEST_NAME, _render(_content(manifest)).encode())


def write_spare_manifest(out: Path, manifest: Manifest) -> None:
    """Write a second copy of the manifest into the work folder, for ``recover_manifest``."""
    write_atomically(out / WORK_FOLDER / MANIFEST_NAME, _render(_content(manifest)).encode())


def _content(manifest: Manifest) -> dict[str, Any]:
    records = {name: asdict(record) for name, record in sorted(manifest.shards.items())}
    return {
        "format": FORMAT,
        "recipe": manifest.recipe.published().to_mapping(),
        "recipe_sha256": manifest.recipe.content_hash(),
        "seed": manifest.seed,
        "num_samples": manifest.num_samples,
        "resolution": manifest.resolution,
        "shard_size": manifest.shard_size,
        "generator_license": manifest.generator_license,
        "complete": manifest.is_complete(),
        "versions": manifest.versions,
        "shards": records,
    }


def _render(content: dict[str, Any]) -> str:
    """Return the one text of a manifest, which ends with the hash of what stands before."""
    text = json.dumps(content, indent=1)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.removesuffix("\n}") + f',\n "{_DIGEST}": "{digest}"\n}}\n'


def read_manifest(out: Path) -> Manifest:
    """Read OUT/synthforge.json.

    Raises SynthForgeError when it is missing or damaged: when a single byte is another than was written.
    """
    return _read(out / MANIFEST_NAME, out)


def recover_manifest(out: Path) -> Manifest:
    """Read OUT/synthforge.json or, with a warning, the spare copy of it when it is damaged.

    The copy may be older; then shards that it does not know are made again. Raises SynthForgeError as ``read_manifest``
    does when there is no sound copy either.
    """
    try:
        return read_manifest(out)
    except SynthForgeError as damage:
        try:
            spare = _read(out / WORK_FOLDER / MANIFEST_NAME, out)
        except SynthForgeError:
            raise damage from None
    warnings.warn(f"{out / MANIFEST_NAME} is damaged or was edited: going on with the spare copy of it")
    return spare


def _read(path: Path, out: Path) -> Manifest:
    try:
        written = path.read_bytes()
        content = json.loads(written.decode("utf-8"))
    except OSError as error:
        reason = "there is none" if isinstance(error, FileNotFoundError) else error.strerror
        raise SynthForgeError(f"cannot read {path}: {reason}; is {out} a folder that generate made?") from error
    except (ValueError, RecursionError) as error:
        raise SynthForgeError(_damaged(path, "it is not valid JSON")) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SynthForgeError(_damaged(path, f"it is not of format {FORMAT}"))
    content.pop(_DIGEST, None)
    if _render(content).encode() != written:
        raise SynthForgeError(_damaged(path, "it does not have the hash that it records"))
    try:
        recipe = recipe_from_mapping(content["recipe"])
        manifest = Manifest(
            recipe=recipe,
            **{name: int(content[name]) for name in ("seed", "num_samples", "resolution", "shard_size")},
            generator_license=str(content["generator_license"]),
            versions=dict(content["versions"]),
            shards={name: ShardRecord(**record) for name, record in content["shards"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise SynthForgeError(_damaged(path, str(error))) from error
    if recipe.content_hash() != content.get("recipe_sha256"):
        raise SynthForgeError(_damaged(path, "its recipe does not have the recorded hash"))
    return manifest


def _damaged(path: Path, reason: str) -> str:
    return f"{path} is damaged or was edited ({reason}): restore it, or delete {path.parent} and generate it again"
