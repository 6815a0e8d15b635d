"""Results of ``synthforge evaluate`` as the Hub wants them: ``.eval_results/*.yaml`` and the older ``model-index``."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.repocard_data import eval_results_to_model_index

from synthforge_hf.errors import UsageError

_TASK = "image-segmentation"
"""The Hub's task for face parsing; it has none for landmarks."""


@dataclass(frozen=True)
class EvaluationRecord:
    """A results file, field by field as ``synthforge evaluate --output`` writes it."""

    benchmark: str
    protocol: str
    model: str
    num_images: int
    metrics: dict[str, Any]


def read_results(path: Path) -> EvaluationRecord | None:
    """Read a results file; None when the JSON file holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if (
        not isinstance(content, dict)
        or set(content) != {field.name for field in fields(EvaluationRecord)}
        or not isinstance(content["metrics"], dict)
    ):
        return None
    return EvaluationRecord(**content)


def collect_results(folder: Path, files: Iterable[Path] = ()) -> list[EvaluationRecord]:
    """Return the results in a model's folder and those of the named files, each protocol once, the named ones last.

    Raises UsageError when a named file holds no results of ``synthforge evaluate``.
    """
    found: dict[tuple[str, str], EvaluationRecord] = {}
    for path in sorted(folder.glob("*.json")):
        if result := read_results(path):
            found[result.benchmark, result.protocol] = result
    for path in files:
        named = read_results(path)
        if named is None:
            raise UsageError(f"{path} holds no results: name a file that synthforge evaluate --output wrote")
        found[named.benchmark, named.protocol] = named
    return list(found.values())


def results_files(results: Iterable[EvaluationRecord]) -> dict[str, bytes]:
    """Return path in the repository -> content of the ``.eval_results`` files, one per benchmark."""
    entries: dict[str, list[EvalResultEntry]] = {}
    for result in results:
        entries.setdefault(result.benchmark, []).extend(
            EvalResultEntry(result.benchmark, task_id=name, value=value, notes=_notes(result))
            for name, value in _numbers(result)
        )
    return {
        f".eval_results/{re.sub(r'[^a-z0-9-]+', '-', benchmark.lower())}.yaml": yaml.safe_dump(
            eval_result_entries_to_yaml(each), sort_keys=False
        ).encode()
        for benchmark, each in entries.items()
    }


def model_index(name: str, results: Iterable[EvaluationRecord]) -> list[dict[str, Any]]:
    """Return the ``model-index`` of a card's metadata."""
    flat = [
        EvalResult(
            task_type=_TASK,
            task_name="face analysis",
            dataset_type=result.benchmark,
            dataset_name=result.benchmark,
            dataset_config=result.protocol,
            metric_type=metric,
            metric_value=value,
        )
        for result in results
        for metric, value in _numbers(result)
    ]
    return eval_results_to_model_index(name, flat)


def results_table(results: Iterable[EvaluationRecord]) -> str:
    """Return the results as a Markdown table; a sentence when there are none."""
    rows = [
        f"| {result.benchmark} | {result.protocol} | {result.num_images} | {name} | {value:.4g} |"
        for result in results
        for name, value in _numbers(result)
    ]
    if not rows:
        return "No results of `synthforge evaluate` came with this model."
    return "\n".join(["| benchmark | protocol | images | metric | value |", "|---|---|---|---|---|", *rows])


def _numbers(result: EvaluationRecord) -> Iterator[tuple[str, float]]:
    for name, value in result.metrics.items():
        parts = {f"{name} {part}": each for part, each in value.items()} if isinstance(value, dict) else {name: value}
        yield from ((part, each) for part, each in parts.items() if isinstance(each, int | float))


def _notes(result: EvaluationRecord) -> str:
    return f"{result.protocol}; {result.num_images} images; synthforge evaluate"
