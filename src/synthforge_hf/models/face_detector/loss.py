"""Training loss of the face detector: penalty-reduced focal loss on the centres (Zhou et al. 2019, "Objects as Points")
and generalised IoU (Rezatofighi et al. 2019) on the boxes of the cells around each centre."""

import torch
from torch import Tensor
from torch.nn import functional

CENTRE_SPREAD = 0.08
"""Standard deviation of the target bump around a centre, relative to the box's width and height."""

BOX_REGION = 0.3
"""Cells where the bump exceeds this learn the box."""


def detection_loss(
    centre_logits: Tensor, log_distances: Tensor, boxes: list[Tensor], ignored: list[Tensor] | None, stride: int
) -> dict[str, Tensor]:
    """Return {"centre", "box"}, each a scalar normalised by the number of faces in the batch (at least 1).

    centre_logits: (B, h, w). log_distances: (B, 4, h, w), log of cells to left, top, right, bottom.
    boxes, ignored: per image (N, 4) x0, y0, x1, y1 in input pixels, ``stride`` pixels per cell.
    """
    targets, distances, weights, scored = _make_targets(centre_logits, boxes, ignored, stride)
    faces = max(1, sum(len(each) for each in boxes))
    probability = centre_logits.float().sigmoid()
    log_yes = functional.logsigmoid(centre_logits.float())
    log_no = functional.logsigmoid(-centre_logits.float())
    positive = targets == 1
    focal = torch.where(positive, -((1 - probability) ** 2) * log_yes, -((1 - targets) ** 4) * probability**2 * log_no)
    centre = (focal * scored).sum() / faces
    chosen = weights > 0
    if not chosen.any():
        return {"centre": centre, "box": 0.0 * log_distances.float().sum()}
    predicted = log_distances.float().clamp(-4, 6).exp().permute(0, 2, 3, 1)[chosen]
    overlap = generalised_iou(predicted, distances[chosen])
    box = 2.0 * ((1 - overlap) * weights[chosen]).sum() / weights[chosen].sum()
    return {"centre": centre, "box": box}


def generalised_iou(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the (K,) generalised IoU of boxes given as (K, 4) distances from a shared point to left, top, right and
    bottom.

    Distances may be negative, as long as left + right and top + bottom are positive.
    """
    inner, outer = torch.minimum(predicted, target), torch.maximum(predicted, target)
    intersection = (inner[:, 0] + inner[:, 2]).clamp(min=0) * (inner[:, 1] + inner[:, 3]).clamp(min=0)
    hull = (outer[:, 0] + outer[:, 2]) * (outer[:, 1] + outer[:, 3])
    area = [(sides[:, 0] + sides[:, 2]) * (sides[:, 1] + sides[:, 3]) for sides in (predicted, target)]
    union = area[0] + area[1] - intersection
    return intersection / union - (hull - union) / hull


def _make_targets(
    like: Tensor, boxes: list[Tensor], ignored: list[Tensor] | None, stride: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return centre bumps (B, h, w), box distances in cells (B, h, w, 4), their weights (B, h, w) and the mask of cells
    that count."""
    batch, height, width = like.shape
    bumps = torch.zeros(batch, height, width, device=like.device)
    distances = torch.ones(batch, height, width, 4, device=like.device)
    weights = torch.zeros_like(bumps)
    scored = torch.ones_like(bumps)
    x = torch.arange(width, device=like.device)[None, :] + 0.5
    y = torch.arange(height, device=like.device)[:, None] + 0.5
    for number in range(batch):
        for x0, y0, x1, y1 in (ignored[number] / stride).tolist() if ignored is not None else []:
            scored[number][(x > x0) & (x < x1) & (y > y0) & (y < y1)] = 0
        for x0, y0, x1, y1 in (boxes[number] / stride).tolist():
            centre_x, centre_y = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
            column = min(max(int(centre_x), 0), width - 1)
            row = min(max(int(centre_y), 0), height - 1)
            spread_x = max(CENTRE_SPREAD * (x1 - x0), 0.5)
            spread_y = max(CENTRE_SPREAD * (y1 - y0), 0.5)
            bump = torch.exp(-0.5 * (((x - column - 0.5) / spread_x) ** 2 + ((y - row - 0.5) / spread_y) ** 2))
            # Where faces overlap, a cell learns the box of the nearer centre.
            nearer = (bump > BOX_REGION) & (bump > weights[number])
            weights[number][nearer] = bump[nearer]
            sides = torch.stack(torch.broadcast_tensors(x - x0, y - y0, x1 - x, y1 - y), dim=-1)
            distances[number][nearer] = sides[nearer]
            bumps[number] = torch.maximum(bumps[number], bump)
            scored[number, row, column] = 1
    return bumps, distances, weights, scored
