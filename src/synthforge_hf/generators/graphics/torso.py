"""The body below the neck as clothes see it: the torso, lengthened where the mesh of the head model ends."""

import numpy as np
import torch

from synthforge_hf.heads.anny import AnnyHead
from synthforge_hf.rendering.mesh import cross
from synthforge_hf.rendering.rasterize import rasterize

HIGHEST = -0.095
"""Metres in the mean head's frame: no garment reaches above this."""
RINGS = 6
CELL = 0.003
LEFT, TOP, COLUMNS, ROWS = -0.3, -0.08, 200, 180


class Torso:
    """Torso, upper arms and what is added to them, of one head model.

    faces: (F, 3) into the points of ``points``. rest: (N, 3) those of the mean head. uv: (N, 2) of the chart.
    occlusion: (N,). arms: (F,) bool, the added parts of the arms.
    """

    def __init__(self, head: AnnyHead, chart_uv: np.ndarray) -> None:
        template = head.template
        skin = head.faces[head.parts == head.part_names.index("skin")]
        chosen = skin[(template[skin, 1] < HIGHEST).all(1)]
        self._vertices = np.unique(chosen)
        index = np.full(len(template), -1)
        index[self._vertices] = np.arange(len(self._vertices))
        self._loops = [loop for loop in boundary_loops(chosen) if template[loop, 1].mean() < -0.3]
        faces, uv, added = [index[chosen]], [chart_uv[self._vertices]], [np.zeros(len(chosen), dtype=bool)]
        occlusion = [head.ambient_occlusion[self._vertices]]
        start = len(self._vertices)
        for loop in self._loops:
            count = len(loop)
            ring = np.concatenate([index[loop], start + np.arange(RINGS * count)]).reshape(RINGS + 1, count)
            here, below = ring[:-1], ring[1:]
            right, below_right = np.roll(here, -1, 1), np.roll(below, -1, 1)
            new = np.concatenate(
                [
                    np.stack([here, below, right], -1).reshape(-1, 3),
                    np.stack([right, below, below_right], -1).reshape(-1, 3),
                ]
            )
            faces.append(new)
            uv.append(np.tile(chart_uv[loop], (RINGS, 1)))
            occlusion.append(np.tile(head.ambient_occlusion[loop], RINGS))
            added.append(np.full(len(new), abs(template[loop, 0].mean()) > 0.1))
            start += RINGS * count
        self.faces = np.concatenate(faces).astype(np.int32)
        self.uv = np.concatenate(uv).astype(np.float32)
        self.occlusion = np.concatenate(occlusion).astype(np.float32)
        self.arms = np.concatenate(added)
        self.rest = self.points(template)
        self._seen, self._weights = self._from_the_front()

    def points(self, vertices: np.ndarray) -> np.ndarray:
        """(V, 3) vertices of a person -> (N, 3) float32 points, head frame, metres."""
        points = [vertices[self._vertices]]
        for loop in self._loops:
            edge = vertices[loop].astype(np.float64)
            centre = edge.mean(0)
            spokes = edge - centre
            axis = cross(spokes, np.roll(spokes, -1, 0)).sum(0)
            axis /= np.linalg.norm(axis)
            size = np.linalg.norm(spokes, axis=1).mean()
            arm = abs(centre[0]) > 0.3 * size + 0.02
            axis *= np.sign(axis[0] * centre[0]) if arm else -np.sign(axis[1])
            # Arms bend down from the shoulder, the trunk goes straight down; the last ring closes the end.
            share = (np.arange(1, RINGS + 1) / (RINGS - 1))[:, None]
            share[-1] = 1.0
            bend = 0.35 + 0.55 * share if arm else np.ones((RINGS, 1))
            width = 1 - 0.25 * share if arm else np.ones((RINGS, 1))
            bend[-1], width[-1] = 0.8 if arm else 1.0, 0.01
            way = (1 - bend) * axis + bend * np.array([0.0, -1.0, 0.0])
            middle = centre + way * share * size * (3.2 if arm else 2.2)
            points.append((middle[:, None] + spokes * width[:, None]).reshape(-1, 3))
        return np.concatenate(points).astype(np.float32)

    def _from_the_front(self) -> tuple[np.ndarray, np.ndarray]:
        """(ROWS, COLUMNS) triangle seen at each place of the mean body's front, and (ROWS, COLUMNS, 3) weights."""
        seen = np.stack([self.rest[:, 0], -self.rest[:, 1], 2.0 - self.rest[:, 2]], axis=1)
        intrinsics = np.array([[1 / CELL, 0, -LEFT / CELL], [0, 1 / CELL, TOP / CELL], [0, 0, 1]], dtype=np.float32)
        fragments = rasterize(
            torch.from_numpy(np.ascontiguousarray(seen))[None],
            torch.from_numpy(self.faces),
            torch.from_numpy(intrinsics)[None],
            ROWS,
            COLUMNS,
            orthographic=True,
        )
        return fragments.triangle[0].numpy(), fragments.barycentric[0].numpy()

    def front(self, points: np.ndarray, normals: np.ndarray, places: np.ndarray, lift: np.ndarray) -> np.ndarray:
        """Points of the front of a person's body. points, normals: (N, 3). places: (..., 2) x and y on the mean body,
        metres. lift: (...) metres above the skin. Returns (..., 3)."""
        column = np.clip((places[..., 0] - LEFT) / CELL - 0.5, 0, COLUMNS - 1.01)
        row = np.clip((TOP - places[..., 1]) / CELL - 0.5, 0, ROWS - 1.01)
        left, top = column.astype(int), row.astype(int)
        across, down = (column - left)[..., None], (row - top)[..., None]
        total = np.zeros((*places.shape[:-1], 3))
        outward = np.zeros_like(total)
        for rows, vertical in ((top, 1 - down), (top + 1, down)):
            for columns, horizontal in ((left, 1 - across), (left + 1, across)):
                triangle, weights = self._seen[rows, columns], self._weights[rows, columns]
                share = vertical * horizontal
                total += share * np.einsum("...k,...ka->...a", weights, points[self.faces[triangle]])
                outward += share * np.einsum("...k,...ka->...a", weights, normals[self.faces[triangle]])
        return total + outward * np.asarray(lift)[..., None]


def boundary_loops(faces: np.ndarray) -> list[np.ndarray]:
    """The closed edges of a mesh, each as its vertices in the faces' own direction."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    present = set(map(tuple, edges.tolist()))
    following = {a: b for a, b in present if (b, a) not in present}
    loops = []
    while following:
        start, current = following.popitem()
        loop = [start]
        while current != start and current in following:
            loop.append(current)
            current = following.pop(current)
        loops.append(np.array(loop))
    return sorted(loops, key=lambda loop: int(loop.min()))


def clip_faces(faces: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cut a mesh along the line where a value per vertex is zero, and keep where it is above.

    faces: (F, 3). inside: (N,). Returns the kept faces, where indices from N on are new points; for these the (M, 2)
    vertices they lie between and the (M,) share of the second; and the (E, 2) edges of the cut.
    """
    kept = inside[faces] > 0
    number = kept.astype(np.int8) @ np.ones(3, np.int8)
    new_faces, ends, edges = [faces[number == 3]], [], []
    start = len(inside)
    for wanted in (1, 2):
        chosen, flags = faces[number == wanted], kept[number == wanted]
        single = flags.argmax(1) if wanted == 1 else (~flags).argmax(1)
        rows = np.arange(len(chosen))
        lone, second, third = (chosen[rows, (single + step) % 3] for step in range(3))
        first_cut, last_cut = start + rows, start + len(rows) + rows
        ends += [np.stack([lone, second], 1), np.stack([lone, third], 1)]
        start += 2 * len(rows)
        if wanted == 1:
            new_faces.append(np.stack([lone, first_cut, last_cut], 1))
            edges.append(np.stack([first_cut, last_cut], 1))
        else:
            new_faces += [np.stack([first_cut, second, third], 1), np.stack([first_cut, third, last_cut], 1)]
            edges.append(np.stack([last_cut, first_cut], 1))
    between = np.concatenate(ends)
    low, high = inside[between[:, 0]], inside[between[:, 1]]
    return np.concatenate(new_faces), between, low / (low - high), np.concatenate(edges)
