"""Pictures of labels, for contact sheets and overlays. Pillow and numpy only.

Every function takes and returns ``(H, W, 3) uint8`` RGB arrays and leaves its arguments as they are. Coordinates are
continuous pixels: (0, 0) is the top-left corner of the top-left pixel, a pixel's centre is at +0.5.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

SEGMENTATION_PALETTE: np.ndarray = np.array(
    [
        (0, 0, 0),  # background
        (224, 172, 140),  # skin
        (255, 214, 102),  # nose
        (90, 90, 110),  # eye_g
        (66, 135, 245),  # l_eye
        (48, 205, 235),  # r_eye
        (140, 82, 200),  # l_brow
        (200, 110, 220),  # r_brow
        (46, 160, 67),  # l_ear
        (126, 217, 87),  # r_ear
        (120, 20, 40),  # mouth
        (235, 77, 95),  # u_lip
        (255, 138, 128),  # l_lip
        (110, 72, 40),  # hair
        (250, 140, 22),  # hat
        (255, 255, 255),  # ear_r
        (255, 235, 59),  # neck_l
        (178, 128, 105),  # neck
        (84, 110, 122),  # cloth
    ],
    dtype=np.uint8,
)
"""(19, 3) a colour per class of ``synthforge_hf.SEGMENTATION_CLASSES``. Schemes with more classes go round again."""

_NEAR_TO_FAR = np.array(
    [(252, 253, 191), (254, 176, 120), (241, 96, 93), (183, 55, 121), (114, 31, 129), (59, 15, 112), (20, 14, 54)],
    dtype=np.float32,
)

VISIBLE_COLOUR = (57, 255, 20)
HIDDEN_COLOUR = (255, 64, 64)
BOX_COLOUR = (255, 214, 0)


def colourise_depth(depth: np.ndarray, near: float | None = None, far: float | None = None) -> np.ndarray:
    """Return (H, W, 3) uint8 from (H, W) depth in any unit: near is bright, far is dark, 0 (no surface) is black.

    ``near`` and ``far`` default to the range of the surfaces in this picture.
    """
    depth = np.asarray(depth, dtype=np.float32)
    surface = depth > 0
    if not surface.any():
        return np.zeros((*depth.shape, 3), dtype=np.uint8)
    near = float(depth[surface].min()) if near is None else near
    far = float(depth[surface].max()) if far is None else far
    position = np.clip((depth - near) / max(far - near, 1e-6), 0, 1) * (len(_NEAR_TO_FAR) - 1)
    steps = np.arange(len(_NEAR_TO_FAR))
    colours = np.stack([np.interp(position, steps, _NEAR_TO_FAR[:, channel]) for channel in range(3)], axis=-1)
    return np.where(surface[..., None], colours.round(), 0).astype(np.uint8)


def colourise_normals(normals: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8 from (H, W, 3) camera-frame unit normals; (0, 0, 0) is black.

    y and z change sign for the eye (y up, z to the viewer): a surface facing the camera is the usual light blue.
    """
    normals = np.asarray(normals, dtype=np.float32)
    surface = np.any(normals != 0, axis=-1, keepdims=True)
    colours = (normals * np.array([0.5, -0.5, -0.5], dtype=np.float32) + 0.5) * 255
    return np.where(surface, np.clip(colours.round(), 0, 255), 0).astype(np.uint8)


def colourise_segmentation(segmentation: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8 from (H, W) class ids, by ``SEGMENTATION_PALETTE``."""
    return SEGMENTATION_PALETTE[np.asarray(segmentation).astype(np.int64) % len(SEGMENTATION_PALETTE)]


def overlay_segmentation(image: np.ndarray, segmentation: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """Return the image with the class colours mixed in at ``opacity``; background (class 0) stays clear."""
    colours = colourise_segmentation(segmentation).astype(np.float32)
    weight = opacity * (np.asarray(segmentation) != 0)[..., None].astype(np.float32)
    return (image * (1 - weight) + colours * weight).round().astype(np.uint8)


def draw_landmarks(
    image: np.ndarray,
    landmarks: np.ndarray,
    visible: np.ndarray | None = None,
    colour: tuple[int, int, int] = VISIBLE_COLOUR,
    hidden_colour: tuple[int, int, int] = HIDDEN_COLOUR,
    radius: float | None = None,
) -> np.ndarray:
    """Draw (P, 2) landmarks: a dot where ``visible`` (all, when None), a ring where hidden.

    ``radius`` in pixels defaults to 1/160 of the larger side. Points outside the image, or not finite, are left out.
    """
    radius = max(1.0, max(image.shape[:2]) / 160) if radius is None else radius
    canvas = image.astype(np.float32)
    seen = np.ones(len(landmarks), dtype=bool) if visible is None else np.asarray(visible, dtype=bool)
    for point, is_visible in zip(np.asarray(landmarks, dtype=np.float64), seen, strict=True):
        if not np.isfinite(point).all():
            continue
        window, distance = _distances(canvas, point, radius + 2)
        if window.size == 0:
            continue
        _blend(window, np.clip(radius + 1.5 - distance, 0, 1) * 0.6, (0, 0, 0))
        if is_visible:
            _blend(window, np.clip(radius + 0.5 - distance, 0, 1), colour)
        else:
            _blend(window, np.clip(1 - np.abs(distance - radius + 0.5), 0, 1), hidden_colour)
    return canvas.round().astype(np.uint8)


def draw_box(
    image: np.ndarray, box: Sequence[float], colour: tuple[int, int, int] = BOX_COLOUR, width: int | None = None
) -> np.ndarray:
    """Draw the outline of one box (x0, y0, x1, y1); parts outside the image are cut off.

    ``width`` in pixels defaults to 1/200 of the larger side.
    """
    height, length = image.shape[:2]
    width = max(1, round(max(height, length) / 200)) if width is None else width
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    canvas = image.copy()
    for left, top, right, bottom in (
        (x0, y0, x1, y0 + width),
        (x0, y1 - width, x1, y1),
        (x0, y0, x0 + width, y1),
        (x1 - width, y0, x1, y1),
    ):
        canvas[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = colour
    return canvas


def side_by_side(images: Sequence[np.ndarray], gap: int = 2) -> np.ndarray:
    """Put pictures next to each other on white, each resized to the first one's height."""
    height = images[0].shape[0]
    pieces: list[np.ndarray] = []
    for number, image in enumerate(images):
        if number and gap:
            pieces.append(np.full((height, gap, 3), 255, dtype=np.uint8))
        pieces.append(resize(image, max(1, round(image.shape[1] * height / image.shape[0])), height))
    return np.concatenate(pieces, axis=1)


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize an RGB picture for display (area filter down, bicubic up)."""
    if image.shape[:2] == (height, width):
        return image
    method = Image.Resampling.BOX if height < image.shape[0] else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize((width, height), method))


def _distances(canvas: np.ndarray, point: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return ``canvas`` within ``reach`` pixels of ``point`` (a view), and its pixel centres' distances from there."""
    x, y = np.clip(point, -1e6, 1e6)
    left, top = max(int(x - reach), 0), max(int(y - reach), 0)
    window = canvas[top : max(int(y + reach) + 1, 0), left : max(int(x + reach) + 1, 0)]
    rows = np.arange(window.shape[0])[:, None] + top + 0.5
    columns = np.arange(window.shape[1])[None, :] + left + 0.5
    return window, np.hypot(columns - x, rows - y)


def _blend(window: np.ndarray, weight: np.ndarray, colour: tuple[int, int, int]) -> None:
    window += weight[..., None].astype(np.float32) * (np.asarray(colour, dtype=np.float32) - window)
