"""A toy generator for tests: a painted ellipsoid with 68 landmarks, complete and exact but made in milliseconds.

It is a real ``FaceGenerator`` (its labels come from the same annotation as everybody's), reached by recipes as
``generator: ellipsoid``, so that the data engine, the builder and training can be tested without a head model.
"""

from dataclasses import dataclass, replace

import numpy as np

from synthforge_hf.annotation.annotate import annotate
from synthforge_hf.generators.base import LOOK_UP_CLASS, GeneratedFace, LabelledMesh
from synthforge_hf.heads.base import HeadCoefficients, LandmarkModel
from synthforge_hf.randomness import random_stream
from synthforge_hf.rendering.camera import orbit_camera
from synthforge_hf.segmentation_classes import CLASS_ID

RADII = np.array([0.075, 0.105, 0.09])
"""Metres along x, y, z of the head frame."""

COLUMNS, ROWS = 48, 32
"""Cells of the grid over longitude (-180 to 180 degrees) and latitude (-90 to 90 degrees)."""

_COLOURS = np.zeros((len(CLASS_ID), 3), dtype=np.float32)
for _name, _colour in {
    "skin": (205, 160, 135), "nose": (215, 165, 140), "l_eye": (240, 240, 240), "r_eye": (240, 240, 240),
    "l_brow": (70, 50, 40), "r_brow": (70, 50, 40), "l_ear": (190, 140, 120), "r_ear": (190, 140, 120),
    "mouth": (90, 30, 35), "u_lip": (180, 80, 85), "l_lip": (190, 90, 95), "hair": (60, 40, 30),
}.items():  # fmt: skip
    _COLOURS[CLASS_ID[_name]] = _colour


@dataclass(frozen=True)
class EllipsoidCamera:
    """azimuth_deg, elevation_deg: (low, high) degrees. distance_m: metres."""

    azimuth_deg: tuple[float, float] = (-40.0, 40.0)
    elevation_deg: tuple[float, float] = (-20.0, 20.0)
    distance_m: float = 0.8

    def __post_init__(self) -> None:
        if self.distance_m <= 0.2:
            raise ValueError(f"distance_m is {self.distance_m}: it must be above 0.2, outside the head")


@dataclass(frozen=True)
class EllipsoidSettings:
    camera: EllipsoidCamera = EllipsoidCamera()
    photos_per_identity: int = 1

    def __post_init__(self) -> None:
        if self.photos_per_identity < 1:
            raise ValueError(f"photos_per_identity is {self.photos_per_identity}: it must be at least 1")


class EllipsoidHead:
    """identity: (3,) stretch of the radii; expression: (1,) how far the mouth bulges, 1 = a tenth of the radius."""

    name = "ellipsoid"
    version = "1"
    identity_names = ("width", "height", "depth")
    expression_names = ("pout",)
    joint_names = ("neck",)

    def __init__(self) -> None:
        longitude = np.radians(np.linspace(-180, 180, COLUMNS + 1))
        latitude = np.radians(np.linspace(90, -90, ROWS + 1))
        phi, theta = np.meshgrid(latitude, longitude, indexing="ij")
        self._directions = np.stack([np.sin(theta) * np.cos(phi), np.sin(phi), np.cos(theta) * np.cos(phi)], axis=-1)
        self._directions = self._directions.reshape(-1, 3)
        mouth = _on_sphere(0.0, -32.0)
        self._mouth_weight = np.exp(-np.sum((self._directions - mouth) ** 2, axis=1) / 0.02)
        corner = (np.arange(ROWS)[:, None] * (COLUMNS + 1) + np.arange(COLUMNS)[None, :]).reshape(-1)
        down, right = COLUMNS + 1, 1
        upper = np.stack([corner, corner + down, corner + right], axis=1)
        lower = np.stack([corner + right, corner + down, corner + down + right], axis=1)
        self.faces = np.concatenate([upper, lower]).astype(np.int32)
        uv = np.stack([(theta / np.pi + 1) / 2, (1 - phi / (np.pi / 2)) / 2], axis=-1).reshape(-1, 2)
        self.corner_uv = uv[self.faces].astype(np.float32)
        points = _landmark_angles()
        triangles, weights = _grid_points(points)
        contour_triangles, contour_weights = _grid_points(_contour_angles(points[:17]))
        self.landmark_model = LandmarkModel(triangles, weights, contour_triangles, contour_weights)

    def vertices(self, coefficients: HeadCoefficients) -> np.ndarray:
        if coefficients.identity.shape != (3,) or coefficients.expression.shape != (1,):
            raise ValueError("the ellipsoid has 3 identity coefficients and 1 expression coefficient")
        radii = RADII * (1 + coefficients.identity.astype(np.float64))
        bulge = 1 + 0.1 * coefficients.expression[0] * self._mouth_weight[:, None]
        return (self._directions * radii * bulge @ _rotation(coefficients.pose[0]).T).astype(np.float32)

    def normals(self, coefficients: HeadCoefficients) -> np.ndarray:
        """Return (V, 3) float32 unit normals: area-weighted means of the triangles' around each vertex."""
        vertices = self.vertices(coefficients).astype(np.float64)
        corners = vertices[self.faces]
        area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        total = np.zeros_like(vertices)
        for corner in range(3):
            np.add.at(total, self.faces[:, corner], area)
        # Grid points that lie on one another (the seam at the back, the poles) share one normal.
        _, same = np.unique(self._directions.round(9), axis=0, return_inverse=True)
        shared = np.zeros((same.max() + 1, 3))
        np.add.at(shared, same.reshape(-1), total)
        total = shared[same.reshape(-1)]
        return (total / np.linalg.norm(total, axis=1, keepdims=True)).astype(np.float32)

    def neutral(self) -> HeadCoefficients:
        return HeadCoefficients(np.zeros(3, np.float32), np.zeros(1, np.float32), np.zeros((1, 3), np.float32))


class EllipsoidGenerator:
    """Makes painted ellipsoids in front of a plain background."""

    name = "ellipsoid"
    license = "CC0-1.0"

    def __init__(self, settings: EllipsoidSettings | None = None) -> None:
        self.settings = settings or EllipsoidSettings()
        self.head = EllipsoidHead()
        self._label_texture = _paint_labels()

    def generate(self, seed: int, index: int, resolution: int) -> GeneratedFace:
        identity_id = index // self.settings.photos_per_identity
        person = random_stream(seed, identity_id, "identity")
        photo = random_stream(seed, index, "photo")
        coefficients = HeadCoefficients(
            identity=person.uniform(-0.1, 0.1, 3).astype(np.float32),
            expression=photo.uniform(0, 1, 1).astype(np.float32),
            pose=np.radians(photo.uniform(-8, 8, (1, 3))).astype(np.float32),
        )
        camera = orbit_camera(
            azimuth=np.radians(photo.uniform(*self.settings.camera.azimuth_deg)),
            elevation=np.radians(photo.uniform(*self.settings.camera.elevation_deg)),
            roll=0.0,
            distance=self.settings.camera.distance_m,
            field_of_view=np.radians(22.0),
            resolution=resolution,
        )
        brightness = float(photo.uniform(0.6, 1.1))
        background = photo.uniform(20, 235, 3)
        face = GeneratedFace(
            image=np.zeros((resolution, resolution, 3), np.uint8),
            camera=camera,
            mesh=LabelledMesh(
                vertices=self.head.vertices(coefficients),
                faces=self.head.faces,
                vertex_normals=self.head.normals(coefficients),
                triangle_classes=np.full(len(self.head.faces), LOOK_UP_CLASS, np.uint8),
                corner_uv=self.head.corner_uv,
                label_texture=self._label_texture,
            ),
            head_vertices=self.head.vertices(coefficients),
            landmark_model=self.head.landmark_model,
            head_name=self.head.name,
            head_version=self.head.version,
            coefficients=coefficients,
            identity_id=identity_id,
            attributes={
                "age": int(person.integers(0, 90)),
                "lighting": "bright" if brightness > 0.85 else "dim",
                "brightness": brightness,
                "glasses": False,
                "background": [float(value) for value in background],
            },
        )
        labels = annotate(face)
        light = np.array([-0.4, -0.5, -0.75])
        shade = brightness * (0.45 + 0.55 * np.clip(labels.normals @ light, 0, 1))[..., None]
        colours = np.where((labels.depth > 0)[..., None], _COLOURS[labels.segmentation] * shade, background)
        noise = photo.normal(0, 2, (resolution, resolution, 1))
        return replace(face, image=np.clip(np.rint(colours + noise), 0, 255).astype(np.uint8))


def load_ellipsoid_generator(
    name: str = "ellipsoid", settings: EllipsoidSettings | None = None, device: str = "auto"
) -> EllipsoidGenerator:
    """Build the toy generator; it runs on the CPU whatever the device."""
    return EllipsoidGenerator(settings)


def _on_sphere(longitude_deg: float, latitude_deg: float) -> np.ndarray:
    theta, phi = np.radians(longitude_deg), np.radians(latitude_deg)
    return np.array([np.sin(theta) * np.cos(phi), np.sin(phi), np.cos(theta) * np.cos(phi)])


def _rotation(axis_angle: np.ndarray) -> np.ndarray:
    x, y, z = axis_angle.astype(np.float64)
    angle = max(float(np.linalg.norm(axis_angle)), 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) / angle
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _landmark_angles() -> np.ndarray:
    """Return (68, 2) longitude and latitude in degrees; the subject's right side has negative longitude."""
    step = np.arange(17) / 8 - 1
    jaw = np.stack([78 * np.sin(step * np.pi / 2), -58 + 60 * np.abs(step) ** 1.6], axis=1)
    brow = np.stack([np.linspace(-46, -12, 5), np.array([26, 30, 31, 30, 28])], axis=1)
    bridge = np.stack([np.zeros(4), np.linspace(16, -6, 4)], axis=1)
    wings = np.stack([np.linspace(-10, 10, 5), np.array([-11, -12, -13, -12, -11])], axis=1)
    turn = np.radians([180, 120, 60, 0, -60, -120])
    eye = np.stack([-26 + 10 * np.cos(turn), 16 + 4 * np.sin(turn)], axis=1)
    mirrored_brow = (brow * [-1, 1])[::-1]
    mirrored_eye = (eye * [-1, 1])[[3, 2, 1, 0, 5, 4]]
    outer, inner = np.radians(180 - 30 * np.arange(12)), np.radians(180 - 45 * np.arange(8))
    mouth = [
        np.stack([size_x * np.cos(angle), -32 + size_y * np.sin(angle)], axis=1)
        for angle, size_x, size_y in ((outer, 20, 8), (inner, 15, 3))
    ]
    return np.concatenate([jaw, brow, mirrored_brow, bridge, wings, eye, mirrored_eye, *mouth])


def _contour_angles(jaw: np.ndarray) -> np.ndarray:
    """Return (17, 9, 2): each jaw point and its neighbours on a line from the face's middle outwards."""
    return jaw[:, None] * (1 + np.linspace(-0.3, 0.3, 9))[None, :, None]


def _grid_points(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find (..., 2) angles on the grid: (..., 3) int32 vertex indices and (..., 3) float32 barycentric weights."""
    column = (angles[..., 0] + 180) / 360 * COLUMNS
    row = (90 - angles[..., 1]) / 180 * ROWS
    i, j = np.floor(row).astype(int), np.floor(column).astype(int)
    y, x = row - i, column - j
    corner = i * (COLUMNS + 1) + j
    down, right = corner + COLUMNS + 1, corner + 1
    is_upper = (x + y <= 1)[..., None]
    triangles = np.where(is_upper, np.stack([corner, down, right], -1), np.stack([right, down, down + 1], -1))
    weights = np.where(is_upper, np.stack([1 - x - y, y, x], -1), np.stack([1 - y, 1 - x, x + y - 1], -1))
    return triangles.astype(np.int32), weights.astype(np.float32)


def _paint_labels() -> np.ndarray:
    """Return the (256, 512) uint8 class ids over longitude and latitude."""
    longitude = (np.arange(512) + 0.5) / 512 * 360 - 180
    latitude = 90 - (np.arange(256) + 0.5) / 256 * 180
    theta, phi = np.meshgrid(longitude, latitude)
    texture = np.full(theta.shape, CLASS_ID["skin"], dtype=np.uint8)

    def paint(name: str, centre: tuple[float, float], size: tuple[float, float]) -> None:
        inside = ((theta - centre[0]) / size[0]) ** 2 + ((phi - centre[1]) / size[1]) ** 2 <= 1
        texture[inside] = CLASS_ID[name]

    texture[(phi > 45) | (np.abs(theta) > 95)] = CLASS_ID["hair"]
    for side, sign in (("l", 1), ("r", -1)):
        paint(f"{side}_ear", (sign * 92, 5), (9, 16))
        paint(f"{side}_brow", (sign * 29, 30), (18, 4))
        paint(f"{side}_eye", (sign * 26, 16), (11, 5))
    paint("nose", (0, 0), (10, 17))
    paint("l_lip", (0, -32), (21, 9))
    texture[(texture == CLASS_ID["l_lip"]) & (phi > -32)] = CLASS_ID["u_lip"]
    paint("mouth", (0, -32), (15, 3))
    return texture
