"""Measuring models on benchmarks, and running them on photos."""

from synthforge_hf.evaluation.benchmarks import evaluate
from synthforge_hf.evaluation.paper_table import check_has_table, print_paper_table
from synthforge_hf.evaluation.prediction import PhotoPrediction, predict
from synthforge_hf.evaluation.report import EvaluationResult

__all__ = ["EvaluationResult", "PhotoPrediction", "check_has_table", "evaluate", "predict", "print_paper_table"]
