"""Next3D: a face image from a random vector, a camera and an expressive head mesh (Sun et al., CVPR 2023).

A texture network paints the mesh, the painted mesh is seen from fixed views as feature planes, a mouth network and a
blending network repair what the mesh lacks, a static network adds hair and shoulders, and the planes are rendered as a
volume and super-resolved.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from synthforge_hf.generators.next3d import views
from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
from synthforge_hf.generators.next3d.layers import NoiseMode
from synthforge_hf.generators.next3d.mapping import MappingNetwork
from synthforge_hf.generators.next3d.synthesis import (
    NUM_WS,
    RESOLUTIONS,
    Backbone,
    ConditionedSynthesisNetwork,
    SuperResolution,
    SynthesisNetwork,
)
from synthforge_hf.generators.next3d.triplane import Decoder, RayMarching, VolumeImage, mean_of_planes, render_planes
from synthforge_hf.rendering.volume import CentredSampler, RaySampler, camera_rays

SUPER_RESOLUTION_STYLE = NUM_WS - 1

RasterizedPlanes = Literal["front", "all"]


@dataclass(frozen=True)
class NeuralViews:
    """The painted mesh seen from the front, and from the side and the top where all planes are rasterised.

    images: (N, C, 256, 256) each; the side is the sum of both sides' views. alphas: (N, 1, 256, 256) each in [0, 1].
    """

    images: tuple[Tensor, ...]
    alphas: tuple[Tensor, ...]


@dataclass(frozen=True)
class Planes:
    """The tri-planes and what they were made of.

    planes: (N, 3, C, 256, 256). texture: (N, C, 256, 256). views: see ``NeuralViews``. boxes: the mouths in the front
    view, rows r0:r1 and columns c0:c1 as (r0, r1, c0, c1). mouth_in: (N, C, 64, 64). mouth_out, stitched, blended:
    (N, C, 256, 256). static: (N, 3 * C, 256, 256).
    """

    planes: Tensor
    texture: Tensor
    views: NeuralViews
    boxes: list[tuple[int, int, int, int]]
    mouth_in: Tensor
    mouth_out: Tensor
    stitched: Tensor
    blended: Tensor
    static: Tensor


@dataclass
class Next3DOutput(ModelOutput):
    """n is the neural rendering resolution.

    image: (N, 3, 512, 512) RGB, nominally in [-1, 1]. image_raw: (N, 3, n, n) before super-resolution. image_depth:
    (N, 1, m, m) distance along the rays in world units, kept between the smallest and largest sampled distance of the
    batch; m = 2 n where only the front plane is rasterised, else n (both as published). features: (N, C, n, n).
    weights: (N, 1, n, n) opacity. planes: (N, 3, C, 256, 256). ws: (N, 28, w_dim).
    """

    image: Tensor = None  # type: ignore[assignment]
    image_raw: Tensor = None  # type: ignore[assignment]
    image_depth: Tensor = None  # type: ignore[assignment]
    features: Tensor = None  # type: ignore[assignment]
    weights: Tensor = None  # type: ignore[assignment]
    planes: Tensor = None  # type: ignore[assignment]
    ws: Tensor = None  # type: ignore[assignment]


class Next3DModel(PreTrainedModel):
    """The generator. Its state dict is the published one and ``uv_face_mask``, which the published class keeps beside
    it.

    faces (1, F, 3), uvfaces (1, F, 3), raw_uvcoords (1, VT, 2), uvcoords (1, VT, 3), face_uvcoords (1, F, 3, 3): the
    mesh and its texture coordinates, u to the right and v up as in an OBJ file, then (2u - 1, 1 - 2v, 1).
    uv_face_mask: (1, 1, 256, 256) float32 in [0, 1], where on the texture the mesh is opaque.
    """

    config: Next3DConfig
    config_class = Next3DConfig
    base_model_prefix = "next3d"
    main_input_name = "z"

    faces: Tensor
    face_uvcoords: Tensor
    uv_face_mask: Tensor

    def __init__(self, config: Next3DConfig) -> None:
        super().__init__(config)
        channels = config.plane_channels
        sizes = {"w_dim": config.w_dim, "channel_base": config.channel_base, "channel_max": config.channel_max}

        def mapping(num_ws: int) -> MappingNetwork:
            return MappingNetwork(
                config.z_dim, config.c_dim, config.w_dim, num_ws, config.c_scale, config.c_gen_conditioning_zero
            )

        smallest = {"mouth": RESOLUTIONS[0], "blending": RESOLUTIONS[3]}
        self.texture_backbone = Backbone(mapping(NUM_WS), SynthesisNetwork(channels, **sizes))
        self.mouth_backbone = Backbone(
            mapping(NUM_WS),
            ConditionedSynthesisNetwork(channels, input_size=64, encoded_size=smallest["mouth"], **sizes),
        )
        self.backbone = Backbone(mapping(2 * NUM_WS), SynthesisNetwork(3 * channels, **sizes))
        self.neural_blending = Backbone(
            mapping(NUM_WS),
            ConditionedSynthesisNetwork(channels, input_size=256, encoded_size=smallest["blending"], **sizes),
        )
        self.superresolution = SuperResolution(
            channels, config.sr_channels, config.w_dim, config.sr_clamp, config.sr_antialias
        )
        self.decoder = Decoder(channels)
        for name, shape, dtype in (
            ("dense_faces", (1, config.num_dense_faces, 3), torch.int64),
            ("faces", (1, config.num_faces, 3), torch.int64),
            ("uvfaces", (1, config.num_faces, 3), torch.int64),
            ("raw_uvcoords", (1, config.num_texture_vertices, 2), torch.float32),
            ("uvcoords", (1, config.num_texture_vertices, 3), torch.float32),
            ("face_uvcoords", (1, config.num_faces, 3, 3), torch.float32),
            ("uv_face_mask", (1, 1, views.VIEW_SIZE, views.VIEW_SIZE), torch.float32),
        ):
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))
        self.post_init()

    def set_mesh(self, faces: Tensor, uvfaces: Tensor, uvs: Tensor, uv_face_mask: Tensor) -> None:
        """Replace the mesh's topology and texture coordinates.

        faces, uvfaces: (F, 3) indices of vertices and of texture vertices. uvs: (VT, 2) in [0, 1], v up. uv_face_mask:
        (256, 256) in [0, 1], row 0 at v = 1.
        """
        uvcoords = torch.cat([2 * uvs[:, :1] - 1, 1 - 2 * uvs[:, 1:], torch.ones_like(uvs[:, :1])], 1)
        self.register_buffer("faces", faces[None].long())
        self.register_buffer("uvfaces", uvfaces[None].long())
        self.register_buffer("raw_uvcoords", uvs[None])
        self.register_buffer("uvcoords", uvcoords[None])
        self.register_buffer("face_uvcoords", uvcoords[uvfaces.long()][None])
        self.register_buffer("uv_face_mask", uv_face_mask[None, None].float())
        self.config.num_faces, self.config.num_texture_vertices = len(faces), len(uvs)

    def map(self, z: Tensor, c: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None) -> Tensor:
        """Map (N, z_dim) random vectors and (N, 25) camera labels to (N, 28, w_dim) style vectors.

        The first 14 serve all networks but the texture's, which has the last 14. Truncation: see ``MappingNetwork``.
        """
        return self.backbone.mapping(z, c, truncation_psi, truncation_cutoff)

    def rasterize(self, vertices: Tensor, rasterized_planes: RasterizedPlanes) -> views.ViewFragments:
        """Rasterise (N, V, 3) vertices, metres, in the front view or in all four."""
        wanted = (views.FRONT,) if rasterized_planes == "front" else tuple(range(len(views.VIEW_ANGLES_DEG)))
        return views.rasterize_views(
            vertices, self.faces[0], self.face_uvcoords[0, ..., :2], wanted, *self._view_frame()
        )

    def see_texture(self, texture: Tensor, fragments: views.ViewFragments) -> NeuralViews:
        """Look the neural texture (N, C, 256, 256) up in each view, and how opaque the mesh is there."""
        mask = self.uv_face_mask.expand(len(texture), -1, -1, -1)

        def image(view: int) -> Tensor:
            return views.look_up(texture, fragments.texture_grid[:, view])

        def alpha(view: int) -> Tensor:
            covered = fragments.covered[:, view, None]
            return views.fill_holes(views.look_up(mask, fragments.texture_grid[:, view]) * covered)

        front = views.FRONT
        if fragments.covered.shape[1] == 1:
            return NeuralViews((image(front),), (alpha(front),))
        side = (alpha(views.SIDE) != 0).float()
        return NeuralViews(
            (image(front), image(views.SIDE) + image(views.OTHER_SIDE), image(views.TOP)),
            (alpha(front), side, alpha(views.TOP)),
        )

    def make_planes(
        self,
        ws: Tensor,
        vertices: Tensor,
        landmarks: Tensor,
        noise_mode: NoiseMode = "const",
        rasterized_planes: RasterizedPlanes | None = None,
        fragments: views.ViewFragments | None = None,
    ) -> Planes:
        """Make the tri-planes of (N, 28, w_dim) style vectors.

        vertices: (N, V, 3) and landmarks: (N, 68, 3) of the mesh, metres, y up, z out of the face. rasterized_planes:
        overrides the configuration's. fragments: the mesh's views if they are known already.
        Raises SynthForgeError when the mesh is not where FLAME's is.
        """
        wanted = rasterized_planes or self.config.rasterized_planes
        styles, texture_styles = ws[:, :NUM_WS], ws[:, NUM_WS:]
        boxes = views.mouth_box(landmarks, *self._view_frame())
        texture = self.texture_backbone.synthesis(texture_styles, noise_mode)
        seen = self.see_texture(texture, fragments or self.rasterize(vertices, wanted))

        mouth = cast(ConditionedSynthesisNetwork, self.mouth_backbone.synthesis)
        mouth_in = views.crop(seen.images[0], boxes, mouth.input_size)
        mouth_out = mouth(styles, mouth_in, noise_mode)
        stitched = views.paste(seen.images[0], mouth_out, boxes)
        blended = self.neural_blending.synthesis(styles, stitched, noise_mode)
        static = self.backbone.synthesis(styles, noise_mode)

        planes = list(static.unflatten(1, (3, -1)).unbind(1))
        for number, (dynamic, alpha) in enumerate(zip((blended, *seen.images[1:]), seen.alphas, strict=True)):
            planes[number] = dynamic * alpha + planes[number] * (1.0 - alpha)
        return Planes(torch.stack(planes, 1), texture, seen, boxes, mouth_in, mouth_out, stitched, blended, static)

    def render(
        self,
        planes: Tensor,
        c: Tensor,
        resolution: int,
        sampler: RaySampler | None = None,
        with_features: bool = True,
    ) -> VolumeImage:
        """Render tri-planes (N, 3, C, 256, 256) with cameras (N, 25) at resolution n; R = n * n rays, row by row.

        sampler: where within steps rays are sampled, ``CentredSampler`` if not given.
        """
        origins, directions = camera_rays(c[:, :16].view(-1, 4, 4), c[:, 16:].view(-1, 3, 3), resolution)
        return render_planes(
            planes, self.decoder, origins, directions, self.marching(), sampler or CentredSampler(), with_features
        )

    def query(self, planes: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Colours (N, P, C) and raw densities (N, P) at world points (N, P, 3)."""
        return self.decoder(mean_of_planes(planes, points, self.config.box_warp))

    def super_resolve(self, features: Tensor, ws: Tensor) -> Tensor:
        """Map (N, C, n, n) rendered features and (N, 28, w_dim) style vectors to (N, 3, 512, 512)."""
        return self.superresolution(features[:, :3], features, ws[:, SUPER_RESOLUTION_STYLE])

    def forward(
        self,
        z: Tensor,
        c: Tensor,
        vertices: Tensor,
        landmarks: Tensor,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "const",
        neural_rendering_resolution: int | None = None,
        sampler: RaySampler | None = None,
        return_dict: bool | None = None,
    ) -> Next3DOutput | tuple[Any, ...]:
        """Make images.

        z: (N, z_dim) from a standard normal distribution. c: (N, 25) camera-to-world matrix, then intrinsics for an
        image of side 1, both row by row. vertices: (N, V, 3) and landmarks: (N, 68, 3), metres, y up, z out of the
        face. sampler: see ``render``.
        """
        ws = self.map(z, c, truncation_psi, truncation_cutoff)
        planes = self.make_planes(ws, vertices, landmarks, noise_mode).planes
        resolution = neural_rendering_resolution or self.config.neural_rendering_resolution
        rendered = self.render(planes, c, resolution, sampler)
        features = as_image(cast(Tensor, rendered.features))
        seen = rendered
        if self.config.rasterized_planes == "front":
            seen = self.render(planes, c, 2 * resolution, sampler, with_features=False)
        output = Next3DOutput(
            image=self.super_resolve(features, ws),
            image_raw=features[:, :3],
            image_depth=as_image(seen.depth.clamp(seen.nearest, seen.farthest).unsqueeze(-1)),
            features=features,
            weights=as_image(rendered.weight.unsqueeze(-1)),
            planes=planes,
            ws=ws,
        )
        return output if return_dict is not False else output.to_tuple()

    def marching(self) -> RayMarching:
        """How rays are sampled."""
        config = self.config
        return RayMarching(
            config.depth_resolution,
            config.depth_resolution_importance,
            config.ray_start,
            config.ray_end,
            config.box_warp,
        )

    def _view_frame(self) -> tuple[float, tuple[float, float, float]]:
        x, y, z = self.config.orth_shift
        return float(self.config.orth_scale), (x, y, z)


def as_image(rays: Tensor) -> Tensor:
    """(N, n * n, C), row by row -> (N, C, n, n)."""
    side = round(rays.shape[1] ** 0.5)
    return rays.transpose(1, 2).unflatten(2, (side, side)).contiguous()
