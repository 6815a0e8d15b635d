"""What an evaluation leaves behind: a results file, a table with one row per image, and a table for the eye."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class EvaluationResult:
    """benchmark, protocol, model: names; the protocol's names everything that changes the figures (subset, boxes, crop,
    classes).
    num_images: how many images (faces) were scored. metrics: name -> number, or name -> {class: number}.
    per_image: one row per image, with "image" and its metrics; not part of the results file."""

    benchmark: str
    protocol: str
    model: str
    num_images: int
    metrics: dict[str, Any]
    per_image: Sequence[Mapping[str, Any]] = field(default=(), repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The results file's content: exactly benchmark, protocol, model, num_images and metrics. Infinite values
        become null."""
        content = asdict(self)
        del content["per_image"]
        return _finite(content)

    def save(self, output: str | Path) -> tuple[Path, Path]:
        """Write ``output`` (JSON) and, beside it, the per-image table with the suffix .csv; return both paths."""
        results, table = Path(output), Path(output).with_suffix(".csv")
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        with table.open("w", newline="", encoding="utf-8") as stream:
            names = list(dict.fromkeys(name for row in self.per_image for name in row)) or ["image"]
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(
                {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
                for row in self.per_image
            )
        return results, table

    def print(self, console: Console | None = None) -> None:
        """Print the metrics as a table."""
        table = Table(title=f"{self.model} on {self.benchmark}")
        table.add_column("metric")
        table.add_column("value", justify="right")
        for name, value in self.metrics.items():
            if isinstance(value, Mapping):
                for part, number in value.items():
                    table.add_row(f"{name} {part}", _format(number))
            else:
                table.add_row(name, _format(value))
        console = console or Console()
        console.print(table)
        console.print(f"{self.num_images} images; {self.protocol}", highlight=False, soft_wrap=True)


def _format(value: float | int) -> str:
    return (
        f"{value:.4g}"
        if isinstance(value, float) and abs(value) < 1
        else f"{value:.2f}"
        if isinstance(value, float)
        else str(value)
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
