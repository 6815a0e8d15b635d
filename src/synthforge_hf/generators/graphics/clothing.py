"""Clothes: the skin of the torso, pushed outwards below a neckline and under the skin above it."""

from dataclasses import dataclass

import numpy as np

from synthforge_hf.heads.anny import AnnyHead
from synthforge_hf.rendering.mesh import vertex_normals
from synthforge_hf.rendering.shading import Material, ShadedMesh

HIGHEST = -0.095
"""Metres in the mean head's frame: no garment reaches above this."""


@dataclass(frozen=True)
class Garment:
    """neckline: height at the sides of the neck on the mean head, metres. front_drop: how much lower it is in front.
    point: 0 round to
    1 pointed (V-neck). thickness: metres."""

    neckline: float
    front_drop: float
    point: float
    thickness: float


def sample_garment(random: np.random.Generator) -> Garment:
    kind = random.random()
    if kind < 0.15:  # turtleneck, hood or scarf
        return Garment(
            float(random.uniform(-0.135, -0.12)),
            float(random.uniform(0.0, 0.01)),
            0.0,
            float(random.uniform(0.006, 0.012)),
        )
    if kind < 0.55:  # crew neck, shirt
        return Garment(
            float(random.uniform(-0.165, -0.14)),
            float(random.uniform(0.01, 0.045)),
            float(random.uniform(0, 0.3)),
            float(random.uniform(0.004, 0.009)),
        )
    return Garment(
        float(random.uniform(-0.18, -0.15)),
        float(random.uniform(0.04, 0.14)),
        float(random.uniform(0.3, 1.0)),
        float(random.uniform(0.003, 0.009)),
    )


class GarmentCutter:
    """Cuts garments for one head model; holds which part of the body they may cover."""

    def __init__(self, head: AnnyHead) -> None:
        template = head.template
        skin = head.faces[head.parts == head.part_names.index("skin")]
        chosen = skin[(template[skin, 1] < HIGHEST).all(1)]
        self._vertices = np.unique(chosen)
        index = np.full(len(template), -1)
        index[self._vertices] = np.arange(len(self._vertices))
        self._faces = index[chosen].astype(np.int32)
        self._rest = template[self._vertices]
        self._occlusion = head.ambient_occlusion[self._vertices]

    def cut(self, vertices: np.ndarray, normals: np.ndarray, garment: Garment) -> ShadedMesh:
        """Return the garment on a body with these (V, 3) vertices and normals (head frame, metres)."""
        x, y, z = self._rest.T
        # 0 at the neck's sides, 1 in the middle of the chest; the back of the neck stays high.
        front = np.clip((z + 0.11) / 0.06, 0, 1)
        spread = 0.065 * (1 - 0.55 * garment.point)
        shape = np.exp(-(np.abs(x / spread) ** (2 - 0.8 * garment.point)))
        neckline = garment.neckline - garment.front_drop * front * shape
        inside = np.clip((neckline - y) / 0.010, -1, 1)
        offset = np.where(inside > 0, garment.thickness * inside, 0.006 * inside)
        points = (vertices[self._vertices] + normals[self._vertices] * offset[:, None]).astype(np.float32)
        return ShadedMesh(
            points,
            self._faces,
            np.full(len(self._faces), Material.CLOTH, dtype=np.uint8),
            vertex_normals(points, self._faces),
            self._rest[:, :2].astype(np.float32) * 4,
            np.zeros_like(points),
            self._occlusion,
        )
