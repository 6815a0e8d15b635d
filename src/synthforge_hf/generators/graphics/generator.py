"""The embedded generator: a parametric head with procedural skin, hair, clothes, light and background, drawn on CPU or
GPU."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch

from synthforge_hf.errors import UsageError
from synthforge_hf.generators.base import LOOK_UP_CLASS, GeneratedFace
from synthforge_hf.generators.graphics import colours
from synthforge_hf.generators.graphics.accessories import Dresser
from synthforge_hf.generators.graphics.background import load_wall_noise, sample_background
from synthforge_hf.generators.graphics.beard import LABELLED_LENGTH, BeardGrower, sample_beard
from synthforge_hf.generators.graphics.brows import BROW_WINDOW, draw_brows, sample_brows
from synthforge_hf.generators.graphics.camera_effects import (
    NOISE_GRAINS,
    apply_camera_effects,
    load_sensor_noise,
    sample_camera_effects,
)
from synthforge_hf.generators.graphics.camera_pose import sample_camera
from synthforge_hf.generators.graphics.chart import Chart, draw_chart
from synthforge_hf.generators.graphics.environments import load_environments
from synthforge_hf.generators.graphics.expression import fit_expression, sample_expression, sample_pose
from synthforge_hf.generators.graphics.hair import grow_hair
from synthforge_hf.generators.graphics.hair_styles import sample_hair_style
from synthforge_hf.generators.graphics.identity import sample_identity
from synthforge_hf.generators.graphics.lighting import LUMINANCE, sample_lighting
from synthforge_hf.generators.graphics.parts import Part, labelled_mesh
from synthforge_hf.generators.graphics.settings import GraphicsSettings
from synthforge_hf.heads.anny import AnnyHead, load_anny_head
from synthforge_hf.heads.base import HeadCoefficients
from synthforge_hf.randomness import random_stream
from synthforge_hf.rendering.mesh import used_vertices, vertex_normals
from synthforge_hf.rendering.shading import Material, Scene, ShadedMesh, shade
from synthforge_hf.segmentation_classes import CLASS_ID

MATERIAL_OF_PART = {
    "skin": Material.SKIN,
    "left_ear": Material.SKIN,
    "right_ear": Material.SKIN,
    "left_eye_socket": Material.MOUTH,
    "right_eye_socket": Material.MOUTH,
    "mouth_cavity": Material.MOUTH,
    "tongue": Material.MOUTH,
    "left_eyeball": Material.EYE,
    "right_eyeball": Material.EYE,
    "upper_teeth": Material.TEETH,
    "lower_teeth": Material.TEETH,
    "eyelashes": Material.LASH,
}
CLASS_OF_PART = {
    "skin": LOOK_UP_CLASS,
    "left_ear": CLASS_ID["l_ear"],
    "right_ear": CLASS_ID["r_ear"],
    "left_eye_socket": CLASS_ID["l_eye"],
    "right_eye_socket": CLASS_ID["r_eye"],
    "left_eyeball": CLASS_ID["l_eye"],
    "right_eyeball": CLASS_ID["r_eye"],
    "mouth_cavity": CLASS_ID["mouth"],
    "tongue": CLASS_ID["mouth"],
    "upper_teeth": CLASS_ID["mouth"],
    "lower_teeth": CLASS_ID["mouth"],
    "eyelashes": CLASS_ID["skin"],
}


BATCH_ON_CUDA = 16
"""Pictures drawn at once on a GPU."""
FULL_DETAIL = 512
"""Pixels across the picture from which on all clumps of hair are drawn."""


@dataclass(frozen=True)
class _Shared:
    """What all samples of a process share."""

    head: AnnyHead
    chart: Chart
    dresser: Dresser
    beards: BeardGrower
    materials: np.ndarray
    classes: np.ndarray
    labelled: np.ndarray
    directions: np.ndarray
    noise: np.ndarray

    def body_parts(self, body: ShadedMesh) -> list[Part]:
        """Return the body with its labels, and the lashes without."""
        faces, materials, classes, corner_uv = self._labelled_triangles
        vertices, lash_faces = self._lashes
        picked = {
            item.name: getattr(body, item.name)[vertices]
            for item in fields(ShadedMesh)
            if item.name not in ("faces", "materials")
        }
        lashes = ShadedMesh(faces=lash_faces, materials=np.full(len(lash_faces), Material.LASH, np.uint8), **picked)
        return [Part(replace(body, faces=faces, materials=materials), classes, corner_uv=corner_uv), Part(lashes, None)]

    @cached_property
    def _labelled_triangles(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of all triangles that have labels: their vertices, materials, labels and chart coordinates."""
        chosen = self.labelled
        return self.head.faces[chosen], self.materials[chosen], self.classes[chosen], self.chart.corner_uv[chosen]

    @cached_property
    def _lashes(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the lashes' vertices, and their triangles into these."""
        return used_vertices(self.head.faces[~self.labelled], len(self.head.template))


@lru_cache(maxsize=1)
def _load_shared() -> _Shared:
    head = load_anny_head()
    materials = np.array([MATERIAL_OF_PART[name] for name in head.part_names], dtype=np.uint8)[head.parts]
    classes = np.array([CLASS_OF_PART[name] for name in head.part_names], dtype=np.uint8)[head.parts]
    labelled = head.parts != head.part_names.index("eyelashes")
    directions = np.zeros_like(head.template)
    for part in ("left_eyeball", "right_eyeball"):
        vertices = np.unique(head.faces[head.parts == head.part_names.index(part)])
        points = head.template[vertices]
        centre = 0.5 * (points.min(0) + points.max(0))
        away = points - centre
        directions[vertices] = away / np.linalg.norm(away, axis=1, keepdims=True)
    chart = draw_chart(head)
    return _Shared(
        head,
        chart,
        Dresser(head, chart.vertex_uv),
        BeardGrower(head, chart),
        materials,
        classes,
        labelled,
        directions,
        _noise_texture(256),
    )


def _noise_texture(size: int) -> np.ndarray:
    """(size, size, 4) int8 tileable noise: four independent fields, channel 3 stretched along v for hair. Their spread
    is 28 steps."""
    random = random_stream(0, 0, "noise texture")
    spectrum = np.fft.fft2(random.normal(size=(4, size, size)))
    frequency_v, frequency_u = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")
    fields = []
    for channel in range(4):
        stretch = 12.0 if channel == 3 else 1.0
        radius = np.hypot(frequency_u, frequency_v * stretch) * size
        fields.append(np.fft.ifft2(spectrum[channel] / (1.0 + (radius / 6.0) ** 1.3)).real)
    noise = np.stack(fields, axis=-1)
    noise *= 28 / noise.std((0, 1))
    return np.ascontiguousarray(np.clip(np.rint(noise), -127, 127), dtype=np.int8)


class GraphicsGenerator:
    """``FaceGenerator`` that needs no download, no GPU and no licence.

    device: "auto", "cpu" or "cuda" (with a Warp that sees a GPU). Raises UsageError for a device that is not there.
    """

    name = "graphics"
    license = "CC0-1.0"

    def __init__(self, settings: GraphicsSettings, device: str = "auto") -> None:
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"unknown device {device!r}: choose auto, cpu or cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError("device cuda is not available here: use --device cpu")
        self.settings = settings
        self.device = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
        _warm_up(self.device)

    def generate(self, seed: int, index: int, resolution: int) -> GeneratedFace:
        return next(self.generate_many(seed, [index], resolution))

    def generate_many(self, seed: int, indices: Sequence[int], resolution: int) -> Iterator[GeneratedFace]:
        """Make several samples; on CUDA so many are drawn at once. Each looks as it does alone."""
        size = batch_size(self.device)
        for start in range(0, len(indices), size):
            drafts = [self._compose(seed, index, resolution) for index in indices[start : start + size]]
            images = shade([scene for scene, _ in drafts], self.device)
            for (_, developed), image in zip(drafts, images, strict=True):
                yield developed(image)

    def _compose(self, seed: int, index: int, resolution: int) -> tuple[Scene, Callable[[np.ndarray], GeneratedFace]]:
        """Return what a sample's picture shows, and the sample as a function of that picture."""
        shared, settings = _load_shared(), self.settings
        head = shared.head
        identity_id = index // settings.photos_per_identity

        def stream(purpose: str) -> np.random.Generator:
            return random_stream(seed, index, purpose)

        def person(purpose: str) -> np.random.Generator:
            """What stays the same on all photos of one person."""
            return random_stream(seed, identity_id, purpose)

        identity = sample_identity(head, settings.head, person("identity"))
        expression, expression_name = sample_expression(head, settings.expression, stream("expression"))
        expression = fit_expression(head, identity, expression)
        pose = sample_pose(head, settings.head, stream("pose"))
        coefficients = HeadCoefficients(identity, expression, pose)
        vertices = head.vertices(coefficients)
        normals = vertex_normals(vertices, head.faces)
        gender, age = float(identity[0]), float(identity[1])

        camera, view = sample_camera(settings.camera, resolution, stream("camera"))
        paint, appearance = self._paint(gender, age, person("appearance"), stream("cloth colours"))
        brow_style = sample_brows(gender, age, person("brows"))
        brow_alpha, labels = draw_brows(shared.chart, brow_style, person("brow strokes"))
        hair_style = sample_hair_style(
            gender, age, settings.appearance.bald_share, settings.appearance.long_hair_share, person("hair")
        )
        hair = grow_hair(
            head,
            vertices,
            normals,
            hair_style,
            paint["hair"],
            person("hair shape"),
            seen_from=camera.position,
            detail=min(1.0, resolution / FULL_DETAIL),
        )
        beard_style = sample_beard(gender, age, settings.appearance.beard_share, person("beard"))
        beard = shared.beards.grow(vertices, normals, beard_style, paint["hair"], person("beard shape"))
        light = sample_lighting(settings.light, camera, stream("light"), float(paint["skin"] @ LUMINANCE))
        background, background_kind = sample_background(settings.background, camera, light, stream("background"))

        body = ShadedMesh(
            vertices,
            head.faces,
            shared.materials,
            normals,
            shared.chart.vertex_uv,
            shared.directions,
            head.ambient_occlusion,
        )
        hair_parts = []
        if hair is not None:
            hair_parts = [Part(hair.layer, CLASS_ID["hair"]), Part(hair.strands, CLASS_ID["hair"])]
            if hair.wisps is not None:
                hair_parts.append(Part(hair.wisps, None))
        worn = shared.dresser.dress(vertices, hair_parts, gender, age, paint["skin"], settings.accessories, stream)
        parts = [*shared.body_parts(body), *worn.parts, *worn.hair]
        if beard is not None:
            parts.append(Part(beard, CLASS_ID["skin"] if beard_style.length >= LABELLED_LENGTH else None))
        paint |= {
            "brows": brow_alpha,
            "brow_window": BROW_WINDOW,
            "masks": shared.beards.masks(beard_style.kind),
            "noise": shared.noise,
        }
        paint["beard_density"] = beard_style.density
        scene = Scene([part.mesh for part in parts], camera, paint, light.lighting, background)
        effects = sample_camera_effects(settings.camera_effects, stream("camera effects"))
        attributes: dict[str, Any] = {
            "age": age,
            "gender": gender,
            **appearance,
            "hair": hair_style.name,
            "facial_hair": beard_style.density,
            "beard": beard_style.kind,
            "beard_length_mm": 1000 * beard_style.length,
            "expression": expression_name,
            **worn.description,
            "background": background_kind,
            **view,
            **light.description,
            "camera_effects": "+".join(effects.names) or "none",
        }

        def developed(image: np.ndarray) -> GeneratedFace:
            return GeneratedFace(
                image=apply_camera_effects(image, effects, stream("sensor noise")),
                camera=camera,
                mesh=labelled_mesh(parts, labels),
                head_vertices=vertices,
                landmark_model=head.landmark_model,
                head_name=head.name,
                head_version=head.version,
                coefficients=coefficients,
                identity_id=identity_id,
                attributes=attributes,
            )

        return scene, developed

    def _paint(
        self, gender: float, age: float, random: np.random.Generator, cloth: np.random.Generator
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Colours and materials of one person and of this photo's clothes, and what to say about them."""
        appearance = self.settings.appearance
        melanin = float(np.clip(random.uniform(*appearance.melanin) ** 1.25, *appearance.melanin))
        skin = colours.skin_colour(melanin, float(random.normal(0, 0.6)), float(random.normal(0, 0.6)))
        hair_name, hair = colours.sample_hair_colour(melanin, age, random)
        iris_name, iris = colours.sample_iris(melanin, random)
        made_up = gender < 0.5 and age > 0.35 and random.random() < 2 * appearance.makeup_share
        lip_red = random.uniform(0.2, 0.9) if made_up else random.uniform(0.0, 0.25)
        natural_lips = skin * np.array([0.86, 0.52, 0.55])
        painted_lips = colours.linear((random.uniform(110, 200), random.uniform(10, 70), random.uniform(30, 90)))
        grown_lashes = 0.3 if made_up else 0.6
        paint = {
            "noise_offset": random.random(2),
            "skin": skin,
            "blotch": float(random.uniform(0.01, 0.045)),
            "freckles": float(random.uniform(0.3, 0.9)) if random.random() < 0.2 else 0.0,
            "bump": float(random.uniform(0.003, 0.018) + 0.03 * max(age - 0.6, 0)),
            "oil": float(random.uniform(0.1, 0.9)),
            "flush": skin * np.array([1.0, 0.62, 0.62]),
            "flush_strength": float(random.uniform(0.0, 0.7)),
            "lips": natural_lips * (1 - lip_red) + painted_lips * lip_red,
            "lip_strength": float(random.uniform(0.55, 0.95)),
            "lip_gloss": float(random.uniform(0.1, 1.0)),
            "lid": skin * np.array([0.75, 0.62, 0.66]) if not made_up else skin * random.uniform(0.25, 0.7, 3),
            "lid_strength": float(random.uniform(0.0, 0.35) if not made_up else random.uniform(0.2, 0.7)),
            "beard": hair * 0.9 + 0.004,
            "brow": np.minimum(hair * 0.7, skin * 0.55) * grown_lashes + 0.002,
            "hair": hair,
            "hair_variation": float(random.uniform(0.12, 0.4)),
            "iris": iris,
            "iris_radius": float(random.uniform(0.47, 0.53)),
            "pupil_radius": float(random.uniform(0.28, 0.55)),
            "sclera": colours.linear((226, 218, 210)) * float(random.uniform(0.8, 1.05)),
            "teeth": colours.linear((236, 228, 210)) * float(random.uniform(0.55, 0.95)),
            "cloth": colours.sample_cloth_colour(cloth),
            "cloth_second": colours.sample_cloth_colour(cloth),
            "cloth_pattern": int(cloth.choice(5, p=[0.6, 0.1, 0.08, 0.1, 0.12])),
            "cloth_scale": float(cloth.uniform(120, 600)),
        }
        if paint["cloth_pattern"] == 0:
            paint["cloth_second"] = paint["cloth"]
        description = {
            "skin_tone": colours.individual_typology_angle(skin),
            "hair_colour": hair_name,
            "iris_colour": iris_name,
            "makeup": bool(made_up),
        }
        return paint, description


def batch_size(device: str) -> int:
    """How many pictures are drawn at once: on a CPU, more than one would only take more memory."""
    return BATCH_ON_CUDA if device == "cuda" else 1


def _warm_up(device: str) -> None:
    """Draw a face once per process and device, and load the tables that not every face needs: who says that it is
    ready, is."""
    if device not in _WARM:
        _WARM.add(device)
        load_environments()
        load_wall_noise()
        for grain in range(NOISE_GRAINS):
            load_sensor_noise(grain)
        GraphicsGenerator(GraphicsSettings(), device).generate(0, 0, 16)


_WARM: set[str] = set()
