"""FLAME (Li et al., "Learning a model of facial shape and expression from 4D scans", 2017), differentiable."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from synthforge_hf.heads.linear_blend_skinning import joint_transforms, rotation_matrices, skin

PARENTS = (-1, 0, 1, 1, 1)
ROOT, NECK, JAW = 0, 1, 2
EYES = (3, 4)
CONTOUR_YAW_DEG = 39
"""FLAME's dynamic landmarks give the jaw for every degree of yaw up to this, to both sides; beyond it they stay."""


class FlameModel(torch.nn.Module):
    """Coefficients -> vertices and landmarks. Float32; ``.double()`` and ``.to(device)`` as for any module.

    Vertices are in the head frame (x to the subject's left, y up, z out of the face, metres; origin between the
    eyeballs' centres of the same identity with neutral expression and pose). FLAME's own frame has the same axes and
    unit, and another origin: ``origin`` says where ours lies in it.
    """

    faces: torch.Tensor
    template: torch.Tensor
    directions: torch.Tensor
    pose_directions: torch.Tensor
    weights: torch.Tensor
    joint_template: torch.Tensor
    joint_directions: torch.Tensor
    landmark_triangles: torch.Tensor
    landmark_barycentric: torch.Tensor
    contour_triangles: torch.Tensor
    contour_barycentric: torch.Tensor

    def __init__(self, tensors: Mapping[str, np.ndarray], num_identity: int, parents: Sequence[int] = PARENTS) -> None:
        """tensors: as ``heads.flame_conversion`` writes them.

        template (V, 3), directions (I + E, V * 3) identity before expression, pose_directions (P, V * 3), weights
        (V, J), joint_regressor (J, V), landmark_triangles (68, 3) and contour_triangles (79, 17, 3) vertex indices,
        landmark_barycentric and contour_barycentric alike. num_identity: I.
        """
        super().__init__()
        self.num_identity = num_identity
        self.num_expression = len(tensors["directions"]) - num_identity
        self.parents = tuple(parents)
        for name in ("faces", "landmark_triangles", "contour_triangles"):
            self.register_buffer(name, torch.tensor(tensors[name].astype(np.int64)))
        for name in (
            "template",
            "directions",
            "pose_directions",
            "weights",
            "landmark_barycentric",
            "contour_barycentric",
        ):
            self.register_buffer(name, torch.tensor(tensors[name].astype(np.float32)))
        # Joints are linear in the vertices, so they are linear in the coefficients, too.
        regressor = tensors["joint_regressor"].astype(np.float64)
        moved = tensors["directions"].astype(np.float64).reshape(len(tensors["directions"]), -1, 3)
        joint_directions = (regressor @ moved).reshape(len(moved), -1)
        self.register_buffer("joint_directions", torch.tensor(joint_directions, dtype=torch.float32))
        joint_template = regressor @ tensors["template"].astype(np.float64)
        self.register_buffer("joint_template", torch.tensor(joint_template, dtype=torch.float32))

    def forward(self, identity: torch.Tensor, expression: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """Return (B, V, 3) vertices, head frame, metres.

        identity: (B, up to 300) and expression: (B, up to 100) coefficients in standard deviations, the first ones of
        each; those left out are 0. pose: (B, 5, 3) axis-angle in radians of root, neck, jaw, left and right eye, each
        relative to its parent.
        """
        origin = self.origin(identity)[:, None]
        offsets = self._along(self.directions, identity, expression).unflatten(1, (-1, 3))
        vertices = self.template + offsets - origin
        joints = self._joints(identity, expression) - origin
        rotations = rotation_matrices(pose)
        straight = torch.eye(3, dtype=pose.dtype, device=pose.device)
        corrective = (rotations[:, 1:] - straight).flatten(1) @ self.pose_directions
        transforms = joint_transforms(rotations, joints, self.parents)
        return skin(vertices + corrective.unflatten(1, (-1, 3)), self.weights, *transforms)

    def origin(self, identity: torch.Tensor) -> torch.Tensor:
        """Return the (B, 3) point of FLAME's own frame, metres, that is the head frame's origin for an identity."""
        return self._joints(identity, identity.new_zeros(len(identity), 0))[:, list(EYES)].mean(1)

    def landmarks(self, vertices: torch.Tensor, yaw: torch.Tensor | None = None) -> torch.Tensor:
        """Return (B, 68, 3) iBUG landmarks on (B, V, 3) vertices, in the vertices' frame.

        yaw: (B,) radians by which the head is turned towards its own left, as the camera sees it; the jaw is then the
        contour that FLAME gives for that angle, to whole degrees and up to 39. Without it, the frontal jaw.
        Differentiable in the vertices.
        """
        batch = len(vertices)
        triangles = self.landmark_triangles.expand(batch, -1, -1)
        barycentric = self.landmark_barycentric.expand(batch, -1, -1)
        if yaw is not None:
            degrees = torch.rad2deg(yaw.detach()).round().clamp(-CONTOUR_YAW_DEG, CONTOUR_YAW_DEG).long()
            row = degrees + CONTOUR_YAW_DEG
            jaw = self.contour_triangles.shape[1]
            triangles = torch.cat([self.contour_triangles[row], triangles[:, jaw:]], 1)
            barycentric = torch.cat([self.contour_barycentric[row], barycentric[:, jaw:]], 1)
        corners = vertices[torch.arange(batch, device=vertices.device)[:, None, None], triangles]
        return torch.einsum("blk,blka->bla", barycentric, corners)

    def _joints(self, identity: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
        moved = self._along(self.joint_directions, identity, expression).unflatten(1, (-1, 3))
        return self.joint_template + moved

    def _along(self, directions: torch.Tensor, identity: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
        shape, face = identity.shape[1], expression.shape[1]
        return identity @ directions[:shape] + expression @ directions[self.num_identity : self.num_identity + face]


def head_yaw(pose: torch.Tensor) -> torch.Tensor:
    """Return the (B,) yaw, radians, positive towards the head's own left, of poses (B, 5, 3): root and neck together.

    It is the yaw seen by a camera that looks along -z of the head frame.
    """
    rotation = rotation_matrices(pose[:, ROOT]) @ rotation_matrices(pose[:, NECK])
    return torch.atan2(rotation[:, 0, 2], rotation[:, 2, 2])
