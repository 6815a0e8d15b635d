"""Under what licence a data set comes, and with it the model that is trained on it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import datasets
from huggingface_hub import DatasetCard, hf_hub_download

from synthforge_hf.data.licenses import license_in_metadata, license_metadata, plain_license_name
from synthforge_hf.data.manifest import CARD_NAME, MANIFEST_NAME, read_manifest
from synthforge_hf.errors import SynthForgeError

LICENSE_COLUMN = "generator_license"

OWN_LICENSE = "apache-2.0"
"""Of models whose training data ask for nothing else."""

UNSTATED = "license-of-the-training-data"


def licenses_of_data(dataset: str, rows: datasets.Dataset | datasets.IterableDataset) -> tuple[str, ...]:
    """Return every licence that a data set states: in its rows, its card and its manifest; none where it is silent.

    dataset: a folder or a Hub repository. rows: its training rows; of a stream only the first is looked at.
    """
    found: dict[str, str] = {}
    for name in (*_in_rows(rows), *_in_card(dataset), *_in_manifest(dataset)):
        if plain := plain_license_name(name):  # a published card has this of a licence in a sentence
            found.setdefault(plain, name)
    return tuple(found.values())


def model_license(licenses: Sequence[str]) -> dict[str, str]:
    """Return the metadata (license, license_name) of a model that was trained on data under ``licenses``.

    What may be done with the data binds the model; CC0 binds to nothing, and no licence may mean anything.
    """
    if not licenses:
        return license_metadata(UNSTATED)
    binding = [name for name in licenses if name.lower() not in ("cc0-1.0", OWN_LICENSE)]
    return license_metadata("; ".join(binding) or OWN_LICENSE)


def _in_rows(rows: datasets.Dataset | datasets.IterableDataset) -> Iterable[str]:
    if LICENSE_COLUMN not in (rows.column_names or ()):
        return []
    if isinstance(rows, datasets.Dataset):
        values = rows.unique(LICENSE_COLUMN)
    else:
        values = [row[LICENSE_COLUMN] for row in rows.select_columns([LICENSE_COLUMN]).take(1)]
    return [str(value) for value in values if value is not None]


def _in_card(dataset: str) -> Iterable[str]:
    try:
        text = (_folder_with(dataset, CARD_NAME) / CARD_NAME).read_text(encoding="utf-8")
        metadata = DatasetCard(text, ignore_metadata_errors=True).data.to_dict()
    except (OSError, ValueError):
        return []
    several = metadata.get("license")
    return map(str, several) if isinstance(several, list) else [license_in_metadata(metadata)]


def _in_manifest(dataset: str) -> Iterable[str]:
    try:
        manifest = read_manifest(_folder_with(dataset, MANIFEST_NAME))
    except (OSError, ValueError, SynthForgeError):
        return []
    background = getattr(manifest.recipe.published().settings, "background", None)
    pictures = getattr(background, "pictures", "")
    # The card speaks for the generator; whose the pictures behind the heads are, nobody has said.
    return [manifest.generator_license, *([f"that of the background pictures {pictures}"] if pictures else [])]


def _folder_with(dataset: str, name: str) -> Path:
    """Return the folder in which a file of a data set lies. Raises OSError or ValueError where there is none."""
    if Path(dataset).is_dir():
        return Path(dataset)
    return Path(hf_hub_download(dataset, name, repo_type="dataset")).parent
