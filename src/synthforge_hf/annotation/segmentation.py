"""Class of the surface under each pixel's centre. Labels are looked up, never blended."""

import numpy as np

from synthforge_hf.annotation.surface import VisibleSurface, launch_over_rows, load_label_kernels
from synthforge_hf.generators.base import LOOK_UP_CLASS, LabelledMesh
from synthforge_hf.segmentation_classes import CLASS_ID

SEEN_THROUGH_GLASS = tuple(CLASS_ID[name] for name in ("l_eye", "r_eye", "l_brow", "r_brow"))
"""CelebAMask-HQ draws these on top of clear glasses."""


def segmentation(surface: VisibleSurface, mesh: LabelledMesh, glass: VisibleSurface | None = None) -> np.ndarray:
    """Return (H, W) uint8 class ids, 0 (background) where there is no surface.

    glass: what the see-through triangles alone cover; in front of everything but eyes and brows, their class counts.

    A pixel takes its triangle's class or, where that is ``LOOK_UP_CLASS``, the texel of the label texture that holds
    the interpolated corner_uv; coordinates outside [0, 1] read the texture's border.
    """
    classes = _look_up(surface, mesh)
    if glass is None:
        return classes
    in_front = (glass.triangle >= 0) & ((surface.depth == 0) | (glass.depth < surface.depth))
    return np.where(in_front & ~np.isin(classes, SEEN_THROUGH_GLASS), _look_up(glass, mesh), classes)


def _look_up(surface: VisibleSurface, mesh: LabelledMesh) -> np.ndarray:
    classes = np.zeros(surface.depth.shape, dtype=np.uint8)
    launch_over_rows(
        load_label_kernels().look_up_classes,
        surface,
        [
            np.ascontiguousarray(mesh.triangle_classes, dtype=np.uint8),
            np.ascontiguousarray(mesh.corner_uv, dtype=np.float32),
            np.ascontiguousarray(mesh.label_texture, dtype=np.uint8),
            LOOK_UP_CLASS,
            classes,
        ],
    )
    return classes
