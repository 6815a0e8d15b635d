"""The part of a mesh that a camera sees: one rasterisation that all labels are read from. On the CPU."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch

from synthforge_hf.generators.base import LabelledMesh
from synthforge_hf.rendering.camera import PinholeCamera
from synthforge_hf.rendering.rasterize import rasterize
from synthforge_hf.warp_runtime import launch_on_cpu, load_kernels


@dataclass(frozen=True)
class VisibleSurface:
    """What the pixels' centres of one image see of a mesh; fill values as in ``rendering.rasterize.Fragments``.

    triangle: (H, W) int32 index into the mesh's faces, -1 where there is no surface.
    barycentric: (H, W, 3) float32 weights of the triangle's corners.
    depth: (H, W) float32 planar z of the camera frame, metres; 0 where there is no surface.
    vertices: (V, 3) float32 of the mesh, camera frame, metres.
    """

    triangle: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray
    vertices: np.ndarray


def visible_surface(mesh: LabelledMesh, camera: PinholeCamera) -> VisibleSurface:
    """Rasterise all of a mesh but its see-through triangles in the camera's image."""
    if mesh.see_through is None or not mesh.see_through.any():
        return _rasterized(mesh, camera, None)
    return _rasterized(mesh, camera, np.flatnonzero(~mesh.see_through))


def see_through_surface(mesh: LabelledMesh, camera: PinholeCamera) -> VisibleSurface | None:
    """Rasterise the see-through triangles alone, or return None where there are none."""
    if mesh.see_through is None or not mesh.see_through.any():
        return None
    return _rasterized(mesh, camera, np.flatnonzero(mesh.see_through))


def _rasterized(mesh: LabelledMesh, camera: PinholeCamera, chosen: np.ndarray | None) -> VisibleSurface:
    """chosen: (N,) indices of the triangles that are drawn, ascending; None for all."""
    faces = np.ascontiguousarray(mesh.faces if chosen is None else mesh.faces[chosen])
    num_one_sided = mesh.num_one_sided if chosen is None else int(np.searchsorted(chosen, mesh.num_one_sided))
    vertices = np.ascontiguousarray(camera.to_camera(mesh.vertices), dtype=np.float32)
    fragments = rasterize(
        torch.from_numpy(vertices)[None],
        torch.tensor(faces),
        torch.tensor(camera.intrinsics, dtype=torch.float32)[None],
        camera.height,
        camera.width,
        num_one_sided=num_one_sided,
    )
    triangle = fragments.triangle[0].numpy()
    if chosen is not None:
        # The last entry serves the -1 of empty pixels.
        triangle = np.append(chosen, -1).astype(np.int32)[triangle]
    return VisibleSurface(
        triangle=triangle,
        barycentric=fragments.barycentric[0].numpy(),
        depth=fragments.depth[0].numpy(),
        vertices=vertices,
    )


def load_label_kernels() -> ModuleType:
    """Return the kernels that read labels off a surface."""
    return load_kernels("synthforge_hf.annotation.label_kernels")


def launch_over_rows(kernel: Any, surface: VisibleSurface, inputs: list[Any]) -> None:
    """Run one of the label kernels on a surface. inputs: what it takes after triangle and barycentric, as in
    ``launch_on_cpu``."""
    launch_on_cpu(kernel, [surface.triangle, surface.barycentric, *inputs], threads=len(surface.triangle))
