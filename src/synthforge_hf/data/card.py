"""README.md of a data set: the metadata ``load_dataset`` and the Hub read, and what a person needs to know."""

from pathlib import Path
from string import Template
from typing import Any

import pyarrow.parquet as pq
import yaml
from datasets import DatasetInfo, Features, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from synthforge_hf.data.balance import balance_table
from synthforge_hf.data.files import write_atomically
from synthforge_hf.data.licenses import license_metadata
from synthforge_hf.data.manifest import CARD_NAME, Manifest
from synthforge_hf.data.planning import DATA_FOLDER
from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES

_BODY = Template("""
# $title

$num_samples synthetic faces of $resolution x $resolution pixels with exact labels: depth, surface normals, 19-class
segmentation, 68 landmarks in 2D and 3D with visibility, cameras, and the head model's coefficients. No photo of a real
person is in it.$description

```python
from datasets import load_dataset

dataset = load_dataset("PATH_OR_REPOSITORY", split="$first_split").with_format("torch")
```

$splits

## Columns

| column | type | meaning |
|---|---|---|
| sample_id | string | `{seed}-{index:08d}`: with the recipe below, enough to make the sample again |
| image | Image, RGB | $image_format |
| depth | Image, 16-bit PNG | planar z in steps of 0.1 mm; 0 = no surface |
$normals_row| segmentation | Image, 8-bit PNG | class ids, listed below |
| landmarks_2d | (68, 2) float32 | iBUG order, continuous pixels: the centre of the top-left pixel is (0.5, 0.5); \
the jaw follows the visible contour as in 300-W |
| landmarks_3d | (68, 3) float32 | metres, camera frame |
| landmarks_visible | 68 bool | false where the point is hidden or outside the image |
| intrinsics | (3, 3) float32 | pixels |
| world_to_camera | (4, 4) float32 | metres |
| identity_id | int64 | same number = same person |
| head | struct | model, version and the coefficients of identity, expression and pose that rebuild the mesh |
| attributes | struct | $attributes |
| generator, generator_license | string | |

Camera frame: x right, y down, z forward, metres. World frame: x to the subject's left, y up, z out of the face, origin
between the eyeballs. Read depth with `with_format("torch")` or `with_format("numpy")`.

## Segmentation classes

$classes

Left and right are the person's own (CelebAMask-HQ's scheme).

## Balance

$balance

Age, gender, skin tone and the rest are what the generator was set to; angles and hidden landmarks are measured on the
landmarks. Where one value holds several things, as in a+b, each is counted.

## How it was made

    synthforge generate OUT --recipe RECIPE.yaml --num-samples $num_samples --resolution $resolution \
--seed $seed --shard-size $shard_size

makes the same samples again, where RECIPE.yaml is

```yaml
$recipe```

Versions: $versions. `synthforge.json` lists every shard with its SHA-256; `synthforge verify OUT` checks them.

## Licence

Images and labels: $license.
""")


def write_card(out: Path, manifest: Manifest) -> None:
    """Write OUT/README.md for a complete data set. The same data set always gives the same card."""
    write_atomically(out / CARD_NAME, card_text(out, manifest).encode())


def card_text(out: Path, manifest: Manifest) -> str:
    """Return the whole card: YAML metadata between two lines of dashes, then Markdown."""
    features = stored_features(out, manifest)
    return f"---\n{_metadata(manifest, features)}\n---\n{_body(out, manifest, features)}"


def stored_features(out: Path, manifest: Manifest) -> Features:
    """Return the features that the first finished shard carries."""
    first = next(shard for shard in manifest.plan() if shard.name in manifest.shards)
    return Features.from_arrow_schema(pq.read_schema(out / first.path))


def _metadata(manifest: Manifest, features: Features) -> str:
    rows, sizes = manifest.split_rows(), _split_sizes(manifest)
    splits = [name for name in manifest.recipe.splits if name in rows]
    data_files = [{"split": name, "path": f"{DATA_FOLDER}/{name}-*"} for name in splits]
    fields: dict[str, Any] = {
        **license_metadata(manifest.generator_license),
        "pretty_name": _title(manifest),
        "task_categories": ["image-segmentation", "depth-estimation", "keypoint-detection"],
        "tags": ["face", "synthetic", "landmarks", "face-parsing", "surface-normals", "3d", "synthforge"],
        "size_categories": [_size_category(manifest.num_samples)],
        "configs": [{"config_name": "default", "data_files": data_files}],
    }
    data = DatasetCardData(**fields)
    info = DatasetInfo(
        features=features,
        splits=SplitDict({name: SplitInfo(name, num_bytes=sizes[name], num_examples=rows[name]) for name in splits}),
        download_size=sum(sizes.values()),
        dataset_size=sum(sizes.values()),
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    return data.to_yaml()


def _body(out: Path, manifest: Manifest, features: Features) -> str:
    recipe, rows = manifest.recipe.published(), manifest.split_rows()
    normals = (
        "| normals | Image, RGB PNG | unit vectors n of the camera frame as n * 0.5 + 0.5; (128, 128, 128) = none |\n"
    )
    classes = [f"| {number} | {name} |" for number, name in enumerate(SEGMENTATION_CLASSES)]
    splits = [f"| {name} | {rows[name]} |" for name in recipe.splits if name in rows]
    return _BODY.substitute(
        title=_title(manifest),
        num_samples=manifest.num_samples,
        resolution=manifest.resolution,
        description=f" {recipe.description.strip()}" if recipe.description.strip() else "",
        first_split=next(iter(rows)),
        splits="\n".join(["| split | samples |", "|---|---|", *splits]),
        image_format="PNG" if recipe.image_format == "png" else f"JPEG of quality {recipe.jpeg_quality}",
        normals_row=normals if "normals" in features else "",
        attributes=", ".join(features["attributes"]),
        classes="\n".join(["| id | class |", "|---|---|", *classes]),
        balance=balance_table([out / shard.path for shard in manifest.plan() if shard.name in manifest.shards]),
        seed=manifest.seed,
        shard_size=manifest.shard_size,
        recipe=yaml.safe_dump(recipe.to_mapping(), sort_keys=False, default_flow_style=None, width=100),
        versions=", ".join(f"{name} {number}" for name, number in manifest.versions.items()),
        license=manifest.generator_license,
    )


def _title(manifest: Manifest) -> str:
    return f"SynthForge faces ({manifest.recipe.name})"


def _split_sizes(manifest: Manifest) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for record in manifest.shards.values():
        sizes[record.split] = sizes.get(record.split, 0) + record.size
    return sizes


def _size_category(num_samples: int) -> str:
    steps = ["1K", "10K", "100K", "1M", "10M", "100M"]
    if num_samples < 1000:
        return "n<1K"
    number = min(len(str(num_samples)) - 4, len(steps) - 2)
    return f"{steps[number]}<n<{steps[number + 1]}"
