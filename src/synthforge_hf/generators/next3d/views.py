"""The head mesh seen from four fixed orthographic views: where the neural texture meets geometry (Next3D, section 3.1).

View coordinates are (column, row) in [-1, 1] of a 256 x 256 image, row growing with the mesh's y: faces appear upside
down, because the rows of the tri-planes grow with y too.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from synthforge_hf.errors import SynthForgeError
from synthforge_hf.rendering.rasterize import rasterize

VIEW_SIZE = 256
VIEW_ANGLES_DEG = ((0.0, 0.0, 0.0), (0.0, 90.0, 0.0), (0.0, -90.0, 0.0), (90.0, 0.0, 0.0))
"""Rotation about x, y, z of the front, the two side and the top view."""

FRONT, SIDE, OTHER_SIDE, TOP = range(4)
VIEWER_DISTANCE = 10.0
LEAST_AREA = 1e-8

OUTER_MOUTH = slice(48, 60)
MOUTH_CORNERS = (48, 54)
MOUTH_MARGIN = 1.2


@dataclass(frozen=True)
class ViewFragments:
    """What the pixels of the views see of the mesh.

    texture_grid: (N, K, 256, 256, 2) float32 texture coordinates as ``grid_sample`` takes them; 0 where uncovered.
    covered: (N, K, 256, 256) bool.
    triangle: (N, K, 256, 256) int32, -1 where uncovered.
    """

    texture_grid: Tensor
    covered: Tensor
    triangle: Tensor


def rotation_from_degrees(angles: Tensor) -> Tensor:
    """(..., 3) float32 degrees about x, y, z -> (..., 3, 3) rotations Rz Ry Rx."""
    (cx, cy, cz), (sx, sy, sz) = (f(torch.deg2rad(angles)).unbind(-1) for f in (torch.cos, torch.sin))
    rows = [
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def project_to_view(points: Tensor, view: int, scale: float, shift: tuple[float, float, float]) -> Tensor:
    """Map (N, V, 3) mesh points, metres, to (N, V, 3): column and row in [-1, 1], and depth (small = near)."""
    rotation = rotation_from_degrees(points.new_tensor(VIEW_ANGLES_DEG[view]))
    turned = ((points * points.new_tensor([1.0, -1.0, 1.0])) @ rotation + points.new_tensor(shift)) * scale
    return torch.stack([turned[..., 0], -turned[..., 1], VIEWER_DISTANCE - turned[..., 2]], -1)


def rasterize_views(
    vertices: Tensor,
    faces: Tensor,
    corner_texture: Tensor,
    views: tuple[int, ...],
    scale: float,
    shift: tuple[float, float, float],
) -> ViewFragments:
    """Rasterise the mesh in the given views.

    vertices: (N, V, 3) float32, metres. faces: (F, 3). corner_texture: (F, 3, 2) float32 texture coordinates in [-1, 1]
    of the faces' corners. Pixels on the edge of a triangle, to a thousandth of a pixel, go to one of its neighbours.
    """
    batch, count = len(vertices), len(views)
    screen = torch.stack([project_to_view(vertices, view, scale, shift) for view in views], 1)
    screen = screen.flatten(0, 1).contiguous()
    half = 0.5 * VIEW_SIZE
    intrinsics = screen.new_tensor([[half, 0.0, half], [0.0, half, half], [0.0, 0.0, 1.0]]).expand(len(screen), 3, 3)
    # Rows grow with y, so faces that look at the viewer are clockwise in these images.
    fragments = rasterize(
        screen,
        faces[:, [0, 2, 1]],
        intrinsics,
        VIEW_SIZE,
        VIEW_SIZE,
        num_one_sided=len(faces),
        orthographic=True,
    )
    triangle = fragments.triangle
    covered = triangle >= 0
    grid = screen.new_zeros((*triangle.shape, 2))
    item, row, column = covered.nonzero(as_tuple=True)
    index = triangle[covered].long()
    grid[covered] = _interpolate(screen[item[:, None], faces[index], :2], corner_texture[index], column, row)
    shape = (batch, count, VIEW_SIZE, VIEW_SIZE)
    return ViewFragments(grid.view(*shape, 2), covered.view(shape), triangle.view(shape))


def _interpolate(corners: Tensor, values: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Interpolate at pixel centres as the networks were trained with: affine, the weights' common denominator enlarged
    by 1e-8 and so their sum a little below 1.

    corners: (P, 3, 2). values: (P, 3, C). column, row: (P,). Returns (P, C).
    """
    centre = torch.stack([column, row], -1).to(corners.dtype) * (2.0 / VIEW_SIZE) + (1.0 / VIEW_SIZE - 1.0)
    a, b, c = corners.unbind(1)
    doubled = torch.stack([_cross(b, c, centre), _cross(c, a, centre), _cross(a, b, centre)], -1)
    weights = doubled / (_cross(a, b, c) + LEAST_AREA).unsqueeze(-1)
    return (weights.unsqueeze(-1) * values).sum(1)


def _cross(a: Tensor, b: Tensor, point: Tensor) -> Tensor:
    """Twice the signed area of (a, b, point), each (P, 2)."""
    return (b[:, 0] - a[:, 0]) * (point[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (point[:, 0] - a[:, 0])


def look_up(texture: Tensor, grid: Tensor) -> Tensor:
    """Read (N, C, H, W) at one view's texture grid (N, 256, 256, 2): (N, C, 256, 256).

    Uncovered pixels hold the texture's centre, as in training, not zero.
    """
    return functional.grid_sample(texture, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def fill_holes(alpha: Tensor) -> Tensor:
    """Set to 1 every pixel of (N, 1, H, W), values in [0, 1], that the top-left pixel's region does not reach.

    The region grows over edges of pixels, through values from the top-left pixel's own up to 254/255 above it; what it
    reaches keeps its value. So mouth and eye holes become opaque.
    """
    level = 255.0 * alpha
    start = level[:, :, :1, :1]
    passable = (level >= start) & (level <= start + 254.0)
    reached = torch.zeros_like(passable)
    reached[:, :, 0, 0] = True
    while True:
        spread = _spread(_spread(reached, passable, 3), passable, 2)
        if torch.equal(spread, reached):
            return torch.where(reached, alpha, torch.ones_like(alpha))
        reached = spread


def _spread(reached: Tensor, passable: Tensor, dim: int) -> Tensor:
    """Let a region spread along rows or columns up to the next pixel that is not passable."""
    stretch = (~passable).cumsum(dim)
    hit = torch.zeros(
        [size + 1 if axis == dim else size for axis, size in enumerate(reached.shape)],
        dtype=torch.uint8,
        device=reached.device,
    )
    hit.scatter_reduce_(dim, stretch, reached.to(torch.uint8), "amax")
    return hit.gather(dim, stretch).bool() & passable


def mouth_box(landmarks: Tensor, scale: float, shift: tuple[float, float, float]) -> list[tuple[int, int, int, int]]:
    """Find the mouth in the front view.

    landmarks: (N, 68, 3) float32, metres. Returns, per sample, rows r0:r1 and columns c0:c1 as (r0, r1, c0, c1).
    Raises SynthForgeError when a mouth is not inside the view.
    """
    pixels = project_to_view(landmarks, FRONT, scale, shift)[..., :2] * (0.5 * VIEW_SIZE) + 0.5 * VIEW_SIZE
    boxes = []
    for points in pixels.detach().cpu():
        mouth = points[OUTER_MOUTH]
        column, row = (0.5 * (points[MOUTH_CORNERS[0]] + points[MOUTH_CORNERS[1]])).unbind()
        half = int(MOUTH_MARGIN * (mouth.amax(0) - mouth.amin(0)).max()) // 2
        box = (int(row - half), int(row + half), int(column - half), int(column + half))
        if half < 1 or min(box) < 0 or max(box) > VIEW_SIZE:
            raise SynthForgeError(
                f"the mouth lies at rows {box[0]} to {box[1]}, columns {box[2]} to {box[3]} of a {VIEW_SIZE}-pixel "
                "view of the head: vertices must be FLAME's, in metres, around the origin"
            )
        boxes.append(box)
    return boxes


def crop(image: Tensor, boxes: list[tuple[int, int, int, int]], size: int) -> Tensor:
    """Cut a box out of each of (N, C, H, W) and resize them to (N, C, size, size)."""
    parts = [_resize(item[None, :, r0:r1, c0:c1], size) for item, (r0, r1, c0, c1) in zip(image, boxes, strict=True)]
    return torch.cat(parts)


def paste(image: Tensor, parts: Tensor, boxes: list[tuple[int, int, int, int]]) -> Tensor:
    """Return a copy of (N, C, H, W) in which each sample's box holds its part (N, C, any size), resized."""
    image = image.clone()
    for number, (r0, r1, c0, c1) in enumerate(boxes):
        image[number, :, r0:r1, c0:c1] = _resize(parts[number : number + 1], r1 - r0)[0]
    return image


def _resize(image: Tensor, size: int) -> Tensor:
    return functional.interpolate(image, (size, size), mode="bilinear", align_corners=False, antialias=True)
