"""PyTorch3D's rasteriser behind the conventions of ``rasterize``: a second opinion to compare with, not a default."""

from importlib import import_module

import torch
from torch import Tensor

from synthforge_hf.errors import SynthForgeError
from synthforge_hf.rendering.rasterize import NEAR, Fragments


def rasterize_pytorch3d(
    vertices: Tensor, faces: Tensor, intrinsics: Tensor, height: int, width: int, num_one_sided: int
) -> Fragments:
    """See ``rasterize``. Differences: ties and pixel centres exactly on an edge follow PyTorch3D's rules."""
    try:
        rasterize_meshes = import_module("pytorch3d.renderer.mesh.rasterize_meshes").rasterize_meshes
        meshes_type = import_module("pytorch3d.structures").Meshes
    except ImportError as error:
        raise SynthForgeError(
            f"backend 'pytorch3d' does not import ({error}): pip install 'synthforge_hf[pytorch3d]' or use 'warp'"
        ) from error

    batch, num_faces = len(vertices), len(faces)
    depth = vertices[..., 2]
    pixels = (vertices @ intrinsics[:, :2].mT) / depth.clamp_min(NEAR).unsqueeze(-1)
    # PyTorch3D looks along z with x to the left and y up, and the shorter side of the image spans [-1, 1].
    size = intrinsics.new_tensor([width, height])
    ndc = (size - 2.0 * pixels) / float(min(height, width))
    # A face with a corner before the near plane keeps its number but collapses behind the camera, out of sight.
    positions = torch.cat([ndc, depth.unsqueeze(-1)], -1)
    index = faces.long().expand(batch, -1, -1)
    corners = torch.stack([item[face] for item, face in zip(positions, index, strict=True)])
    hidden = (corners[..., 2] <= NEAR).any(-1) if num_faces else corners.new_zeros((batch, 0), dtype=torch.bool)
    # With y down, counter-clockwise seen from the camera has negative area.
    first, second, third = torch.stack([item[face] for item, face in zip(pixels, index, strict=True)]).unbind(2)
    second, third = second - first, third - first
    away = second[..., 0] * third[..., 1] - second[..., 1] * third[..., 0] > 0
    away[:, num_one_sided:] = False
    corners[hidden | away] = -1.0
    own_faces = torch.arange(3 * num_faces, device=faces.device).view(1, num_faces, 3).expand(batch, -1, -1)
    fragments_depth = vertices.new_zeros((batch, height, width))
    fragments_barycentric = vertices.new_zeros((batch, height, width, 3))
    triangle = torch.full((batch, height, width), -1, dtype=torch.int32, device=vertices.device)
    if not (batch and num_faces):
        return Fragments(triangle, fragments_barycentric, fragments_depth)
    meshes = meshes_type(corners.flatten(1, 2), own_faces)
    found, z_buffer, barycentric, _ = rasterize_meshes(
        meshes,
        image_size=(height, width),
        blur_radius=0.0,
        faces_per_pixel=1,
        bin_size=0,
        perspective_correct=True,
        clip_barycentric_coords=False,
        cull_backfaces=False,
    )
    covered = found[..., 0] >= 0
    triangle[covered] = (found[..., 0][covered] % num_faces).to(torch.int32)
    fragments_depth[covered] = z_buffer[..., 0][covered]
    fragments_barycentric[covered] = barycentric[..., 0, :][covered]
    return Fragments(triangle, fragments_barycentric, fragments_depth)
