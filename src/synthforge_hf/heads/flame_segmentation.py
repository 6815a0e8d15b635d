"""Which part of the head every point of FLAME's surface is: classes of triangles, and of texels where classes meet
inside triangles.

The SynthForge paper painted brows and lips on the texture by hand. Here they follow from the landmarks: a brow is what
lies within a few millimetres of the line through its five points, the lips are what lies inside their outer contour as
seen from the front, parted by the line between them. A painted texture can be used instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from synthforge_hf.errors import SynthForgeError
from synthforge_hf.segmentation_classes import CLASS_ID

FLAME_CLASSES: tuple[str, ...] = (
    "face",
    "forehead",
    "eye_region",
    "neck",
    "right_eye_region",
    "left_eye_region",
    "right_eyeball",
    "left_eyeball",
    "left_brow",
    "right_brow",
    "eye_region_and_forehead",
    "left_ear",
    "right_ear",
    "lower_lip",
    "upper_lip",
    "inner_mouth",
    "nose",
    "scalp",
    "neck_back",
    "background",
)
"""The 20 classes of the SynthForge paper. Left and right are the person's own."""

FLAME_CLASS_ID: dict[str, int] = {name: number for number, name in enumerate(FLAME_CLASSES)}
LOOK_UP = 255
"""As class of a triangle: read the texture."""

_AS_CELEBAMASK = {
    "neck": "neck",
    "right_eyeball": "r_eye",
    "left_eyeball": "l_eye",
    "left_brow": "l_brow",
    "right_brow": "r_brow",
    "left_ear": "l_ear",
    "right_ear": "r_ear",
    "lower_lip": "l_lip",
    "upper_lip": "u_lip",
    "inner_mouth": "mouth",
    "nose": "nose",
    "scalp": "hair",
    "neck_back": "neck",
    "background": "background",
}
_MASKS = (
    ("scalp", "scalp"),
    ("neck", "neck"),
    ("face", "face"),
    ("forehead", "forehead"),
    ("eye_region", "eye_region"),
    ("right_eye_region", "right_eye_region"),
    ("left_eye_region", "left_eye_region"),
    ("nose", "nose"),
    ("right_ear", "right_ear"),
    ("left_ear", "left_ear"),
    ("right_eyeball", "right_eyeball"),
    ("left_eyeball", "left_eyeball"),
)
"""(vertex mask, class): later ones win where masks overlap."""

BROW_RADIUS = (0.005, 0.003)
"""Metres around the line of a brow: from the nose to its middle, and at its outer end."""
BEHIND_LIPS = 0.008
"""Metres behind the line between the lips from which a surface is inside the mouth."""


@dataclass(frozen=True)
class FlameSegmentation:
    """triangle_classes: (F,) uint8 ids of ``FLAME_CLASSES``, or ``LOOK_UP``.
    label_texture: (N, N) uint8 ids of ``FLAME_CLASSES``, row 0 at v = 1."""

    triangle_classes: np.ndarray
    label_texture: np.ndarray


def to_segmentation_classes(flame_classes: np.ndarray) -> np.ndarray:
    """Return ids of ``SEGMENTATION_CLASSES`` for ids of ``FLAME_CLASSES``, uint8, any shape; ``LOOK_UP`` stays.

    The scalp counts as hair; what that scheme does not tell apart is skin.
    """
    table = np.full(256, LOOK_UP, dtype=np.uint8)
    for number, name in enumerate(FLAME_CLASSES):
        table[number] = CLASS_ID[_AS_CELEBAMASK.get(name, "skin")]
    return table[flame_classes]


def segment(
    template: np.ndarray,
    faces: np.ndarray,
    corner_uv: np.ndarray,
    masks: Mapping[str, np.ndarray],
    landmarks: np.ndarray,
    resolution: int = 1024,
) -> FlameSegmentation:
    """Classify the surface.

    template: (V, 3) neutral vertices, metres, y up, z out of the face. faces: (F, 3). corner_uv: (F, 3, 2) u, v with v
    up. masks: part -> (V,) bool. landmarks: (68, 3) on the template. Raises SynthForgeError when a mask is missing.
    """
    classes = triangle_classes(template, faces, masks)
    owner = _rasterised(corner_uv, resolution)
    rows, columns = np.nonzero(owner >= 0)
    triangle = owner[rows, columns]
    weights = _texel_weights(corner_uv[triangle], rows, columns, resolution)
    positions = np.einsum("nk,nka->na", weights, template[faces[triangle]])
    texels = classes[triangle]
    _paint_brows(texels, positions, landmarks)
    _paint_lips(texels, positions, _normals(template, faces)[triangle], landmarks)

    detailed = np.unique(triangle[texels != classes[triangle]])
    texture = np.full((resolution, resolution), LOOK_UP, dtype=np.uint8)
    texture[rows, columns] = texels
    texture = _spread(texture)
    classes[detailed] = LOOK_UP
    return FlameSegmentation(classes, texture)


def triangle_classes(template: np.ndarray, faces: np.ndarray, masks: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (F,) uint8 ids of ``FLAME_CLASSES`` by vertex masks: two corners of three decide. Elsewhere: face."""
    missing = [mask for mask, _ in _MASKS if mask not in masks]
    if missing:
        raise SynthForgeError(f"the vertex masks lack {', '.join(missing)}; use FLAME_masks.pkl as it is published")
    inside = {mask: members[faces].sum(1) >= 2 for mask, members in masks.items()}
    classes = np.full(len(faces), FLAME_CLASS_ID["face"], dtype=np.uint8)
    if "boundary" in inside:
        classes[inside["boundary"]] = FLAME_CLASS_ID["neck"]
    for mask, name in _MASKS:
        classes[inside[mask]] = FLAME_CLASS_ID[name]
        if mask == "eye_region":
            classes[inside[mask] & inside["forehead"]] = FLAME_CLASS_ID["eye_region_and_forehead"]
    backwards = _normals(template, faces)[:, 2] < 0
    classes[(classes == FLAME_CLASS_ID["neck"]) & backwards] = FLAME_CLASS_ID["neck_back"]
    return classes


def _paint_brows(texels: np.ndarray, positions: np.ndarray, landmarks: np.ndarray) -> None:
    skin = np.isin(texels, [FLAME_CLASS_ID[name] for name in FLAME_CLASSES if "eye_region" in name or "face" in name])
    skin |= texels == FLAME_CLASS_ID["forehead"]
    for name, line in (("right_brow", landmarks[[21, 20, 19, 18, 17]]), ("left_brow", landmarks[22:27])):
        radii = np.interp(np.arange(5), (2, 4), BROW_RADIUS)  # the points go from the nose outwards
        near = np.flatnonzero(skin & (np.abs(positions - line.mean(0)).max(1) < 0.05))
        if not near.size:
            continue
        inside = np.zeros(len(near), dtype=bool)
        for start, end, first, last in zip(line[:-1], line[1:], radii[:-1], radii[1:], strict=True):
            along = end - start
            share = np.clip((positions[near] - start) @ along / (along @ along), 0, 1)
            distance = np.linalg.norm(positions[near] - start - share[:, None] * along, axis=1)
            inside |= distance < first + share * (last - first)
        texels[near[inside]] = FLAME_CLASS_ID[name]


def _paint_lips(texels: np.ndarray, positions: np.ndarray, normals: np.ndarray, landmarks: np.ndarray) -> None:
    middle = np.stack(
        [landmarks[list(pair)].mean(0) for pair in ((48,), (60,), (61, 67), (62, 66), (63, 65), (64,), (54,))]
    )
    front = positions[:, 2] > landmarks[48:60, 2].min() - 0.03
    candidates = np.flatnonzero((texels == FLAME_CLASS_ID["face"]) & front)
    inside = candidates[_in_polygon(positions[candidates, :2], landmarks[48:60, :2])]
    between_y, between_z = (np.interp(positions[inside, 0], middle[:, 0], middle[:, axis]) for axis in (1, 2))
    upper = positions[inside, 1] > between_y
    names = np.where(upper, FLAME_CLASS_ID["upper_lip"], FLAME_CLASS_ID["lower_lip"])
    hidden = (positions[inside, 2] < between_z - BEHIND_LIPS) | (normals[inside, 2] < 0)
    texels[inside] = np.where(hidden, FLAME_CLASS_ID["inner_mouth"], names)


def _in_polygon(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(N, 2) points, (K, 2) corners in order -> (N,) bool, by counting the edges to the right of each point."""
    inside = np.zeros(len(points), dtype=bool)
    x, y = points.T
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside


def _normals(template: np.ndarray, faces: np.ndarray) -> np.ndarray:
    first, second, third = (template[faces[:, corner]] for corner in range(3))
    normals = np.cross(second - first, third - first)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _rasterised(corner_uv: np.ndarray, resolution: int) -> np.ndarray:
    """Return (N, N) int32: the triangle drawn at each texel, its edges included, or -1."""
    image = Image.new("I", (resolution, resolution), -1)
    draw = ImageDraw.Draw(image)
    pixels = np.stack([corner_uv[..., 0], 1 - corner_uv[..., 1]], -1) * resolution - 0.5
    for number, corners in enumerate(pixels.reshape(len(pixels), 6).tolist()):
        draw.polygon(corners, fill=number)
    return np.array(image)


def _spread(texture: np.ndarray, steps: int = 3) -> np.ndarray:
    """Let painted texels grow over the edges of their patches, so that no look-up there falls beside them."""
    for _ in range(steps):
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            texture = np.where(texture == LOOK_UP, np.roll(texture, shift, axis), texture)
    return np.where(texture == LOOK_UP, FLAME_CLASS_ID["background"], texture).astype(np.uint8)


def _texel_weights(corners: np.ndarray, rows: np.ndarray, columns: np.ndarray, resolution: int) -> np.ndarray:
    """Return the (N, 3) barycentric weights of texels' centres in triangles (N, 3, 2), kept inside them."""
    points = np.stack([(columns + 0.5) / resolution, 1 - (rows + 0.5) / resolution], -1)
    to_second, to_third = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    to_point = points - corners[:, 0]
    area = to_second[:, 0] * to_third[:, 1] - to_second[:, 1] * to_third[:, 0]
    area = np.where(np.abs(area) < 1e-15, 1e-15, area)
    second = (to_point[:, 0] * to_third[:, 1] - to_point[:, 1] * to_third[:, 0]) / area
    third = (to_second[:, 0] * to_point[:, 1] - to_second[:, 1] * to_point[:, 0]) / area
    weights = np.clip(np.stack([1 - second - third, second, third], -1), 0, None)
    return weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)
