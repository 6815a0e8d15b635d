"""All accuracy figures that README.md, docs/accuracy.md, docs/own-labels.md and the model's card show, by one command.

    python benchmarks/accuracy.py REAL_FOLDER [--model mini] [--synthetic DIR] [--finetune-300w] [--finetune-parsing]
        [--output table.md]

REAL_FOLDER holds 300-W's training photos as their authors ship them, 300w/{lfpw/trainset,helen/trainset,afw}, and
parsing/{images,masks} of CelebAMask-HQ. Faces of several folders or folds are pooled, face by face and pixel by pixel:
no figure is a mean of means.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from synthforge_hf.data.name_split import NameSplit
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.evaluation.analyser import FaceAnalyser
from synthforge_hf.evaluation.celebamask_hq import SUFFIX, ParsingScores, evaluate_celebamask_hq
from synthforge_hf.evaluation.metrics import summarise_landmark_errors
from synthforge_hf.evaluation.report import EvaluationResult
from synthforge_hf.evaluation.synthetic import evaluate_synthetic
from synthforge_hf.evaluation.three_hundred_w import evaluate_300w
from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES
from synthforge_hf.training.stage_two import finetune_labels, read_finetuning_settings

CONFIGS = Path(__file__).parents[1] / "examples" / "configs"
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "fine-tuned": ("finetune-mini.yaml", {}),
    "with features": ("finetune-mini.yaml", {"use_features": True}),
    "with the encoder": ("finetune-mini-{part}.yaml", {}),
}
"""How label fine-tuning is measured: configuration, by ``PARTS`` where it differs, and what is changed in it."""
PARTS = {"landmarks": "landmarks", "segmentation": "encoder"}
TUNED = ("lfpw/trainset", "helen/trainset")
LANDMARK_COLUMNS = ("faces", "NME", "inner 51", "jaw", "over 10 %", "AUC 10 %")
PARSING_FIGURES = {
    "mean F1, 18 classes": "mean_f1",
    "mean F1, core": "mean_f1_core",
    "mean F1, 14 classes": "mean_f1_14",
    "pixel accuracy": "pixel_accuracy",
}


@dataclass(frozen=True)
class Block:
    """One table: the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def table(self) -> Table:
        table = Table(title=self.title)
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        ruler = ("---", *("---:" for _ in self.columns[1:]))
        lines = [f"| {' | '.join(row)} |" for row in (self.columns, ruler, *self.rows)]
        return "\n".join([f"**{self.title}**", "", *lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, metavar="REAL_FOLDER")
    parser.add_argument("--model", default="mini", help="embedded checkpoint, folder or Hub repository")
    parser.add_argument("--synthetic", metavar="DIR", help="generated data set: measure on its validation split too")
    parser.add_argument("--finetune-300w", action="store_true", help="label fine-tuning in three folds")
    parser.add_argument("--finetune-parsing", action="store_true", help="label fine-tuning in five folds")
    parser.add_argument("--ways", nargs="+", choices=[*WAYS], default=[*WAYS], help="how it is fine-tuned")
    parser.add_argument("--max-minutes", type=float, help="time budget of each fine-tuning run")
    parser.add_argument(
        "--runs", type=Path, help="keep fine-tuned models here; those that are there are not made again"
    )
    parser.add_argument("--limit", type=int, help="measure only the first so many photos of each folder or fold")
    parser.add_argument("--output", type=Path, help="Markdown file; written again after each table")
    arguments = parser.parse_args()
    try:
        if arguments.limit is not None and arguments.limit < 1:
            raise UsageError(f"the limit is {arguments.limit}: it must be at least 1")
        with tempfile.TemporaryDirectory() as scratch:
            arguments.runs = arguments.runs or Path(scratch)
            show(blocks(arguments), arguments.output)
    except SynthForgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def blocks(arguments: argparse.Namespace) -> Iterator[Block]:
    """Make the tables one after the other."""
    analyser = FaceAnalyser.load(arguments.model)
    options = {"limit": arguments.limit, "quiet": not sys.stderr.isatty()}
    yield landmarks(analyser, arguments.real / "300w", options)
    yield parsing(analyser, arguments.real / "parsing", options)
    if arguments.synthetic:
        yield synthetic(analyser, arguments.synthetic, options)
    if arguments.finetune_300w:
        yield finetuned_landmarks(analyser, arguments, options)
    if arguments.finetune_parsing:
        yield finetuned_parsing(arguments, options)


def show(made: Iterable[Block], output: Path | None) -> None:
    """Print each table when it is there, and keep what is there so far: fine-tuning takes hours."""
    texts = []
    for block in made:
        Console().print(block.table())
        texts.append(block.markdown())
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text("\n".join(texts), encoding="utf-8")


def landmarks(analyser: FaceAnalyser, folder: Path, options: dict[str, Any]) -> Block:
    def measure(look: FaceAnalyser, *subsets: str, **chosen: Any) -> list[EvaluationResult]:
        return [evaluate_300w(look, folder, subset, **chosen, **options) for subset in subsets]

    twice, plain = analyser.with_options(refine=True), analyser.with_options(flip_test=False)
    lfpw, helen, afw = measure(analyser, *TUNED, "afw")
    rows = [
        landmark_row("lfpw/trainset and helen/trainset", [lfpw, helen]),
        landmark_row("lfpw/trainset", [lfpw]),
        landmark_row("helen/trainset", [helen]),
        landmark_row("afw", [afw]),
        landmark_row("the first two, not averaged with the mirrored crop", measure(plain, *TUNED)),
        landmark_row("the first two, box noise of 10 %", measure(analyser, *TUNED, box_noise=0.1)),
        landmark_row("the same, second look", measure(twice, *TUNED, box_noise=0.1)),
        landmark_row("the first two, boxes of the detector, second look", measure(twice, *TUNED, boxes="detector")),
    ]
    return Block(titled(f"{analyser.name}: landmarks on 300-W", options), ("photos", *LANDMARK_COLUMNS), rows)


def parsing(analyser: FaceAnalyser, folder: Path, options: dict[str, Any]) -> Block:
    metrics = evaluate_celebamask_hq(analyser, folder, **options).metrics
    return parsing_block(f"{analyser.name}: parsing of CelebAMask-HQ, F1", {"": metrics}, options)


def synthetic(analyser: FaceAnalyser, folder: str, options: dict[str, Any]) -> Block:
    result = evaluate_synthetic(analyser, folder, **options)
    figures = {"NME": "nme_interocular", "mean F1": "mean_f1"}
    depths = {
        "depth, relative error": "depth_abs_rel",
        "after one factor per face": "depth_abs_rel_scaled",
        "depth, scale-invariant error": "depth_si_log",
    }
    row = [f"{result.metrics[name]:.2f}" if name in result.metrics else "" for name in figures.values()]
    row += [f"{result.metrics[name]:.4f}" if name in result.metrics else "" for name in depths.values()]
    title = titled(f"{analyser.name}: generated faces, validation split", options)
    return Block(title, ("model", "faces", *figures, *depths), [(analyser.name, str(result.num_images), *row)])


def finetuned_landmarks(analyser: FaceAnalyser, arguments: argparse.Namespace, options: dict[str, Any]) -> Block:
    folder = arguments.real / "300w"
    rows = [landmark_row(analyser.name, [evaluate_300w(analyser, folder, **options)])]
    for way in arguments.ways:
        results = [
            evaluate_300w(finetuned(arguments, folder, "landmarks", fold, way), folder, split=split, **options)
            for fold, split in folds(3)
        ]
        rows.append(landmark_row(way, results))
    return Block(titled("300-W, label fine-tuning in three folds", options), ("model", *LANDMARK_COLUMNS), rows)


def finetuned_parsing(arguments: argparse.Namespace, options: dict[str, Any]) -> Block:
    folder, metrics = arguments.real / "parsing", {}
    for way in arguments.ways:
        scores = ParsingScores()
        for fold, split in folds(5):
            model = finetuned(arguments, folder, "segmentation", fold, way)
            evaluate_celebamask_hq(model, folder, split=split, scores=scores, **options)
        metrics[way] = scores.compute()
    return parsing_block("CelebAMask-HQ, label fine-tuning in five folds, F1", metrics, options)


def folds(count: int) -> Iterator[tuple[str, NameSplit]]:
    for number in range(1, count + 1):
        yield f"{number}/{count}", NameSplit.from_fold(f"{number}/{count}")


def finetuned(arguments: argparse.Namespace, folder: Path, task: str, fold: str, way: str) -> FaceAnalyser:
    """Train on all but a fold, unless --runs has the finished model; one that was interrupted goes on."""
    output = arguments.runs / f"{task}-{way.replace(' ', '-')}-{fold.replace('/', '-of-')}"
    if not (output / "metrics.json").is_file():
        config, changes = WAYS[way]
        chosen = {"tasks": [task], "fold": fold, "max_minutes": arguments.max_minutes} | changes
        settings = read_finetuning_settings(CONFIGS / config.format(part=PARTS[task]), **chosen)
        finetune_labels(arguments.model, str(folder), output, settings, resume=output.exists())
    return FaceAnalyser.load(str(output))


def landmark_row(name: str, results: list[EvaluationResult]) -> tuple[str, ...]:
    """All faces of all results together."""
    rows = [row for result in results for row in result.per_image]
    names = ("nme_interocular", "nme_inner51", "nme_jaw")
    pooled = summarise_landmark_errors({metric: np.array([row[metric] for row in rows]) for metric in names})
    shares = (f"{pooled[metric]:.1f}" for metric in ("failure_rate_10", "auc_10"))
    return (name, str(len(rows)), *(f"{pooled[metric]:.2f}" for metric in names), *shares)


def parsing_block(title: str, metrics: dict[str, dict[str, Any]], options: dict[str, Any]) -> Block:
    """One column per model and kind of masks. metrics: model -> what ``ParsingScores`` computes."""
    columns = [(each, suffix) for each in metrics.values() for suffix in ("", SUFFIX)]
    kinds = {"": "masks as shipped", SUFFIX: "mirrored corrected"}
    names = [", ".join(filter(None, (name, kinds[suffix]))) for name in metrics for suffix in kinds]
    rows = []
    for label, figure in PARSING_FIGURES.items():
        rows.append((label, *(f"{each[figure + suffix]:.2f}" for each, suffix in columns)))
    for label in SEGMENTATION_CLASSES:
        scores = [each[f"f1{suffix}"].get(label) for each, suffix in columns]
        rows.append((label, *("" if score is None else f"{score:.1f}" for score in scores)))
    return Block(titled(title, options), ("", *names), rows)


def titled(title: str, options: dict[str, Any]) -> str:
    """Say in the title where only the first photos were measured: such figures must not be taken for the whole."""
    return title if options["limit"] is None else f"{title}, first {options['limit']} only"


if __name__ == "__main__":
    sys.exit(main())
