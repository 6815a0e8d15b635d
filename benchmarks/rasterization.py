"""Time the rasteriser and the labels read off it: one table, one core unless asked otherwise.

python benchmarks/rasterization.py [--device cuda] [--threads 1] [--repeats 20]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from synthforge_hf.annotation.normals import surface_normals
from synthforge_hf.annotation.segmentation import segmentation
from synthforge_hf.annotation.surface import visible_surface
from synthforge_hf.generators.base import LOOK_UP_CLASS, LabelledMesh
from synthforge_hf.rendering.camera import orbit_camera
from synthforge_hf.rendering.rasterize import interpolate, rasterize


def head_like_mesh(rings: int) -> LabelledMesh:
    """Return a closed ball of 12 cm radius with 2 * rings * (rings - 1) triangles; it fills a third of the frame."""
    polar = np.linspace(0, np.pi, rings + 1)[:, None]
    around = np.linspace(0, 2 * np.pi, rings, endpoint=False)[None]
    normals = np.stack(
        [np.sin(polar) * np.cos(around), np.cos(polar) + 0 * around, np.sin(polar) * np.sin(around)], axis=-1
    ).reshape(-1, 3)
    ring, step = np.arange(rings)[:, None] * rings, np.arange(rings)[None]
    following = (step + 1) % rings
    a, b, c, d = (
        part.ravel() for part in (ring + step, ring + following, ring + rings + step, ring + rings + following)
    )
    faces = np.concatenate([np.stack([a, b, c], axis=1)[rings:], np.stack([b, d, c], axis=1)[:-rings]]).astype(np.int32)
    return LabelledMesh(
        vertices=(0.12 * normals).astype(np.float32),
        faces=faces,
        vertex_normals=normals.astype(np.float32),
        triangle_classes=np.full(len(faces), LOOK_UP_CLASS, dtype=np.uint8),
        corner_uv=np.ascontiguousarray(normals[faces][..., :2] * 0.5 + 0.5, dtype=np.float32),
        label_texture=np.random.default_rng(0).integers(0, 19, (2048, 2048), dtype=np.uint8),
    )


def best_ms(device: str, repeats: int, call: Callable[..., object], *arguments: object) -> float:
    """Return the shortest wall time of a call in milliseconds (a busy machine only ever makes it longer)."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call(*arguments)
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    device = arguments.device
    torch.set_num_threads(1)

    table = Table(title=f"milliseconds per image on one {device}, best of {arguments.repeats}")
    for column in ("triangles", "image", "batch", "rasterize", "interpolate", "normals", "segmentation"):
        table.add_column(column, justify="right", no_wrap=True)
    for rings, size, batch in ((35, 256, 1), (71, 256, 1), (71, 512, 1), (71, 512, 8), (71, 1024, 1), (158, 512, 1)):
        mesh, camera = head_like_mesh(rings), orbit_camera(0.3, 0.1, 0.0, 1.0, np.radians(21), size)
        vertices = torch.tensor(camera.to_camera(mesh.vertices), dtype=torch.float32, device=device)
        vertices = vertices.expand(batch, -1, -1).contiguous()
        faces = torch.tensor(mesh.faces, device=device)
        intrinsics = torch.tensor(camera.intrinsics, dtype=torch.float32, device=device).expand(batch, 3, 3)
        normals = torch.tensor(mesh.vertex_normals[mesh.faces], device=device)

        fragments = rasterize(vertices, faces, intrinsics, size, size)
        times = [
            best_ms(device, arguments.repeats, rasterize, vertices, faces, intrinsics, size, size) / batch,
            best_ms(device, arguments.repeats, interpolate, fragments, normals) / batch,
        ]
        if device == "cpu" and batch == 1:
            surface = visible_surface(mesh, camera)
            times += [
                best_ms(device, arguments.repeats, surface_normals, surface, mesh, camera),
                best_ms(device, arguments.repeats, segmentation, surface, mesh),
            ]
        table.add_row(
            f"{len(faces):,}", f"{size}x{size}", str(batch), *(f"{milliseconds:.1f}" for milliseconds in times)
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
