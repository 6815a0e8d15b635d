"""The paper's generator as a ``FaceGenerator``: FLAME and Next3D from the user's own licensed, converted files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synthforge_hf.converted_folder import file_sha256
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.generators.alignment import Alignment, align_to_depth
from synthforge_hf.generators.base import FaceObserver, GeneratedFace, LabelledMesh
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
from synthforge_hf.rendering.volume import CentredSampler, RandomSampler, RaySampler, SamplerPerVolume, camera_rays

ENVIRONMENT = {"model": "SYNTHFORGE_NEXT3D", "flame": "SYNTHFORGE_FLAME"}
"""Where to look for converted files that the settings do not name, so that recipes need not hold paths."""


@dataclass(frozen=True)
class _Draw:
    """One attempt at a sample, judged by its geometry before its image is made.

    ws, planes, label: see ``Next3DModel``, of one sample; label (1, 25). vertices: (V, 3) float32 head frame,
    corrected. camera: metric, of the depth image. depth: (m, m) float32 planar z, metres, 0 = none.
    """

    index: int
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


@dataclass(frozen=True)
class _Tally:
    """What was wrong with the draws of one sample so far.

    errors_mm: of all of them, mesh from volume. disagreements_px: of those whose image was looked at.
    """

    errors_mm: list[float] = field(default_factory=list)
    disagreements_px: list[float] = field(default_factory=list)


class Next3DGenerator:
    """``FaceGenerator`` of the SynthForge paper (section 3.1). One identity per sample.

    settings: name the converted files. device: "auto", "cpu" or "cuda". observer: needed by settings with
    ``max_detector_disagreement_px``, unused by others.
    Raises UsageError for folders that hold no converted files, a device that is not there, or a missing observer;
    SynthForgeError for files that do not belong together.
    """

    name = "next3d"

    def __init__(self, settings: Next3DSettings, device: str = "auto", observer: FaceObserver | None = None) -> None:
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"unknown device {device!r}: choose auto, cpu or cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError("device cuda is not available here: use --device cpu")
        if settings.max_detector_disagreement_px is not None and observer is None:
            raise UsageError(
                "next3d.max_detector_disagreement_px needs somebody who looks: load the generator by its recipe, or "
                "give it an observer, such as synthforge_hf.models.landmark_observer.LandmarkObserver()"
            )
        model_folder = _folder("model", settings.model, "convert next3d CHECKPOINT.pkl OUT")
        flame_folder = _folder("flame", settings.flame, "convert flame DIR OUT")
        self.settings = settings
        self.observer = observer
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
        self._group: tuple[int, int, int] | None = None
        self._made: dict[int, GeneratedFace | SynthForgeError] = {}

    def generate(self, seed: int, index: int, resolution: int) -> GeneratedFace:
        """Make a sample; draws that are not good enough are rejected and drawn anew.

        The ``batch_size`` samples of its group are made with it, and the others wait for being asked for next: in
        ascending order, every group is made once. Asked for alone or in any other order, a sample is the same.
        Raises SynthForgeError when none of ``max_attempts`` draws is good enough.
        """
        size = self.settings.batch_size
        number = index // size
        if self._group != (seed, number, resolution) or index not in self._made:
            self._made = self._make(seed, range(number * size, (number + 1) * size), resolution)
            self._group = seed, number, resolution
        made = self._made.pop(index)
        if isinstance(made, SynthForgeError):
            raise made
        return made

    def _make(self, seed: int, indices: Sequence[int], resolution: int) -> dict[int, GeneratedFace | SynthForgeError]:
        """Make a group of samples, or say why one cannot be made: that must not keep the others from being made.

        Who is drawn with whom follows from the group alone, never from which of its samples was asked for.
        """
        settings = self.settings
        tallies = {index: _Tally() for index in indices}
        made: dict[int, GeneratedFace | SynthForgeError] = {}
        for attempt in range(settings.max_attempts):
            missing = [index for index in indices if index not in made]
            if not missing:
                break
            aligned = []
            for draw in self._draws(seed, missing, attempt):
                tallies[draw.index].errors_mm.append(1000 * draw.alignment.error_after_m)
                if tallies[draw.index].errors_mm[-1] <= settings.max_alignment_error_mm:
                    aligned.append(draw)
            for draw, photo in zip(aligned, self._photos(aligned), strict=True):
                filtered = self._look_at(draw, photo, tallies[draw.index])
                if filtered is not None:
                    attributes = {"rejected_draws": attempt, **filtered}
                    made[draw.index] = self._face(draw, photo, resolution, attributes)
        return {index: made[index] if index in made else self._failure(index, tallies[index]) for index in indices}

    def _look_at(self, draw: _Draw, photo: Tensor, tally: _Tally) -> dict[str, Any] | None:
        """Return the attributes that the filter adds to a face that passes it, None for one that does not."""
        limit = self.settings.max_detector_disagreement_px
        if limit is None or self.observer is None:
            return {}
        # Always at the network's own resolution: which draw is kept must not depend on the size of the pictures.
        distance = self.observer.disagreement_px(self._face(draw, photo, photo.shape[-1], {}))
        tally.disagreements_px.append(distance)
        if not distance <= limit:
            return None
        return {
            "detector_disagreement_px": distance,
            "rejected_by_detector": len(tally.disagreements_px) - 1,
            "detector_weights": self.observer.version,
        }

    def _failure(self, index: int, tally: _Tally) -> SynthForgeError:
        settings = self.settings
        message = (
            f"sample {index}: mesh and volume are {min(tally.errors_mm):.1f} mm apart at best in "
            f"{len(tally.errors_mm)} draws (next3d.max_alignment_error_mm = {settings.max_alignment_error_mm:g})"
        )
        if tally.disagreements_px:
            nearest = min(tally.disagreements_px)
            seen = f"the face {nearest:.1f} px off at best" if np.isfinite(nearest) else "no face"
            message += (
                f"; the detector looked at {len(tally.disagreements_px)} of them and saw {seen} "
                f"(next3d.max_detector_disagreement_px = {settings.max_detector_disagreement_px:g})"
            )
        return SynthForgeError(f"{message}; raise {'a limit' if tally.disagreements_px else 'it'} or max_attempts")

    @torch.no_grad()
    def _draws(self, seed: int, indices: Sequence[int], attempt: int) -> list[_Draw]:
        """Draw several samples; all but their images. The networks are run once."""
        settings, model = self.settings, self.model

        def streams(purpose: str) -> list[np.random.Generator]:
            return [
                random_stream(seed, index, purpose if attempt == 0 else f"{purpose}, attempt {attempt}")
                for index in indices
            ]

        coefficients = [self._sample_coefficients(random) for random in streams("head")]
        angles = [self._sample_angles_deg(random) for random in streams("camera")]
        labels = [camera_label(np.radians(azimuth), np.radians(elevation), fov) for azimuth, elevation, fov in angles]
        heads = [(self.head.vertices(each), self.head.origin(each)) for each in coefficients]
        z = self._tensor([random.standard_normal(model.config.z_dim) for random in streams("appearance")])
        c = self._tensor(labels)
        samplers: list[RaySampler] = [
            RandomSampler(random) if settings.random_rays else CentredSampler() for random in streams("rays")
        ]

        ws = model.map(z, c, settings.truncation_psi, settings.truncation_cutoff)
        planes = model.make_planes(
            ws,
            self._tensor([vertices + origin for vertices, origin in heads]),
            self._tensor([self.head.landmarks(vertices) + origin for vertices, origin in heads]),
        ).planes
        depths = self._planar_depths(planes, c, SamplerPerVolume(samplers))
        draws = []
        for number, (index, (vertices, origin), depth) in enumerate(zip(indices, heads, depths, strict=True)):
            one = slice(number, number + 1)
            camera = metric_camera(labels[number], origin.astype(np.float64), model.config, len(depth))
            vertices, alignment = align_to_depth(
                vertices, self.head.faces, camera, depth, settings.alignment == "per_sample"
            )
            draws.append(
                _Draw(
                    index,
                    coefficients[number],
                    angles[number],
                    ws[one],
                    planes[one],
                    c[one],
                    samplers[number],
                    vertices,
                    camera,
                    depth,
                    alignment,
                )
            )
        return draws

    @torch.no_grad()
    def _photos(self, draws: list[_Draw]) -> list[Tensor]:
        """Make the images of draws, as the networks make them: (1, 3, 512, 512) float32 in [0, 255] each."""
        if not draws:
            return []
        model = self.model
        features = model.render(
            torch.cat([draw.planes for draw in draws]),
            torch.cat([draw.label for draw in draws]),
            model.config.neural_rendering_resolution,
            SamplerPerVolume([draw.sampler for draw in draws]),
        ).features
        assert features is not None
        images = model.super_resolve(as_image(features), torch.cat([draw.ws for draw in draws]))
        return list(images.clamp(-1, 1).add(1).mul(127.5).cpu().split(1))

    def _sample_angles_deg(self, random: np.random.Generator) -> tuple[float, float, float]:
        """Azimuth, elevation and field of view of the camera."""
        settings = self.settings
        azimuth, elevation, field_of_view = (
            float(random.uniform(*limits))
            for limits in (settings.azimuth_deg, settings.elevation_deg, settings.field_of_view_deg)
        )
        return azimuth, elevation, field_of_view

    def _sample_coefficients(self, random: np.random.Generator) -> HeadCoefficients:
        """As in the paper: uniform shape and expression, zero pose."""
        neutral = self.head.neutral()
        for values, count in (
            (neutral.identity, self.settings.num_shape),
            (neutral.expression, self.settings.num_expression),
        ):
            values[:count] = random.uniform(*self.settings.coefficient, count)
        return neutral

    def _planar_depths(self, planes: Tensor, c: Tensor, sampler: RaySampler) -> np.ndarray:
        """Render (N, m, m) float32 depth along the camera's axis, metres; 0 where the volume is not opaque enough.

        Taken before the published renderer's clamp, which depends on what else is in the batch.
        """
        side = self.settings.depth_resolution
        seen = self.model.render(planes, c, side, sampler, with_features=False)
        pose = c[:, :16].view(-1, 4, 4)
        _, directions = camera_rays(pose, c[:, 16:].view(-1, 3, 3), side)
        along_axis = (directions @ pose[:, :3, 2, None]).squeeze(-1)
        depth = seen.depth * along_axis * self.model.config.metres_per_unit
        opaque = (seen.weight > self.settings.opacity) & seen.depth.isfinite()
        return torch.where(opaque, depth, 0.0).view(-1, side, side).cpu().numpy()

    def _tensor(self, values: Sequence[np.ndarray]) -> Tensor:
        return torch.tensor(np.stack(values), dtype=torch.float32, device=self.device)

    def _face(self, draw: _Draw, photo: Tensor, resolution: int, attributes: dict[str, Any]) -> GeneratedFace:
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
            image=_pixels(photo, resolution),
            camera=_at(draw.camera, resolution),
            mesh=mesh,
            head_vertices=draw.vertices,
            landmark_model=head.landmark_model,
            head_name=head.name,
            head_version=head.version,
            coefficients=draw.coefficients,
            identity_id=draw.index,
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
                **attributes,
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


def _pixels(photo: Tensor, resolution: int) -> np.ndarray:
    """(1, 3, h, h) in [0, 255] -> (resolution, resolution, 3) uint8."""
    if photo.shape[-1] != resolution:
        size = (resolution, resolution)
        photo = functional.interpolate(photo, size, mode="bilinear", align_corners=False, antialias=True)
    return photo[0].round().clamp(0, 255).to(torch.uint8).movedim(0, -1).contiguous().numpy()


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
