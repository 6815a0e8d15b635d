"""The triangle each pixel sees: a z-buffer on Warp (CPU and CUDA, one kernel) or PyTorch3D behind the same function."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor

from synthforge_hf.warp_runtime import load_kernels, start_warp

NEAR = 1e-3
"""Metres. A triangle with any vertex nearer than this (or behind the camera) is not drawn."""

TRIANGLE_SLICES_CUDA = 16
"""Threads that share the rows of a triangle on a GPU, so that a large triangle does not keep a single thread busy."""

SPARE_KEYS = 8
"""Keys of a z-buffer's row beyond its last pixel: on a CPU the kernel touches keys in eights."""


@dataclass(frozen=True)
class Fragments:
    """What a pixel's centre sees.

    triangle: (B, H, W) int32 index into ``faces``; -1 where there is no surface.
    barycentric: (B, H, W, 3) float32 weights of the triangle's corners on the surface (perspective-correct), sum 1; 0
        where there is none.
    depth: (B, H, W) float32 planar z of the camera frame, metres; 0 where there is none.
    """

    triangle: Tensor
    barycentric: Tensor
    depth: Tensor


def rasterize(
    vertices: Tensor,
    faces: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    backend: Literal["warp", "pytorch3d"] = "warp",
    *,
    num_one_sided: int = 0,
    orthographic: bool = False,
) -> Fragments:
    """Find the nearest triangle under every pixel's centre. All tensors on one device, which the result shares.

    vertices: (B, V, 3) float32, camera frame (x right, y down, z forward), metres.
    faces: (F, 3) int32 or int64, shared by the batch; counter-clockwise seen from outside, which only
        ``num_one_sided`` cares about.
    intrinsics: (B, 3, 3) float32, pixels; a pixel's centre is at +0.5. The last row is taken to be (0, 0, 1).
    num_one_sided: that many of the first triangles are left out where they are seen from behind.
    orthographic: project without division, x_pixel = fx * x + cx with x in metres; z must still be positive.

    The result depends on nothing but the input: a pixel centre on a shared edge belongs to exactly one of the triangles
    (top-left rule), equal depths go to the lower index. Not drawn: triangles with a corner at z <= 1 mm, or more than a
    million pixels from the origin, or that have no area once corners are rounded to 1/1024 pixel.

    Raises ValueError when shapes, types or devices do not fit, SynthForgeError when the backend is not installed.
    """
    _check_input(vertices, faces, intrinsics, height, width)
    if faces.ndim != 2:
        raise ValueError(f"faces must be (F, 3), shared by the batch, not {tuple(faces.shape)}")
    faces = faces.to(torch.int32).contiguous()
    if backend == "warp":
        return _rasterize_warp(vertices, faces, intrinsics, height, width, num_one_sided, orthographic)
    if backend == "pytorch3d":
        if orthographic:
            raise ValueError("backend 'pytorch3d' offers no orthographic projection; use backend 'warp'")
        from synthforge_hf.rendering.rasterize_pytorch3d import rasterize_pytorch3d

        return rasterize_pytorch3d(vertices, faces, intrinsics, height, width, num_one_sided)
    raise ValueError(f"unknown rasterisation backend {backend!r}; choose 'warp' or 'pytorch3d'")


def interpolate(fragments: Fragments, corner_values: Tensor) -> Tensor:
    """Interpolate values given at the corners of every triangle. Differentiable with respect to them.

    corner_values: (F, 3, C) shared by the batch, or (B, F, 3, C); floating point. Values per vertex: ``values[faces]``.
    Returns (B, H, W, C) of the same dtype, 0 where there is no surface. Fastest for float32 that needs no gradient.

    Raises ValueError when shapes do not fit.
    """
    batch, height, width = fragments.triangle.shape
    if corner_values.ndim not in (3, 4) or corner_values.shape[-2] != 3:
        raise ValueError(f"corner_values must be (F, 3, C) or (B, F, 3, C), not {tuple(corner_values.shape)}")
    if corner_values.ndim == 4 and corner_values.shape[0] != batch:
        raise ValueError(f"corner_values has a batch of {corner_values.shape[0]}, the fragments one of {batch}")
    needs_gradient = corner_values.requires_grad and torch.is_grad_enabled()
    if corner_values.dtype == torch.float32 and not needs_gradient:
        return _interpolate_warp(fragments, corner_values)

    channels = corner_values.shape[-1]
    triangle = fragments.triangle.reshape(-1)
    covered = torch.nonzero(triangle >= 0).squeeze(1)
    index = triangle.index_select(0, covered).long()
    if corner_values.ndim == 4:
        index += torch.div(covered, height * width, rounding_mode="floor") * corner_values.shape[1]
    corners = corner_values.reshape(-1, 3 * channels).index_select(0, index).view(-1, 3, channels)
    weights = fragments.barycentric.reshape(-1, 3).index_select(0, covered).to(corners.dtype)
    values = (corners * weights.unsqueeze(-1)).sum(1)
    result = values.new_zeros((len(triangle), channels)).index_copy(0, covered, values)
    return result.view(batch, height, width, channels)


def depth_map(
    vertices: Tensor,
    faces: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    *,
    num_one_sided: int | Sequence[int] = 0,
    orthographic: bool = False,
) -> Tensor:
    """Return only the depth of ``rasterize``: (B, H, W) float32 planar z in metres, 0 where there is no surface.

    faces, num_one_sided: as in ``rasterize``, or of each picture: (B, F, 3), where a triangle with equal corners is
    none, and B numbers.
    """
    _check_input(vertices, faces, intrinsics, height, width)
    warp, kernels = load_warp()
    device = vertices.device
    depth = torch.empty((len(vertices), height, width), dtype=torch.float32, device=device)
    if not len(vertices):
        return depth
    faces = faces.to(torch.int32).contiguous()
    vertices, intrinsics = vertices.detach().contiguous(), intrinsics.detach().contiguous()
    drawn = draw(vertices, faces, intrinsics, height, width, num_one_sided, orthographic)
    slices = width if device.type == "cuda" else 1
    warp.launch(
        kernels.resolve_depth,
        dim=(len(vertices), height, slices),
        inputs=[orthographic, slices, as_argument(drawn.keys), as_argument(depth)],
        **launch_options(device),
    )
    return depth


def _check_input(vertices: Tensor, faces: Tensor, intrinsics: Tensor, height: int, width: int) -> None:
    if vertices.ndim != 3 or vertices.shape[2] != 3 or vertices.dtype != torch.float32:
        raise ValueError(f"vertices must be (B, V, 3) float32, not {tuple(vertices.shape)} {vertices.dtype}")
    shared = faces.ndim == 2 or (faces.ndim == 3 and len(faces) == len(vertices))
    if not shared or faces.shape[-1] != 3 or faces.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"faces must be (F, 3) int32 or int64, not {tuple(faces.shape)} {faces.dtype}")
    if intrinsics.shape != (vertices.shape[0], 3, 3) or intrinsics.dtype != torch.float32:
        raise ValueError(
            f"intrinsics must be ({vertices.shape[0]}, 3, 3) float32, not {tuple(intrinsics.shape)} {intrinsics.dtype}"
        )
    if not vertices.device == faces.device == intrinsics.device:
        raise ValueError(
            f"all tensors must be on one device, not {vertices.device}, {faces.device}, {intrinsics.device}"
        )
    if height < 1 or width < 1:
        raise ValueError(f"the image must have at least one pixel, not {width} x {height}")
    if faces.numel():
        least, greatest = (int(index) for index in torch.aminmax(faces))
        if not 0 <= least <= greatest < vertices.shape[1]:
            raise ValueError(f"faces index vertices {least} to {greatest}, of {vertices.shape[1]}")


def load_warp() -> tuple[ModuleType, ModuleType]:
    """Return Warp and the kernels of this module."""
    return start_warp(), load_kernels("synthforge_hf.rendering.rasterize_kernels")


def _rasterize_warp(
    vertices: Tensor,
    faces: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    num_one_sided: int,
    orthographic: bool,
) -> Fragments:
    warp, kernels = load_warp()
    vertices = vertices.detach().contiguous()
    intrinsics = intrinsics.detach().contiguous()
    device = vertices.device
    batch = len(vertices)
    shape = (batch, height, width)
    fragments = Fragments(
        triangle=torch.empty(shape, dtype=torch.int32, device=device),
        barycentric=torch.empty((*shape, 3), dtype=torch.float32, device=device),
        depth=torch.empty(shape, dtype=torch.float32, device=device),
    )
    if batch == 0:
        return fragments
    drawn = draw(vertices, faces, intrinsics, height, width, num_one_sided, orthographic)
    warp.launch(
        kernels.resolve_pixels,
        dim=(batch, height, width if device.type == "cuda" else 1),
        inputs=[
            as_argument(faces[None]),
            as_argument(drawn.screen),
            as_argument(drawn.weight),
            orthographic,
            width if device.type == "cuda" else 1,
            as_argument(drawn.keys),
            as_argument(fragments.triangle),
            as_argument(fragments.barycentric),
            as_argument(fragments.depth),
        ],
        **launch_options(device),
    )
    return fragments


@dataclass(frozen=True)
class DrawnTriangles:
    """A z-buffer before it is resolved to ``Fragments``; what the numbers mean is the kernels' business.

    keys: (B, H, W) int64, low half the nearest triangle's index, the largest int64 where there is none. A view: rows
    are ``SPARE_KEYS`` longer.
    screen: (B, V, 2) int32 projected vertices on the sub-pixel grid. weight: (B, V) float32.
    """

    keys: Tensor
    screen: Tensor
    weight: Tensor


def draw(
    vertices: Tensor,
    faces: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    num_one_sided: int | Sequence[int] = 0,
    orthographic: bool = False,
) -> DrawnTriangles:
    """Draw triangles into a z-buffer with Warp. Arguments as in ``rasterize``, contiguous, faces int32, unchecked.

    faces: (F, 3) shared by the batch, or (B, F, 3), where a triangle with equal corners is none. num_one_sided: that
    many of the first triangles are left out where they are seen from behind; a number, or one per picture.
    """
    warp, kernels = load_warp()
    device = vertices.device
    batch, num_vertices = vertices.shape[:2]
    pitch = width + SPARE_KEYS
    keys = torch.full((batch, height, pitch), torch.iinfo(torch.int64).max, dtype=torch.int64, device=device)
    drawn = DrawnTriangles(
        keys=keys[:, :, :width],
        screen=torch.empty((batch, num_vertices, 2), dtype=torch.int32, device=device),
        weight=torch.empty((batch, num_vertices), dtype=torch.float32, device=device),
    )
    faces = faces if faces.ndim == 3 else faces[None]
    if not (batch and num_vertices and faces.numel()):
        return drawn
    one_sided = torch.tensor(
        [num_one_sided] if isinstance(num_one_sided, int) else list(num_one_sided), dtype=torch.int32, device=device
    )
    on_gpu = device.type == "cuda"
    threads, slices = (faces.shape[1], TRIANGLE_SLICES_CUDA) if on_gpu else (1, 1)
    inputs = [
        as_argument(vertices),
        as_argument(intrinsics),
        NEAR,
        orthographic,
        as_argument(drawn.screen),
        as_argument(drawn.weight),
    ]
    launch = launch_options(device)
    if on_gpu:
        warp.launch(kernels.project_vertices, dim=(batch, num_vertices), inputs=inputs, **launch)
    inputs += [as_argument(faces), as_argument(one_sided), threads, slices, height, width, pitch]
    inputs.append(as_argument(keys.view(-1)))
    warp.launch(kernels.draw_triangles, dim=(batch, threads, slices), inputs=inputs, **launch)
    return drawn


def _interpolate_warp(fragments: Fragments, corner_values: Tensor) -> Tensor:
    warp, kernels = load_warp()
    batch, height, width = fragments.triangle.shape
    device = fragments.triangle.device
    corner_values = corner_values.detach().contiguous().view(-1, *corner_values.shape[-3:])
    result = torch.zeros((batch, height, width, corner_values.shape[-1]), dtype=torch.float32, device=device)
    pixel_slices = width if device.type == "cuda" else 1
    warp.launch(
        kernels.interpolate_corners,
        dim=(batch, height, pixel_slices),
        inputs=[
            as_argument(fragments.triangle),
            as_argument(fragments.barycentric.contiguous()),
            as_argument(corner_values),
            pixel_slices,
            as_argument(result),
        ],
        **launch_options(device),
    )
    return result


def as_argument(tensor: Tensor) -> Any:
    """Return what a launch takes for a tensor: as it is or, as numpy, in less time; vectors are its last axis."""
    return tensor.numpy() if tensor.is_cpu else tensor


def as_warp(tensor: Tensor, vector: Any) -> Any:
    """Return a view of a contiguous (..., n) tensor as a Warp array of n-vectors; ``warp.from_torch`` takes ten times
    as long for these. The view keeps the tensor alive."""
    warp, _ = load_warp()
    device = warp.device_from_torch(tensor.device)
    view = warp.array(ptr=tensor.data_ptr(), dtype=vector, shape=tuple(tensor.shape[:-1]), device=device)
    view._tensor = tensor
    return view


def torch_stream(device: torch.device) -> AbstractContextManager:
    """Let all that Warp does in this context follow torch's own order: copies and launches on torch's stream."""
    warp, _ = load_warp()
    if device.type != "cuda":
        return nullcontext()
    return warp.ScopedStream(warp.stream_from_torch(torch.cuda.current_stream(device)))


def launch_options(device: torch.device) -> dict[str, Any]:
    """Launch on torch's own device and stream, so that torch and Warp work on the same tensors in order."""
    if device.type == "cpu":
        return {"device": "cpu"}
    warp, _ = load_warp()
    stream = warp.stream_from_torch(torch.cuda.current_stream(device))
    return {"device": warp.device_from_torch(device), "stream": stream}
