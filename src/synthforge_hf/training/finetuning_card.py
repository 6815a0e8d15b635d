"""The README of a label fine-tuned model, as the Hub shows it."""

from pathlib import Path

from synthforge_hf.models.label_finetuning.configuration_label_finetuning import SynthForgeForLabelFinetuningConfig
from synthforge_hf.training.finetuning_settings import FinetuningSettings
from synthforge_hf.training.loop import Progress

TEMPLATE = """---
library_name: transformers
license: other
license_name: license-of-the-training-labels
pipeline_tag: image-segmentation
tags:
- face-analysis
- synthforge
- label-fine-tuning
---

# SynthForge face analysis, fine-tuned to the labels of `{dataset}`

The backbone `{backbone}` is frozen; small label networks ({features}) bring its {tasks} to the labels of `{dataset}`:
{scheme}.

```python
import synthforge_hf
from transformers import pipeline

faces = pipeline("face-analysis", model="PATH_OR_REPO")("photo.jpg")
```

## Training

{samples} samples of `{dataset}`{share}; {steps} steps in {minutes:.0f} minutes, settings in `training.yaml`. The label
networks have seen these photos and labels: their licence binds this model too. Where the photos show real people, this
model is no longer one that was trained on generated faces only.

## Validation on held-out samples

| metric | value |
|---|---|
{rows}
"""


def write_finetuning_card(
    output_dir: Path,
    backbone: str,
    dataset: str,
    settings: FinetuningSettings,
    config: SynthForgeForLabelFinetuningConfig,
    metrics: dict[str, float],
    progress: Progress,
    samples: int,
) -> None:
    """Write ``README.md`` into the model's folder."""
    names = ", ".join(str(name) for name in (config.id2label or {}).values())
    schemes = {
        "landmarks": f"{config.num_landmarks} landmarks",
        "segmentation": f"{config.num_labels} classes ({names})",
        "depth": "depth",
    }
    split = settings.name_split()
    text = TEMPLATE.format(
        backbone=Path(backbone).name,
        dataset=Path(dataset).name,
        features="with its features" if settings.use_features else "without its features",
        tasks=" and ".join(settings.tasks),
        scheme="; ".join(schemes[task] for task in settings.tasks),
        samples=samples,
        share=f", those whose names {split.of_trained}" if split else "",
        steps=progress.step,
        minutes=progress.seconds / 60,
        rows="\n".join(f"| {name} | {value:.3f} |" for name, value in metrics.items()),
    )
    (output_dir / "README.md").write_text(text, encoding="utf-8")
