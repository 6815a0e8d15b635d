"""Linear blend skinning with pose correctives, batched and differentiable (FLAME paper, section 3; SMPL, section 3)."""

from collections.abc import Sequence

import torch


def rotation_matrices(axis_angle: torch.Tensor) -> torch.Tensor:
    """(..., 3) axis-angle, radians -> (..., 3, 3) rotation matrices (Rodrigues). Differentiable at zero, too."""
    squared = (axis_angle**2).sum(-1)[..., None, None]
    small = squared < 1e-6
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    sine = torch.where(small, 1 - squared / 6 + squared**2 / 120, angle.sin() / angle)
    cosine = torch.where(small, 0.5 - squared / 24 + squared**2 / 720, 2 * ((angle / 2).sin() / angle) ** 2)
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sine * cross + cosine * (cross @ cross)


def joint_transforms(
    rotations: torch.Tensor, joints: torch.Tensor, parents: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ((B, J, 3, 3) rotation, (B, J, 3) translation, metres) that take a point from the rest pose to the pose.

    rotations: (B, J, 3, 3) of each joint, relative to its parent. joints: (B, J, 3) rest positions, metres.
    parents: for each joint the index of its parent, which comes before it; -1 for the root.
    """
    turned: list[torch.Tensor] = []
    moved: list[torch.Tensor] = []
    for index, parent in enumerate(parents):
        rotation, joint = rotations[:, index], joints[:, index, :, None]
        shift = joint - rotation @ joint
        if parent < 0:
            turned.append(rotation)
            moved.append(shift)
        else:
            turned.append(turned[parent] @ rotation)
            moved.append(turned[parent] @ shift + moved[parent])
    return torch.stack(turned, 1), torch.stack(moved, 1)[..., 0]


def skin(
    vertices: torch.Tensor, weights: torch.Tensor, rotations: torch.Tensor, translations: torch.Tensor
) -> torch.Tensor:
    """Blend the joints' transforms at every vertex. Returns (B, V, 3), metres.

    vertices: (B, V, 3) rest pose, metres. weights: (V, J), rows sum to 1. rotations, translations: of
    ``joint_transforms``.
    """
    rotation = torch.einsum("vj,bjkl->bvkl", weights, rotations)
    translation = torch.einsum("vj,bjk->bvk", weights, translations)
    return torch.einsum("bvkl,bvl->bvk", rotation, vertices) + translation
