"""The README of a trained model, as the Hub shows it."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.training.data_licenses import model_license
from synthforge_hf.training.loop import Progress
from synthforge_hf.training.settings import TrainingSettings

TEMPLATE = """---
library_name: transformers
{license}
pipeline_tag: image-segmentation
tags:
- face-analysis
- facial-landmarks
- face-parsing
- depth-estimation
- synthforge
---

# SynthForge face analysis ({preset})

68 landmarks, face parsing ({classes} classes) and depth from one {image_size} x {image_size} face crop.

```python
import synthforge_hf
from transformers import pipeline

faces = pipeline("face-analysis", model="PATH_OR_REPO")("photo.jpg")
```

## Training

Data set `{dataset}`: {samples} samples with labels {labels}. {steps} steps in {minutes:.0f} minutes, settings in
`training.yaml`. {origin}

## Validation on held-out samples of the same data set

| metric | value |
|---|---|
{rows}

These numbers say how well the model knows its own data set; real photos are measured with `synthforge evaluate`.
"""


def write_card(
    output_dir: Path,
    dataset: str,
    settings: TrainingSettings,
    config: SynthForgeConfig,
    metrics: dict[str, float],
    progress: Progress,
    samples: int,
    licenses: Sequence[str],
) -> None:
    """Write ``README.md`` into the model's folder. licenses: those that the data set states."""
    stated = f"The data set is under {'; '.join(licenses)}." if licenses else "The data set states no licence."
    labels = {"nme_interocular": "landmarks", "mean_f1": "segmentation", "depth_abs_rel": "depth"}
    text = TEMPLATE.format(
        license=yaml.safe_dump(model_license(licenses), width=1000, allow_unicode=True).strip(),
        origin=f"{stated} What it asks for binds the model too.",
        preset=settings.preset,
        classes=config.num_labels,
        image_size=config.image_size,
        dataset=Path(dataset).name,
        samples=samples,
        labels=", ".join(label for name, label in labels.items() if name in metrics),
        steps=progress.step,
        minutes=progress.seconds / 60,
        rows="\n".join(f"| {name} | {value:.3f} |" for name, value in metrics.items()),
    )
    (output_dir / "README.md").write_text(text, encoding="utf-8")
