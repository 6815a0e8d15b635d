"""The paper's generator as a ``FaceGenerator``: FLAME and Next3D from the user's own licensed, converted files."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synthforge_hf.converted_folder import file_sha256
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.generators.alignment import Alignment, align_to_depth
from synthforge_hf.generators.base import GeneratedFace, LabelledMesh
from synthforge_hf.generators.next3d.camera import camera_label, metric_camera
from synthforge_hf.generators.next3d.conversion import WEIGHTS_NAME, load_model
from synthforge_hf.generators.next3d.modeling_next3d import as_image
from synthforge_hf.generators.next3d.settings import Next3DSettings
from synthforge_hf.heads.base import HeadCoefficients
from synthforge_hf.heads.flame import FlameHead
from synthforge_hf.heads.flame_segmentation import to_segmentation_classes
from synthforge_hf.randomness import random_stream
from synthforge_hf.rendering.camera import PinholeCamera
from synthforge_hf.rendering.mesh import vertex_normals
from synthforge_hf.rendering.volume import CentredSampler, RandomSampler, RaySampler, camera_rays

ENVIRONMENT = {"model": "SYNTHFORGE_NEXT3D", "flame": "SYNTHFORGE_FLAME"}
"""Where to look for converted files that the settings do not name, so that recipes need not hold paths."""


@dataclass(frozen=True)
class _Draw:
    """One attempt at a sample, judged by its geometry before its image is made.

    ws, planes, label: see ``Next3DModel``; label (1, 25). vertices: (V, 3) float32 head frame, corrected. camera:
    metric, of the depth image. depth: (m, m) float32 planar z, metres, 0 = none.
    """

    coefficients: HeadCoefficients
    angles_deg: tuple[float, float, float]
    ws: Tensor
    planes: Tensor
    label: Tensor
    sampler: RaySampler
    vertices: np.ndarray
    camera: PinholeCamera
    depth: np.ndarray
    alignment: Alignment


class Next3DGenerator:
    """``FaceGenerator`` of the SynthForge paper (section 3.1). One identity per sample.

    settings: name the converted files. device: "auto", "cpu" or "cuda".
    Raises UsageError for folders that hold no converted files, or a device that is not there; SynthForgeError for files
    that do not belong together.
    """

    name = "next3d"

    def __init__(self, settings: Next3DSettings, device: str = "auto") -> None:
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"unknown device {device!r}: choose auto, cpu or cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError("device cuda is not available here: use --device cpu")
        model_folder = _folder("model", settings.model, "convert next3d CHECKPOINT.pkl OUT")
        flame_folder = _folder("flame", settings.flame, "convert flame DIR OUT")
        self.settings = settings
        self.device = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        self.head = FlameHead.load(flame_folder)
        self.model = load_model(model_folder)
        self.model.to(self.device)  # type: ignore[arg-type]
        self.model_version = file_sha256(model_folder / WEIGHTS_NAME)[:12]
        self.license = f"terms of the Next3D checkpoint; FLAME: {self.head.license}"
        wanted, there = int(self.model.faces.max()) + 1, len(self.head.template)
        if wanted > there:
            raise SynthForgeError(
                f"the Next3D model draws a mesh of {wanted} vertices but the FLAME model has {there}: "
                "they do not belong together"
            )

    def generate(self, seed: int, index: int, resolution: int) -> GeneratedFace:
        """Make a sample; draws whose mesh and volume lie too far apart are rejected and drawn anew.

        Raises SynthForgeError when none of ``max_attempts`` draws is good enough.
        """
        settings = self.settings
        errors = []
        for attempt in range(settings.max_attempts):
            draw = self._draw(seed, index, attempt)
            errors.append(1000 * draw.alignment.error_after_m)
            if errors[-1] <= settings.max_alignment_error_mm:
                return self._face(draw, index, attempt, resolution)
        raise SynthForgeError(
            f"sample {index}: mesh and volume are {min(errors):.1f} mm apart at best in {len(errors)} draws, more than "
            f"next3d.max_alignment_error_mm = {settings.max_alignment_error_mm:g}; raise it or max_attempts"
        )

    @torch.no_grad()
    def _draw(self, seed: int, index: int, attempt: int) -> _Draw:
        settings, model = self.settings, self.model

        def stream(purpose: str) -> np.random.Generator:
            return random_stream(seed, index, purpose if attempt == 0 else f"{purpose}, attempt {attempt}")

        coefficients = self._sample_coefficients(stream("head"))
        random = stream("camera")
        azimuth, elevation, field_of_view = (
            float(random.uniform(*limits))
            for limits in (settings.azimuth_deg, settings.elevation_deg, settings.field_of_view_deg)
        )
        label = camera_label(np.radians(azimuth), np.radians(elevation), field_of_view)
        vertices = self.head.vertices(coefficients)
        origin = self.head.origin(coefficients)
        z = self._tensor(stream("appearance").standard_normal(model.config.z_dim))
        c = self._tensor(label)
        sampler: RaySampler = RandomSampler(stream("rays")) if settings.random_rays else CentredSampler()

        ws = model.map(z, c, settings.truncation_psi, settings.truncation_cutoff)
        planes = model.make_planes(
            ws, self._tensor(vertices + origin), self._tensor(self.head.landmarks(vertices) + origin)
        ).planes
        depth = self._planar_depth(planes, c, sampler)
        camera = metric_camera(label, origin.astype(np.float64), model.config, len(depth))
        vertices, alignment = align_to_depth(
            vertices, self.head.faces, camera, depth, settings.alignment == "per_sample"
        )
        angles = azimuth, elevation, field_of_view
        return _Draw(coefficients, angles, ws, planes, c, sampler, vertices, camera, depth, alignment)

    @torch.no_grad()
    def _photo(self, draw: _Draw, resolution: int) -> np.ndarray:
        """Make the image of a draw: (resolution, resolution, 3) uint8."""
        model = self.model
        features = model.render(
            draw.planes, draw.label, model.config.neural_rendering_resolution, draw.sampler
        ).features
        assert features is not None
        image = model.super_resolve(as_image(features), draw.ws).clamp(-1, 1).add(1).mul(127.5).cpu()
        if image.shape[-1] != resolution:
            size = (resolution, resolution)
            image = functional.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
        return image[0].round().clamp(0, 255).to(torch.uint8).movedim(0, -1).contiguous().numpy()

    def _sample_coefficients(self, random: np.random.Generator) -> HeadCoefficients:
        """As in the paper: uniform shape and expression, zero pose."""
        neutral = self.head.neutral()
        for values, count in (
            (neutral.identity, self.settings.num_shape),
            (neutral.expression, self.settings.num_expression),
        ):
            values[:count] = random.uniform(*self.settings.coefficient, count)
        return neutral

    def _planar_depth(self, planes: Tensor, c: Tensor, sampler: RaySampler) -> np.ndarray:
        """Render (m, m) float32 depth along the camera's axis, metres; 0 where the volume is not opaque enough.

        Taken before the published renderer's clamp, which depends on what else is in the batch.
        """
        side = self.settings.depth_resolution
        seen = self.model.render(planes, c, side, sampler, with_features=False)
        pose = c[:, :16].view(-1, 4, 4)
        _, directions = camera_rays(pose, c[:, 16:].view(-1, 3, 3), side)
        along_axis = (directions @ pose[:, :3, 2, None]).squeeze(-1)
        depth = seen.depth * along_axis * self.model.config.metres_per_unit
        opaque = (seen.weight > self.settings.opacity) & seen.depth.isfinite()
        return torch.where(opaque, depth, 0.0).view(side, side).cpu().numpy()

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)[None]

    def _face(self, draw: _Draw, index: int, attempt: int, resolution: int) -> GeneratedFace:
        head, alignment = self.head, draw.alignment
        surface = head.labelled_surface(draw.vertices)
        mesh = LabelledMesh(
            vertices=surface.vertices,
            faces=surface.faces,
            vertex_normals=vertex_normals(surface.vertices, surface.faces),
            triangle_classes=to_segmentation_classes(surface.triangle_classes),
            corner_uv=surface.corner_uv,
            label_texture=to_segmentation_classes(surface.label_texture),
        )
        azimuth, elevation, field_of_view = draw.angles_deg
        return GeneratedFace(
            image=self._photo(draw, resolution),
            camera=_at(draw.camera, resolution),
            mesh=mesh,
            head_vertices=draw.vertices,
            landmark_model=head.landmark_model,
            head_name=head.name,
            head_version=head.version,
            coefficients=draw.coefficients,
            identity_id=index,
            attributes={
                "camera_azimuth_deg": azimuth,
                "camera_elevation_deg": elevation,
                "camera_field_of_view_deg": field_of_view,
                "next3d_weights": self.model_version,
                "depth_source": "volume",
                "alignment_scale": alignment.scale,
                "alignment_shift_mm": [float(value) for value in 1000 * alignment.shift_m],
                "alignment_error_before_mm": 1000 * alignment.error_before_m,
                "alignment_error_after_mm": 1000 * alignment.error_after_m,
                "rejected_draws": attempt,
            },
            depth=_enlarged(draw.depth, resolution),
        )


def _folder(name: str, setting: str, command: str) -> Path:
    """Return the folder of converted files that the settings or the environment name."""
    folder = setting or os.environ.get(ENVIRONMENT[name], "")
    if not folder:
        raise UsageError(
            f"the next3d generator needs your own licensed files: set next3d.{name} in the recipe, or "
            f"{ENVIRONMENT[name]} in the environment, to the folder that `synthforge {command}` wrote"
        )
    return Path(folder).expanduser()


def _at(camera: PinholeCamera, resolution: int) -> PinholeCamera:
    """Return the same camera with another number of pixels."""
    factor = np.array([[resolution / camera.width], [resolution / camera.height], [1.0]])
    return replace(camera, intrinsics=camera.intrinsics * factor, width=resolution, height=resolution)


def _enlarged(depth: np.ndarray, resolution: int) -> np.ndarray:
    """Interpolate between pixels that have a depth; where most of a neighbourhood has none, neither has the result."""
    known = torch.from_numpy((depth > 0).astype(np.float32))
    both = torch.stack([torch.from_numpy(depth.astype(np.float32)) * known, known])[None]
    summed, share = functional.interpolate(both, (resolution, resolution), mode="bilinear", align_corners=False)[0]
    return torch.where(share > 0.5, summed / share.clamp_min(0.5), 0.0).numpy()
