"""One entrance to all benchmarks."""

from pathlib import Path
from typing import Any

from synthforge_hf.data.name_split import NameSplit
from synthforge_hf.errors import UsageError
from synthforge_hf.evaluation.analyser import FaceAnalyser
from synthforge_hf.evaluation.celebamask_hq import evaluate_celebamask_hq
from synthforge_hf.evaluation.lapa import evaluate_lapa
from synthforge_hf.evaluation.report import EvaluationResult
from synthforge_hf.evaluation.synthetic import evaluate_synthetic
from synthforge_hf.evaluation.three_hundred_w import evaluate_300w

BENCHMARKS = ("300w", "lapa", "celebamask-hq", "synthforge")


def evaluate(
    model: str | FaceAnalyser,
    benchmark: str,
    data: str | Path,
    subset: str | None = None,
    output: str | Path | None = None,
    *,
    boxes: str = "ground-truth",
    box_noise: float = 0.0,
    crop: str = "whole",
    flip_test: bool | None = None,
    refine: bool = False,
    batch_size: int = 32,
    limit: int | None = None,
    seed: int = 0,
    train_share: float | None = None,
    fold: str | None = None,
    device: str = "auto",
    quiet: bool = True,
) -> EvaluationResult:
    """Measure a model on a benchmark and, if ``output`` is given, write its results file and a per-image table beside
    it.

    model: the name of an embedded checkpoint, a folder, a Hub repository, or a loaded ``FaceAnalyser`` (whose own
        options then hold).
    benchmark: "300w", "lapa", "celebamask-hq" or "synthforge". data: its folder.
    subset: "common", "challenge", "full" or a folder of 300-W; a partition of LaPa (default "test") or CelebAMask-HQ; a
        split of our own data sets (default "validation").
    boxes, box_noise, seed: 300-W only, see ``evaluate_300w``. crop: CelebAMask-HQ only, see ``evaluate_celebamask_hq``.
    flip_test: average with the mirrored crop; None: wherever it is known what that exchanges.
    refine: crop a second time around the first landmarks.
    train_share: only the photos outside this training share, on which label fine-tuning with the same share has not
        trained. fold: "2/5": only the second fifth, which fine-tuning with the same fold holds out. At most one of the
        two; not for our own data sets, which have a split of their own.
    limit: only the first images. quiet: no progress bar.

    Raises UsageError for a wrong request and SynthForgeError for data or models that cannot be read.
    """
    if benchmark not in BENCHMARKS:
        raise UsageError(f"there is no benchmark '{benchmark}' yet: take one of {', '.join(BENCHMARKS)}")
    if limit is not None and limit < 1:
        raise UsageError(f"the limit is {limit}: it must be at least 1")
    split = NameSplit.from_request(train_share, fold)
    if split is not None and benchmark == "synthforge":
        raise UsageError(f"our own data sets have a validation split: name a subset instead of {split}")
    analyser = model
    if not isinstance(analyser, FaceAnalyser):
        analyser = FaceAnalyser.load(analyser, device, flip_test=flip_test, refine=refine, batch_size=batch_size)
    options: dict[str, Any] = {"limit": limit, "quiet": quiet}
    if benchmark == "synthforge":
        result = evaluate_synthetic(analyser, data, subset, **options)
        return _saved(result, output)
    options["split"] = split
    if benchmark == "300w":
        result = evaluate_300w(analyser, data, subset, boxes=boxes, box_noise=box_noise, seed=seed, **options)
    elif benchmark == "lapa":
        result = evaluate_lapa(analyser, data, subset, **options)
    else:
        result = evaluate_celebamask_hq(analyser, data, subset, crop=crop, **options)
    return _saved(result, output)


def _saved(result: EvaluationResult, output: str | Path | None) -> EvaluationResult:
    if output is not None:
        result.save(output)
    return result
