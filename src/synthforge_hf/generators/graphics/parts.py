"""The pieces a picture is put together from, and what labels say of each."""

from dataclasses import dataclass

import numpy as np

from synthforge_hf.generators.base import LabelledMesh
from synthforge_hf.rendering.shading import TWO_SIDED, ShadedMesh

TWO_SIDED_TABLE = np.isin(np.arange(256), TWO_SIDED)
"""Whether a material is seen from both sides, by its number."""


@dataclass(frozen=True)
class Part:
    """A mesh in the picture (world frame, metres).

    label: class id of all its triangles, or (F,) uint8 with one each; None: drawn, but too thin to be labelled. Class 0
    hides what is behind it and is background in the mask. ``LOOK_UP_CLASS`` reads the label texture at ``corner_uv``,
    (F, 3, 2) float32.
    see_through: names the class of what is behind it (eyes and brows stay what they are) and hides nothing from depth,
    normals and visibility.
    """

    mesh: ShadedMesh
    label: int | np.ndarray | None
    see_through: bool = False
    corner_uv: np.ndarray | None = None


def labelled_mesh(parts: list[Part], label_texture: np.ndarray) -> LabelledMesh:
    """Put the labelled parts into one mesh. label_texture: (H, W) uint8 class ids."""
    labelled = [part for part in parts if part.label is not None]
    meshes = [part.mesh for part in labelled]
    offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    bounds = np.cumsum([0] + [len(mesh.faces) for mesh in meshes])
    two_sided = TWO_SIDED_TABLE[np.concatenate([mesh.materials for mesh in meshes])]
    # The surfaces that are seen from the front only go first.
    one_sided = np.flatnonzero(~two_sided)
    order = np.concatenate([one_sided, np.flatnonzero(two_sided)])
    classes = np.empty(bounds[-1], dtype=np.uint8)
    see_through = np.empty(bounds[-1], dtype=bool)
    corner_uv = np.zeros((bounds[-1], 3, 2), dtype=np.float32)
    for part, start, stop in zip(labelled, bounds, bounds[1:], strict=False):
        classes[start:stop] = part.label
        see_through[start:stop] = part.see_through
        if part.corner_uv is not None:
            corner_uv[start:stop] = part.corner_uv
    faces = np.concatenate([mesh.faces + np.int32(offset) for mesh, offset in zip(meshes, offsets, strict=False)])
    return LabelledMesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]),
        faces=faces.take(order, axis=0),
        vertex_normals=np.concatenate([mesh.normals for mesh in meshes]),
        triangle_classes=classes[order],
        corner_uv=corner_uv.reshape(-1, 6).take(order, axis=0).reshape(-1, 3, 2),
        label_texture=label_texture,
        see_through=see_through[order],
        num_one_sided=len(one_sided),
    )
