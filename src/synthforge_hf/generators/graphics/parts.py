"""The pieces a picture is put together from, and what labels say of each."""

from dataclasses import dataclass

import numpy as np

from synthforge_hf.generators.base import LabelledMesh
from synthforge_hf.rendering.shading import TWO_SIDED, ShadedMesh, merge


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
    mesh = merge([part.mesh for part in labelled])
    two_sided = np.isin(mesh.materials, TWO_SIDED)
    # The surfaces that are seen from the front only go first.
    order = np.argsort(two_sided, kind="stable")

    def per_triangle(values: list[np.ndarray]) -> np.ndarray:
        return np.ascontiguousarray(np.concatenate(values)[order])

    sizes = [len(part.mesh.faces) for part in labelled]
    return LabelledMesh(
        vertices=mesh.vertices,
        faces=mesh.faces[order],
        vertex_normals=mesh.normals,
        triangle_classes=per_triangle(
            [np.broadcast_to(np.asarray(p.label, np.uint8), n) for p, n in zip(labelled, sizes, strict=True)]
        ),
        corner_uv=per_triangle(
            [
                np.zeros((n, 3, 2), np.float32) if p.corner_uv is None else p.corner_uv
                for p, n in zip(labelled, sizes, strict=True)
            ]
        ),
        label_texture=label_texture,
        see_through=per_triangle([np.full(n, p.see_through) for p, n in zip(labelled, sizes, strict=True)]),
        num_one_sided=int((~two_sided).sum()),
    )
