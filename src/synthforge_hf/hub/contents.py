"""What a push is about: which files of a folder make up the repository, and what may be removed from it."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from synthforge_hf.checkpoints import pretrained
from synthforge_hf.converted_folder import file_sha256
from synthforge_hf.data.card import CARD_NAME
from synthforge_hf.data.manifest import MANIFEST_NAME, Manifest, read_manifest
from synthforge_hf.data.planning import DATA_FOLDER
from synthforge_hf.data.recipes import Recipe, load_recipe
from synthforge_hf.errors import SynthForgeError, UsageError

Kind = Literal["dataset", "model"]

PREVIEW_NAME = "preview.jpg"

_MODEL_FILES = re.compile(r"[^.].*\.(json|safetensors|yaml|md|txt|csv|png|jpg)")
"""Of a model's folder only these, at its top: no checkpoints of the training, no optimizer states, no pickles."""

_STALE_OF_MODEL = re.compile(
    r"[^/]+\.(safetensors|bin)(\.index\.json)?"  # weights under other names, such as those of another sharding
    r"|\.eval_results/[^/]+\.yaml"  # measured on other weights
    r"|((annotation|generators|heads|hub|models|rendering)_\w+|errors|image_limits|segmentation_classes)\.py|detector/[^/]+"
)
"""What an earlier push may have left that this one does not bring: see also ``self_contained``."""

_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b")
_TEXT_SUFFIXES = (".json", ".yaml", ".md", ".txt", ".csv", ".py")


@dataclass(frozen=True)
class LocalFile:
    """One file to be published: on disk (``path``), or made for the purpose (``content``).

    sha256: hex digest that it must have, where one has been recorded.
    """

    path: Path | None = None
    content: bytes = b""
    recorded_sha256: str | None = None

    @property
    def size(self) -> int:
        return len(self.content) if self.path is None else self.path.stat().st_size

    def read(self) -> bytes:
        return self.content if self.path is None else self.path.read_bytes()

    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest() if self.path is None else file_sha256(self.path)


@dataclass(frozen=True)
class Contents:
    """Everything that a repository is to hold.

    files: path in the repository -> file, without the card. is_stale: says of a path that is in the repository but not
    in ``files`` whether it is a left-over to remove. card: the README as it lies in the folder; empty without one.
    """

    kind: Kind
    folder: Path
    files: dict[str, LocalFile]
    card: str = ""
    is_stale: Callable[[str], bool] = field(default=lambda path: False)
    manifest: Manifest | None = None
    recipe: Recipe | None = None
    configuration: dict[str, Any] = field(default_factory=dict)


def gather(path: str | Path) -> Contents:
    """Find out what lies at ``path`` (a data set, a model, an embedded model's name or a recipe) and list its files.

    Raises UsageError when it is none of these, SynthForgeError when it is not complete.
    """
    path = Path(pretrained().get(str(path), path)).expanduser()
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return _recipe(path)
    if (path / MANIFEST_NAME).is_file():
        return _dataset(path)
    if (path / "config.json").is_file():
        return _model(path)
    if not path.exists():
        raise UsageError(f"there is nothing at {path}: name a data set, a model's folder or a recipe file")
    raise UsageError(
        f"{path} is no data set (no {MANIFEST_NAME}), no model (no config.json) and no recipe (.yaml): nothing to push"
    )


def refuse_secrets(files: Mapping[str, LocalFile], secrets: list[str]) -> None:
    """Raise SynthForgeError when a text file to be published holds an access token."""
    for name, file in files.items():
        if not name.endswith(_TEXT_SUFFIXES):
            continue
        text = file.read()
        if _TOKEN.search(text) or any(secret.encode() in text for secret in secrets):
            raise SynthForgeError(f"{name} holds an access token: take it out, and revoke the token if others saw it")


def _dataset(folder: Path) -> Contents:
    manifest = read_manifest(folder)
    missing = [shard.path for shard in manifest.plan() if shard.name not in manifest.shards]
    if missing:
        raise SynthForgeError(f"{folder} is not finished ({len(missing)} shards are missing): run generate again first")
    files: dict[str, LocalFile] = {MANIFEST_NAME: LocalFile(folder / MANIFEST_NAME)}
    for record in manifest.shards.values():
        shard = folder / record.path
        size = shard.stat().st_size if shard.is_file() else -1
        if size != record.size:
            raise SynthForgeError(f"{shard} is missing or damaged: run generate again, it makes what is missing")
        files[record.path] = LocalFile(shard, recorded_sha256=record.sha256)
    card = folder / CARD_NAME
    if not card.is_file():
        raise SynthForgeError(f"{card} is missing: run generate again, it writes it")
    return Contents(
        kind="dataset",
        folder=folder,
        files=files,
        card=card.read_text(encoding="utf-8"),
        is_stale=_is_stale_shard,
        manifest=manifest,
        recipe=manifest.recipe,
    )


def _is_stale_shard(path: str) -> bool:
    """Any other table in the data folder: ``load_dataset`` would read it too."""
    return path.startswith(f"{DATA_FOLDER}/") and path.endswith(".parquet")


def _model(folder: Path) -> Contents:
    try:
        configuration = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise SynthForgeError(f"{folder / 'config.json'} is not valid JSON: save the model again") from error
    files = {
        path.name: LocalFile(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != CARD_NAME and _MODEL_FILES.fullmatch(path.name)
    }
    if not any(name.endswith(".safetensors") for name in files):
        raise SynthForgeError(f"{folder} holds no weights (*.safetensors): save the model with save_pretrained")
    card = folder / CARD_NAME
    return Contents(
        kind="model",
        folder=folder,
        files=files,
        card=card.read_text(encoding="utf-8") if card.is_file() else "",
        is_stale=lambda path: _STALE_OF_MODEL.fullmatch(path) is not None,
        configuration=configuration,
    )


def _recipe(path: Path) -> Contents:
    return Contents(kind="dataset", folder=path, files={path.name: LocalFile(path)}, recipe=load_recipe(path))
