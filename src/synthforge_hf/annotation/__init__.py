"""Geometry and camera to labels, the same way for every generator."""

# Imported here and now: loaded on demand, the function would compete with its module of the same name.
from synthforge_hf.annotation.annotate import Annotations, annotate

__all__ = ["Annotations", "annotate"]
