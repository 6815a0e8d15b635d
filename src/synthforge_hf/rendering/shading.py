"""Colour: one directional lamp with shadows, light from all around as spherical harmonics, and a small set of
materials.

A deferred pass over rasterised fragments on a Warp kernel (CPU and CUDA). Colours are linear RGB until the last step.
"""

from collections.abc import Callable, Sequence
from ctypes import addressof
from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
import torch

from synthforge_hf.rendering.camera import PinholeCamera
from synthforge_hf.rendering.mesh import cross
from synthforge_hf.rendering.rasterize import as_argument, as_warp, depth_map, draw, torch_stream
from synthforge_hf.warp_runtime import load_kernels, start_warp

SHADOW_SIZES = (192, 384)
"""Pixels across the shadow map: least and most. It has three quarters of the image's where that lies between."""
SHADOW_WIDTH = 0.62
"""Metres that the shadow map spans around the head."""
SHADOW_CENTRE = np.array([0.0, -0.05, -0.07])
LAMP_DISTANCE = 2.0
"""Metres from where shadows are drawn to the middle of what throws them."""


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


@dataclass(frozen=True)
class Scene:
    """All that one picture shows.

    paint: the fields of ``material_kernels.Paint``; arrays for masks (h, w, 4) uint8, noise (h, w, 4) int8, brows
    (h, w) uint8.
    background: (H, W, 3) float32, linear RGB, as bright as it is to appear.
    """

    meshes: Sequence[ShadedMesh]
    camera: PinholeCamera
    paint: dict[str, Any]
    lighting: Lighting
    background: np.ndarray


def shade(scenes: Sequence[Scene], device: str = "cpu") -> np.ndarray:
    """Draw scenes of one picture size, anti-aliased by 2x2 samples at edges, all with the same few launches.

    Returns (B, H, W, 3) uint8 sRGB; what a scene looks like does not depend on the others.
    """
    with torch_stream(torch.device(device)):
        return _shade([_Surfaces(scene) for scene in scenes], device)


class _Surfaces:
    """A scene's meshes in one, and its triangles in the order in which they are drawn."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        meshes = scene.meshes
        self.vertices = np.concatenate([mesh.vertices for mesh in meshes])
        self.materials = np.concatenate([mesh.materials for mesh in meshes])
        self.all_faces = _joined_faces(meshes)
        one_sided = np.flatnonzero(_ONE_SIDED_TABLE.take(self.materials))
        self.num_one_sided = len(one_sided)
        self.order = np.concatenate([one_sided, np.flatnonzero(_OPAQUE_SHELL_TABLE.take(self.materials))])
        self.lens = np.flatnonzero(self.materials == Material.LENS)
        self.faces = self.all_faces.take(self.order, axis=0)

    @property
    def casting(self) -> np.ndarray:
        """(F, 3) triangles that throw a shadow. Every second one of hair is enough for its soft shadow, on top of the
        opaque layer's."""
        chosen = self.materials.take(self.order) != Material.HAIR
        chosen[::2] = True
        return self.faces.take(np.flatnonzero(chosen), axis=0)


def _shade(surfaces: Sequence[_Surfaces], device: str) -> np.ndarray:
    warp, kernels = start_warp(), load_kernels("synthforge_hf.rendering.shading_kernels")
    cameras = [surface.scene.camera for surface in surfaces]
    height, width, batch = cameras[0].height, cameras[0].width, len(surfaces)
    intrinsics = np.stack([camera.intrinsics for camera in cameras])
    intrinsics[:, :2] *= 2
    seen = [camera.to_camera(each.vertices) for camera, each in zip(cameras, surfaces, strict=True)]
    vertices = _tensor(_padded(seen), device)

    def array(values: np.ndarray, dtype: Any) -> Any:
        return warp.array(np.ascontiguousarray(values), dtype=dtype, device=device, copy=False)

    def together(structs: list[Any]) -> Any:
        # Kernels take structs in arrays: by value, each function would copy them for every pixel. The array is a view
        # of the struct, which the caller keeps alive; made from a list of one it would take a millisecond.
        if len(structs) > 1:
            return warp.array(structs, dtype=type(structs[0])._cls, device=device)
        address = addressof(structs[0]._ctype)
        view = warp.array(ptr=address, dtype=type(structs[0])._cls, shape=1, device="cpu", copy=False)
        return view.to(device)

    def draw_surfaces(
        triangles: list[np.ndarray], faces: list[np.ndarray], num_one_sided: list[int]
    ) -> tuple[Any, list[Any]]:
        """Return the z-buffers at twice the size, and what the kernel is to know of the surfaces in them."""
        padded = torch.from_numpy(_padded(faces)).to(device)
        drawn = draw(vertices, padded, _tensor(intrinsics, device), 2 * height, 2 * width, num_one_sided)
        described = []
        for number, each in enumerate(surfaces):
            surface = kernels.Surface()
            surface.screen = as_warp(drawn.screen[number : number + 1], warp.vec2i)
            surface.weight = warp.from_torch(drawn.weight[number : number + 1])
            surface.faces = warp.from_torch(padded[number], dtype=warp.int32)
            surface.material = array(each.materials[triangles[number]], warp.uint8)
            surface.vertex = packed[number]
            described.append(surface)
        return drawn.keys, described

    packed = [array(_packed_vertices(each.scene.meshes), kernels.PackedVertex) for each in surfaces]
    keys, drawn_surfaces = draw_surfaces(
        [each.order for each in surfaces],
        [each.faces for each in surfaces],
        [each.num_one_sided for each in surfaces],
    )
    coats = [_coat(each.scene.paint, kernels, array) for each in surfaces]
    lights = _lights(surfaces, kernels, array, device)

    colour = torch.empty((batch, height, width, 3), dtype=torch.float32, device=device)
    image = torch.empty((batch, height, width, 3), dtype=torch.uint8, device=device)

    def launch(kernel: Any, columns: int, *inputs: Any) -> None:
        arguments = [as_argument(value) if isinstance(value, torch.Tensor) else value for value in inputs]
        warp.launch(kernel, dim=(batch, height, columns), inputs=arguments, device=device)

    slices = width if device == "cuda" else 1
    behind = _tensor(_padded([each.scene.background for each in surfaces]), device)
    coat, light = together(coats), together(lights)
    launch(kernels.shade, slices, keys, together(drawn_surfaces), coat, light, behind, slices, colour)
    if any(len(each.lens) for each in surfaces):
        glass = [each.lens for each in surfaces]
        faces = [each.all_faces[each.lens] for each in surfaces]
        lens_keys, lenses = draw_surfaces(glass, faces, [0] * batch)
        launch(kernels.look_through, width, lens_keys, keys, together(lenses), coat, light, colour)
    launch(kernels.apply_tone, slices, colour, array(tone_table(), warp.uint8), slices, image)
    return image.cpu().numpy()


def _padded(arrays: list[np.ndarray]) -> np.ndarray:
    """Stack arrays, also of different lengths: missing rows are 0, a vertex at the camera, or no triangle."""
    if len(arrays) == 1:
        return arrays[0][None]
    stacked = np.zeros((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), arrays[0].dtype)
    for row, values in zip(stacked, arrays, strict=True):
        row[: len(values)] = values
    return stacked


def _coat(paint: dict[str, Any], kernels: Any, array: Callable[[np.ndarray, Any], Any]) -> Any:
    """The kernels' Paint."""
    warp = start_warp()
    coat = kernels.Paint()
    types = {"masks": kernels.vec4ub, "noise": kernels.vec4b, "brows": warp.uint8}
    for name, value in paint.items():
        if name in types:
            value = array(value, types[name])
        elif isinstance(value, np.ndarray):
            value = {2: warp.vec2f, 3: warp.vec3f, 4: warp.vec4f}[len(value)](*value.tolist())
        setattr(coat, name, value)
    return coat


def _lights(
    surfaces: Sequence[_Surfaces], kernels: Any, array: Callable[[np.ndarray, Any], Any], device: str
) -> list[Any]:
    """The kernels' Light of each scene, with its shadow map."""
    warp = start_warp()
    size = int(np.clip(0.75 * surfaces[0].scene.camera.width, *SHADOW_SIZES))
    scale = np.array([size / SHADOW_WIDTH, size / SHADOW_WIDTH, 1.0])
    middle = np.array([size / 2, size / 2, LAMP_DISTANCE])
    all_axes = [_lamp_axes(each.scene.lighting.direction) for each in surfaces]
    centred = []
    for each, axes in zip(surfaces, all_axes, strict=True):
        points = each.vertices @ np.ascontiguousarray(axes.T, dtype=np.float32)
        points += (np.array([0.0, 0.0, LAMP_DISTANCE]) - axes @ SHADOW_CENTRE).astype(np.float32)
        centred.append(points)
    intrinsics = np.array([[scale[0], 0, size / 2], [0, scale[1], size / 2], [0, 0, 1.0]])
    shadows = depth_map(
        _tensor(_padded(centred), device),
        torch.from_numpy(_padded([each.casting for each in surfaces])).to(device),
        _tensor(np.repeat(intrinsics[None], len(surfaces), axis=0), device),
        size,
        size,
        num_one_sided=[each.num_one_sided for each in surfaces],
        orthographic=True,
    )
    lights = []
    for each, axes, shadow in zip(surfaces, all_axes, shadows, strict=True):
        light, lighting = kernels.Light(), each.scene.lighting
        # rows @ world + offset = (column, row, metres from the lamp)
        rows = axes * scale[:, None]
        offset = middle - rows @ SHADOW_CENTRE
        light.ambient = array(lighting.ambient.astype(np.float32), warp.vec3f)
        light.direction = warp.vec3f(*lighting.direction.tolist())
        light.colour = warp.vec3f(*lighting.colour.tolist())
        light.exposure = lighting.exposure
        light.camera = warp.vec3f(*each.scene.camera.position.tolist())
        light.shadow = warp.from_torch(shadow, dtype=warp.float32)
        light.shadow_rows = warp.mat33f(*rows.ravel().tolist())
        light.shadow_offset = warp.vec3f(*offset.tolist())
        lights.append(light)
    return lights


def _lamp_axes(direction: np.ndarray) -> np.ndarray:
    """(3,) vector towards a lamp -> (3, 3) rows: its view's right, down and forward, world frame."""
    forward = -direction / np.linalg.norm(direction)
    helper = np.array([0.0, 1.0, 0.0]) if abs(forward[1]) < 0.95 else np.array([1.0, 0.0, 0.0])
    right = cross(forward, helper)
    right /= np.linalg.norm(right)
    return np.stack([right, cross(forward, right), forward])


def _tensor(values: np.ndarray, device: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)
