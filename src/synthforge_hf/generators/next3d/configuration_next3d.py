"""Configuration of the Next3D generator: sizes of its networks, of its mesh, and how its volume is rendered."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from synthforge_hf.errors import UsageError


@strict
class Next3DConfig(PreTrainedConfig):
    r"""Next3D (Sun et al., CVPR 2023). The defaults are the published FFHQ 512 model's.

    z_dim, w_dim, c_dim (`int`):
        Sizes of the random vector, of the style vectors and of the camera label (16 + 9 numbers).
    channel_base, channel_max (`int`):
        A network has ``min(channel_base // R, channel_max)`` feature channels at resolution R.
    plane_channels (`int`, defaults to 32):
        Channels of the neural texture and of each plane.
    c_scale (`float`, defaults to 1), c_gen_conditioning_zero (`bool`, defaults to False):
        Factor of the camera label given to the mapping network; or make it zero.
    rasterized_planes (`"front" | "all"`):
        Which planes the neural texture is drawn on. The generator that SynthForge uses draws on the front plane only
        and leaves the others to the static backbone; the original one draws on all three.
    orth_scale (`float`), orth_shift (`tuple`):
        From the mesh's metres to the views' [-1, 1], scale after shift.
    neural_rendering_resolution (`int`, defaults to 64):
        Side of the feature image that super-resolution starts from.
    depth_resolution, depth_resolution_importance (`int`):
        Coarse and fine samples per ray.
    ray_start, ray_end, box_warp (`float`), in world units:
        Distances between which rays are sampled, and the side of the cube the planes fill. A world unit is
        ``2 / (orth_scale * box_warp)`` = 0.4 m.
    sr_channels (`tuple`, defaults to (256, 128)), sr_clamp (`float`, defaults to 256), sr_antialias (`bool`):
        Super-resolution: channels at 256 x 256 and 512 x 512, bound on its activations, low-pass when its input must
        shrink.
    num_faces, num_texture_vertices, num_dense_faces (`int`):
        Sizes of the mesh in the weights: FLAME's head with closed eyes' sockets left out, its texture coordinates, and
        an unused triangulation.
    """

    model_type = "next3d"

    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 25
    channel_base: int = 32768
    channel_max: int = 512
    plane_channels: int = 32
    c_scale: float | int = 1.0
    c_gen_conditioning_zero: bool = False
    rasterized_planes: Literal["front", "all"] = "front"
    orth_scale: float | int = 5.0
    orth_shift: list[float] | tuple[float, ...] = (0.0, -0.01, -0.01)
    neural_rendering_resolution: int = 64
    depth_resolution: int = 48
    depth_resolution_importance: int = 48
    ray_start: float | int = 2.25
    ray_end: float | int = 3.3
    box_warp: float | int = 1.0
    sr_channels: list[int] | tuple[int, ...] = (256, 128)
    sr_clamp: float | int = 256.0
    sr_antialias: bool = True
    num_faces: int = 9976
    num_texture_vertices: int = 5118
    num_dense_faces: int = 122990

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.orth_shift = tuple(self.orth_shift)
        self.sr_channels = tuple(self.sr_channels)
        if len(self.sr_channels) != 2:
            raise UsageError(f"sr_channels must hold 2 numbers, got {self.sr_channels}")
        if len(self.orth_shift) != 3:
            raise UsageError(f"orth_shift must hold 3 numbers, got {self.orth_shift}")
        if self.c_dim != 25:
            raise UsageError(f"c_dim must be 25 (camera pose 16, intrinsics 9), got {self.c_dim}")
        if not 0 < self.ray_start < self.ray_end:
            raise UsageError(f"ray_start must lie between 0 and ray_end, got {self.ray_start} and {self.ray_end}")
        if min(self.depth_resolution, self.depth_resolution_importance) < 4:
            raise UsageError(
                "depth_resolution and depth_resolution_importance must be at least 4, "
                f"got {self.depth_resolution} and {self.depth_resolution_importance}"
            )

    @property
    def metres_per_unit(self) -> float:
        """Size of the world's unit: views and planes show the same cube, in metres and in world units."""
        return 2.0 / (self.orth_scale * self.box_warp)
