"""A cylindrical chart of the base head, on which regions are drawn: class labels, and soft masks for colour.

u runs with the angle around the vertical axis through the skull (0.5 straight ahead, growing to the subject's left), v
downwards with height. Every point keeps the chart coordinates it has on the mean head, so what is drawn follows all
shapes and expressions.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from synthforge_hf.heads.anny import AnnyHead
from synthforge_hf.segmentation_classes import CLASS_ID

AXIS_Z = -0.085
TOP, BOTTOM = 0.12, -0.20
WIDTH, HEIGHT = 1536, 1024
MASK_WIDTH, MASK_HEIGHT = WIDTH // 2, HEIGHT // 2

# Outlines on the left half of the mean head, frontal view, metres (x, y), top to bottom, after how CelebAMask-HQ draws
# its classes.
NOSE_OUTLINE = np.array(
    [(0.0075, 0.004), (0.008, -0.008), (0.0105, -0.019), (0.0145, -0.027), (0.0195, -0.033), (0.0215, -0.038)]
    + [(0.0195, -0.0425), (0.0135, -0.0445), (0.008, -0.0465), (0.0, -0.0485)]
)
LASH_LINE = 1
"""Texels (0.3 mm) around the opening of the lids that count as eye: CelebAMask-HQ draws eyes with their lash line."""
CHEEK_CENTRE = (0.043, -0.034)
# The edge of the lower jaw, as (x, y, z) in metres from behind the ear to the chin; below it is neck.
JAW_EDGE = np.array(
    [
        (0.07, -0.046, -0.085),
        (0.066, -0.048, -0.062),
        (0.062, -0.062, -0.057),
        (0.055, -0.077, -0.052),
        (0.046, -0.090, -0.040),
    ]
    + [(0.033, -0.1005, -0.022), (0.017, -0.1065, -0.004), (0.0, -0.109, 0.005)]
)
# Where a beard grows (left half): sideburn, cheek line, moustache, then back along the jaw edge.
BEARD_OUTLINE = np.array(
    [(0.071, -0.02), (0.066, -0.045), (0.050, -0.056), (0.034, -0.052), (0.022, -0.048), (0.010, -0.049), (0.0, -0.051)]
)


def chart_coordinates(points: np.ndarray) -> np.ndarray:
    """(..., 3) points on the mean head, metres -> (..., 2) chart coordinates in [0, 1]."""
    angle = np.arctan2(points[..., 0], points[..., 2] - AXIS_Z)
    u = angle / (2 * np.pi) + 0.5
    v = (TOP - points[..., 1]) / (TOP - BOTTOM)
    return np.clip(np.stack([u, v], axis=-1), 0.0, 1.0).astype(np.float32)


@dataclass(frozen=True)
class Chart:
    """Everything drawn once for the mean head.

    vertex_uv: (V, 2) chart coordinates of the head's vertices. corner_uv: (F, 3, 2) the same per corner, without the
    seam at the back.
    labels: (HEIGHT, WIDTH) uint8 class ids without brows. masks: (MASK_HEIGHT, MASK_WIDTH, 4) float32: lips, beard,
    cheeks, eyelids.
    landmarks: (68, 2) chart coordinates of the fixed landmarks, in texels of ``labels``.
    """

    vertex_uv: np.ndarray
    corner_uv: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    landmarks: np.ndarray

    @cached_property
    def brow_lines(self) -> list[tuple[str, np.ndarray]]:
        """Class and (N, 2) smooth line of texels through the landmarks of each brow, from the nose to the temple."""
        brows = ("r_brow", self.landmarks[17:22][::-1]), ("l_brow", self.landmarks[22:27])
        return [(name, smooth_curve(points, steps=12)) for name, points in brows]


def draw_chart(head: AnnyHead) -> Chart:
    template = head.template
    vertex_uv = chart_coordinates(template)
    corner_uv = vertex_uv[head.faces]
    # Triangles across the seam behind the head: pull their right corners to the left edge (all of them show skin, neck
    # or hair).
    across = (corner_uv[..., 0].max(1) - corner_uv[..., 0].min(1)) > 0.5
    corner_uv[across, :, 0] = np.where(corner_uv[across, :, 0] > 0.5, 0.0, corner_uv[across, :, 0])

    model = head.landmark_model
    points = np.einsum("lka,lk->la", template[model.triangles], model.barycentric)
    landmarks = _texels(chart_coordinates(points))
    outlines = _Outlines(template[np.unique(head.faces[head.parts == 0])])

    labels = Image.new("L", (WIDTH, HEIGHT), CLASS_ID["skin"])
    draw = ImageDraw.Draw(labels)
    draw.polygon(_below(outlines.jaw_edge()), fill=CLASS_ID["neck"])
    draw.polygon(outlines.frontal_both_sides(NOSE_OUTLINE), fill=CLASS_ID["nose"])
    upper, lower = lip_outlines(landmarks)
    draw.polygon(_pairs(upper), fill=CLASS_ID["u_lip"])
    draw.polygon(_pairs(lower), fill=CLASS_ID["l_lip"])

    for eye, name in ((landmarks[36:42], "r_eye"), (landmarks[42:48], "l_eye")):
        outline = _pairs(smooth_curve(np.concatenate([eye, eye[:1]])))
        draw.polygon(outline, fill=CLASS_ID[name])
        draw.line(outline, fill=CLASS_ID[name], width=2 * LASH_LINE, joint="curve")

    lips = _mask([_pairs(upper), _pairs(lower)], blur=3)
    beard = _mask([outlines.frontal_both_sides(BEARD_OUTLINE, close_along=outlines.jaw_edge())], blur=14)
    cheeks = _mask([outlines.disc(*CHEEK_CENTRE, 0.016, side) for side in (-1, 1)], blur=22)
    lids = _mask([_eye_region(landmarks[36:42]), _eye_region(landmarks[42:48])], blur=7)
    masks = np.stack([lips, beard * (1 - lips), cheeks, lids], axis=-1)
    return Chart(vertex_uv, corner_uv, np.asarray(labels).copy(), np.ascontiguousarray(masks), landmarks)


def lip_outlines(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower lip as polygons in texels; they meet along the line between the lips."""
    top = smooth_curve(landmarks[48:55])
    bottom = smooth_curve(landmarks[[54, 55, 56, 57, 58, 59, 48]])
    between = smooth_curve(
        np.concatenate([landmarks[[48]], 0.5 * (landmarks[61:64] + landmarks[[67, 66, 65]]), landmarks[[54]]])
    )
    return np.concatenate([top, between[::-1]]), np.concatenate([bottom, between])


def smooth_curve(points: np.ndarray, steps: int = 8) -> np.ndarray:
    """Catmull-Rom curve through (N, 2) points."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    parameter = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        t = parameter
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*pieces, points[-1:]])


class _Outlines:
    """Turns outlines given in the frontal view of the mean head into texels, by the depth of the nearest skin vertex
    in front."""

    def __init__(self, skin: np.ndarray) -> None:
        self._front = skin[skin[:, 2] > -0.09]

    def frontal(self, outline: np.ndarray) -> np.ndarray:
        x, y = np.abs(outline[:, 0]), outline[:, 1]
        distance = np.hypot(np.abs(self._front[None, :, 0]) - x[:, None], self._front[None, :, 1] - y[:, None])
        depth = self._front[:, 2][distance.argmin(1)]
        return _texels(chart_coordinates(np.stack([outline[:, 0], y, depth], axis=1)))

    def frontal_both_sides(
        self, outline: np.ndarray, close_along: np.ndarray | None = None
    ) -> list[tuple[float, float]]:
        left = self.frontal(outline)
        if close_along is None:
            return _pairs(np.concatenate([left, _mirrored(left)[::-1]]))
        half = close_along[: len(close_along) // 2 + 1]
        return _pairs(np.concatenate([left[::-1], half, _mirrored(half)[::-1], _mirrored(left)]))

    def jaw_edge(self) -> np.ndarray:
        left = _texels(chart_coordinates(JAW_EDGE))
        return np.concatenate([left, _mirrored(left)[::-1][1:]])

    def disc(self, x: float, y: float, radius: float, side: int) -> list[tuple[float, float]]:
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        return _pairs(
            self.frontal(np.stack([side * (x + radius * np.cos(angle)), y + 0.8 * radius * np.sin(angle)], axis=1))
        )


def _texels(uv: np.ndarray) -> np.ndarray:
    return uv * np.array([WIDTH, HEIGHT], dtype=np.float32)


def _mirrored(texels: np.ndarray) -> np.ndarray:
    return np.array([WIDTH, 0]) + texels * np.array([-1, 1])


def _pairs(points: np.ndarray) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def _below(line: np.ndarray) -> list[tuple[float, float]]:
    """Everything under a line that runs from the subject's left to the right, out to the edges of the chart."""
    return [(WIDTH, float(line[0, 1])), *_pairs(line), (0, float(line[-1, 1])), (0, HEIGHT), (WIDTH, HEIGHT)]


def _eye_region(eye: np.ndarray) -> list[tuple[float, float]]:
    """The lids: the eye's outline grown around its centre."""
    centre = eye.mean(0)
    return _pairs(centre + (eye - centre) * np.array([1.25, 2.4]) + np.array([0, -4]))


def _mask(polygons: list[list[tuple[float, float]]], blur: float) -> np.ndarray:
    image = Image.new("L", (WIDTH, HEIGHT), 0)
    draw = ImageDraw.Draw(image)
    for polygon in polygons:
        draw.polygon(polygon, fill=255)
    small = image.filter(ImageFilter.GaussianBlur(blur)).resize((MASK_WIDTH, MASK_HEIGHT), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / 255
