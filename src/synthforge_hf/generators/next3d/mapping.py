"""From a random vector and the camera to the style vectors of all layers."""

from typing import cast

import torch
from torch import Tensor, nn

from synthforge_hf.generators.next3d.layers import FullyConnected

NUM_LAYERS = 2
LEARNING_RATE_MULTIPLIER = 0.01


class MappingNetwork(nn.Module):
    """Two fully connected layers on (z, embedded camera label), copied to ``num_ws`` style vectors.

    camera_scale: factor of the camera label; with ``ignore_camera`` the label counts as zero.
    """

    w_avg: Tensor

    def __init__(
        self, z_dim: int, c_dim: int, w_dim: int, num_ws: int, camera_scale: float = 1.0, ignore_camera: bool = False
    ) -> None:
        super().__init__()
        self.num_ws = num_ws
        self.camera_scale = 0.0 if ignore_camera else camera_scale
        self.embed = FullyConnected(c_dim, w_dim)
        inputs = z_dim + w_dim
        for layer in range(NUM_LAYERS):
            self.add_module(f"fc{layer}", FullyConnected(inputs, w_dim, "lrelu", LEARNING_RATE_MULTIPLIER))
            inputs = w_dim
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self, z: Tensor, c: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """Map (N, z_dim) and camera labels (N, c_dim) to (N, num_ws, w_dim).

        truncation_psi: 1 leaves the styles as they are, 0 replaces them by the average one, but only the first
        ``truncation_cutoff`` of them (None: all).
        """
        x = torch.cat([_normalise(z.float()), _normalise(self.embed(c.float() * self.camera_scale))], dim=1)
        for layer in range(NUM_LAYERS):
            x = cast(FullyConnected, getattr(self, f"fc{layer}"))(x)
        ws = x[:, None].repeat(1, self.num_ws, 1)
        if truncation_psi != 1:
            ws[:, :truncation_cutoff] = self.w_avg.lerp(ws[:, :truncation_cutoff], truncation_psi)
        return ws


def _normalise(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)
