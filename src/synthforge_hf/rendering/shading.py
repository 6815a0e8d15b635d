"""Colour: one directional lamp with shadows, light from all around as spherical harmonics, and a small set of
materials.

A deferred pass over rasterised fragments on a Warp kernel (CPU and CUDA). Colours are linear RGB until the last step.
"""

from collections.abc import Sequence
from ctypes import addressof
from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
import torch

from synthforge_hf.rendering.camera import PinholeCamera
from synthforge_hf.rendering.mesh import cross
from synthforge_hf.rendering.rasterize import as_warp, depth_map, draw, torch_stream
from synthforge_hf.warp_runtime import load_kernels, start_warp

SHADOW_SIZES = (192, 384)
"""Pixels across the shadow map: least and most. It has three quarters of the image's where that lies between."""
SHADOW_WIDTH = 0.62
"""Metres that the shadow map spans around the head."""
SHADOW_CENTRE = np.array([0.0, -0.05, -0.07])


class Material(IntEnum):
    """What a triangle is made of; the numbers are those of the kernel."""

    SKIN = 0
    EYE = 1
    TEETH = 2
    MOUTH = 3
    LASH = 4
    HAIR = 5
    CLOTH = 6
    COLOURED = 7
    LENS = 8


TWO_SIDED = (Material.LASH, Material.HAIR, Material.CLOTH, Material.COLOURED, Material.LENS)
"""Materials of thin shells, which are seen from both sides; of the others only the outside is drawn."""
_TWO_SIDED_TABLE = np.isin(np.arange(256), TWO_SIDED)
_ONE_SIDED_TABLE = ~_TWO_SIDED_TABLE
_OPAQUE_SHELL_TABLE = _TWO_SIDED_TABLE & (np.arange(256) != Material.LENS)


PACKED = np.dtype(
    [
        ("vertices", "V12"),
        ("normals", "V12"),
        ("uv", "V8"),
        ("directions", "V12"),
        ("occlusion", "V4"),
        ("colours", "V16"),
    ]
)
"""One vertex of a ``ShadedMesh`` as the kernels read it. As bytes: numpy copies rows of three numbers at a third of the
speed."""


@dataclass(frozen=True)
class ShadedMesh:
    """A mesh with what its materials need.

    vertices: (V, 3) float32, world frame, metres. faces: (F, 3) int32. materials: (F,) uint8 ``Material``.
    normals: (V, 3) float32 unit vectors. uv: (V, 2) float32 texture coordinates (skin: the chart; hair: across and
    along the strands).
    directions: (V, 3) float32: hair the direction of the strands; eyeballs the rest direction from the eye's centre;
    else zero.
    occlusion: (V,) float32 share of the surroundings seen, 0 to 1.
    colours: (V, 4) float32. COLOURED: linear RGB reflectance and gloss, 0 to 1. LENS: share of the red, green and blue
    light let through, and how strongly it mirrors. HAIR: factors on the hair's colour, where above 0. Else zero.
    """

    vertices: np.ndarray
    faces: np.ndarray
    materials: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    directions: np.ndarray
    occlusion: np.ndarray
    colours: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), dtype=np.float32))

    def __post_init__(self) -> None:
        if not len(self.colours):
            object.__setattr__(self, "colours", np.zeros((len(self.vertices), 4), dtype=np.float32))


def merge(meshes: Sequence[ShadedMesh]) -> ShadedMesh:
    """Put several meshes into one."""
    faces = _joined_faces(meshes)
    rest = {
        item.name: np.concatenate([getattr(mesh, item.name) for mesh in meshes])
        for item in fields(ShadedMesh)
        if item.name != "faces"
    }
    return ShadedMesh(faces=faces, **rest)


def _joined_faces(meshes: Sequence[ShadedMesh]) -> np.ndarray:
    """(F, 3) int32 faces of all meshes, into the vertices of all."""
    offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]], dtype=np.int32)
    return np.concatenate([mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=True)], dtype=np.int32)


def _packed_vertices(meshes: Sequence[ShadedMesh]) -> np.ndarray:
    """(V, 16) float32: ``material_kernels.PackedVertex`` of all vertices of all meshes."""
    bounds = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    packed = np.empty(bounds[-1], dtype=PACKED)
    for mesh, start, stop in zip(meshes, bounds, bounds[1:], strict=False):
        for name in PACKED.fields or ():
            packed[name][start:stop] = np.ascontiguousarray(getattr(mesh, name)).view(PACKED[name]).ravel()
    return packed.view(np.float32).reshape(-1, 16)


@dataclass(frozen=True)
class Lighting:
    """ambient: (9, 3) float32 spherical-harmonic coefficients in the order 1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2 of
    the diffuse light
    that a white surface sends back. direction: (3,) unit vector towards the lamp, world frame. colour: (3,) its
    strength.
    exposure: factor on everything but the background."""

    ambient: np.ndarray
    direction: np.ndarray
    colour: np.ndarray
    exposure: float


TONE_STEPS, BRIGHTEST = 8192, 2.5
"""Entries of the tone table per unit of linear light, and where it ends: all brighter light is white."""


@cache
def tone_table() -> np.ndarray:
    """Return the (N,) uint8 sRGB value of linear light in steps of 1 / TONE_STEPS: a filmic shoulder, then sRGB.

    A table spares three powers per pixel.
    """
    light = np.arange(int(BRIGHTEST * TONE_STEPS) + 1) / TONE_STEPS
    shoulder = np.minimum(1.18 * light * (1 + 0.111 * light) / (1 + 0.55 * light), 1.0)
    srgb = np.where(shoulder <= 0.0031308, 12.92 * shoulder, 1.055 * shoulder ** (1 / 2.4) - 0.055)
    return np.rint(255 * srgb).astype(np.uint8)


def shade(
    meshes: Sequence[ShadedMesh],
    camera: PinholeCamera,
    paint: dict[str, Any],
    lighting: Lighting,
    background: np.ndarray,
    device: str = "cpu",
) -> np.ndarray:
    """Draw meshes over a background, anti-aliased by 2x2 samples at edges.

    paint: the fields of ``material_kernels.Paint``; arrays for masks (h, w, 4) uint8, noise (h, w, 4) int8, brows
    (h, w) uint8.
    background: (H, W, 3) float32, linear RGB, as bright as it is to appear.
    Returns (H, W, 3) uint8 sRGB.
    """
    with torch_stream(torch.device(device)):
        return _shade(meshes, camera, paint, lighting, background, device)


def _shade(
    meshes: Sequence[ShadedMesh],
    camera: PinholeCamera,
    paint: dict[str, Any],
    lighting: Lighting,
    background: np.ndarray,
    device: str,
) -> np.ndarray:
    warp, kernels = start_warp(), load_kernels("synthforge_hf.rendering.shading_kernels")
    height, width = camera.height, camera.width

    world = np.concatenate([mesh.vertices for mesh in meshes])
    all_faces = _joined_faces(meshes)
    materials = np.concatenate([mesh.materials for mesh in meshes])
    vertices = _tensor(camera.to_camera(world), device)[None]
    intrinsics = camera.intrinsics.copy()
    intrinsics[:2] *= 2
    lens = np.flatnonzero(materials == Material.LENS)
    one_sided = np.flatnonzero(_ONE_SIDED_TABLE.take(materials))
    order = np.concatenate([one_sided, np.flatnonzero(_OPAQUE_SHELL_TABLE.take(materials))])
    num_one_sided = len(one_sided)

    def array(values: np.ndarray, dtype: Any) -> Any:
        return warp.array(np.ascontiguousarray(values), dtype=dtype, device=device, copy=False)

    def one(struct: Any) -> Any:
        # Kernels take structs in arrays: by value, each function would copy them for every pixel. The array is a view
        # of the struct, which the caller keeps alive; made from a list of one it would take a millisecond.
        view = warp.array(ptr=addressof(struct._ctype), dtype=type(struct)._cls, shape=1, device="cpu", copy=False)
        return view.to(device)

    def draw_surface(triangles: np.ndarray, faces: torch.Tensor, num_one_sided: int) -> tuple[Any, Any]:
        """Return the z-buffer at twice the size, and what the kernel is to know of the surface in it."""
        drawn = draw(vertices, faces, _tensor(intrinsics, device)[None], 2 * height, 2 * width, num_one_sided)
        surface = kernels.Surface()
        surface.screen = as_warp(drawn.screen, warp.vec2i)
        surface.weight = warp.from_torch(drawn.weight)
        surface.faces = warp.from_torch(faces, dtype=warp.int32)
        surface.material = array(materials[triangles], warp.uint8)
        surface.vertex = packed
        return warp.from_torch(drawn.keys[0]), surface

    packed = array(_packed_vertices(meshes), kernels.PackedVertex)
    faces = torch.from_numpy(all_faces.take(order, axis=0))
    keys, surface = draw_surface(order, faces.to(device), num_one_sided)

    coat = kernels.Paint()
    types = {"masks": kernels.vec4ub, "noise": kernels.vec4b, "brows": warp.uint8}
    for name, value in paint.items():
        if name in types:
            value = array(value, types[name])
        elif isinstance(value, np.ndarray):
            value = {2: warp.vec2f, 3: warp.vec3f, 4: warp.vec4f}[len(value)](*value.tolist())
        setattr(coat, name, value)

    light = kernels.Light()
    light.ambient = array(lighting.ambient.astype(np.float32), warp.vec3f)
    light.direction = warp.vec3f(*lighting.direction.tolist())
    light.colour = warp.vec3f(*lighting.colour.tolist())
    light.exposure = lighting.exposure
    light.camera = warp.vec3f(*camera.position.tolist())
    # Every second triangle of hair is enough for its soft shadow, on top of the opaque layer's.
    casting = materials.take(order) != Material.HAIR
    casting[::2] = True
    opaque = torch.from_numpy(faces.numpy().take(np.flatnonzero(casting), axis=0)).to(device)
    size = int(np.clip(0.75 * width, *SHADOW_SIZES))
    rows, offset, shadow = shadow_map(world, opaque, num_one_sided, lighting.direction, size, device)
    light.shadow = warp.from_torch(shadow, dtype=warp.float32)
    light.shadow_rows = warp.mat33f(*rows.ravel().tolist())
    light.shadow_offset = warp.vec3f(*offset.tolist())

    colour = warp.empty((height, width), dtype=warp.vec3f, device=device)
    image = warp.empty((height, width, 3), dtype=warp.uint8, device=device)

    def launch(kernel: Any, columns: int, *inputs: Any) -> None:
        warp.launch(kernel, dim=(height, columns), inputs=inputs, device=device)

    slices = width if device == "cuda" else 1
    behind = array(background.astype(np.float32), warp.vec3f)
    launch(kernels.shade, slices, keys, one(surface), one(coat), one(light), behind, slices, colour)
    if len(lens):
        lens_keys, lens_surface = draw_surface(lens, torch.from_numpy(all_faces[lens]).to(device), 0)
        launch(kernels.look_through, width, lens_keys, keys, one(lens_surface), one(coat), one(light), colour)
    launch(kernels.apply_tone, slices, colour, array(tone_table(), warp.uint8), slices, image)
    return image.numpy()


def shadow_map(
    vertices: np.ndarray, faces: torch.Tensor, num_one_sided: int, direction: np.ndarray, size: int, device: str
) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """Depth of the scene as the lamp sees it; num_one_sided as in ``rasterize``. size: pixels across the map.

    Returns rows (3, 3) and offset (3,) with ``rows @ world + offset`` = (column, row, depth in metres) of the map, and
    the map, (size, size) float32, 0 where nothing is.
    """
    forward = -direction / np.linalg.norm(direction)
    helper = np.array([0.0, 1.0, 0.0]) if abs(forward[1]) < 0.95 else np.array([1.0, 0.0, 0.0])
    right = cross(forward, helper)
    right /= np.linalg.norm(right)
    axes = np.stack([right, cross(forward, right), forward])
    shift = np.array([0.0, 0.0, 2.0]) - axes @ SHADOW_CENTRE
    centred = vertices @ np.ascontiguousarray(axes.T, dtype=np.float32)
    centred += shift.astype(np.float32)
    scale = size / SHADOW_WIDTH
    intrinsics = np.array([[scale, 0, size / 2], [0, scale, size / 2], [0, 0, 1.0]])
    depth = depth_map(
        _tensor(centred, device)[None],
        faces,
        _tensor(intrinsics, device)[None],
        size,
        size,
        num_one_sided=num_one_sided,
        orthographic=True,
    )[0]
    rows = axes * np.array([[scale], [scale], [1.0]])
    offset = np.array([size / 2, size / 2, 2.0]) - rows @ SHADOW_CENTRE
    return rows, offset, depth


def _tensor(values: np.ndarray, device: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)
