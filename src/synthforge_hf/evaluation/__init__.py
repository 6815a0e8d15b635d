"""Measuring models on benchmarks, and running them on photos."""

from synthforge_hf.evaluation.benchmarks import evaluate
from synthforge_hf.evaluation.prediction import PhotoPrediction, predict
from synthforge_hf.evaluation.report import EvaluationResult

__all__ = ["EvaluationResult", "PhotoPrediction", "evaluate", "predict"]
