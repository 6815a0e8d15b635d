"""Things computed once on the base mesh: ambient occlusion, shortened eyelashes, where hair grows."""

import numpy as np
import warp as wp
from jaw_contour import ray_hits

HAIR_CENTRE = np.array([0.0, 0.015, -0.085])
"""Head frame, metres: the middle of the skull, from which the scalp grid is cast."""
HAIR_ROWS, HAIR_COLUMNS = 46, 96
HAIR_LAST_ANGLE = np.radians(150.0)


@wp.kernel
def _occlusion(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    reach: float,
    result: wp.array(dtype=float),
):
    i = wp.tid()
    normal = normals[i]
    origin = points[i] + normal * 0.0008
    opened = float(0.0)
    total = float(0.0)
    for k in range(directions.shape[0]):
        weight = wp.dot(directions[k], normal)
        if weight > 0.05:
            query = wp.mesh_query_ray(mesh, origin, directions[k], reach)
            total += weight
            if not query.result:
                opened += weight
            else:
                opened += weight * wp.min(query.t / reach, 1.0) * 0.7
    result[i] = opened / wp.max(total, 1.0e-6)


def ambient_occlusion(vertices: np.ndarray, triangles: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(V,) share of the surroundings (within 8 cm, nearer weighs more) that each vertex sees, 0 to 1."""
    count = 256
    k = np.arange(count) + 0.5
    z, angle = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - z * z)
    directions = np.stack([ring * np.cos(angle), z, ring * np.sin(angle)], axis=1)
    result = wp.zeros(len(vertices), dtype=float, device="cpu")
    mesh = wp.Mesh(
        wp.array(vertices, dtype=wp.vec3, device="cpu"), wp.array(triangles.ravel(), dtype=int, device="cpu")
    )
    inputs = [wp.array(values, dtype=wp.vec3, device="cpu") for values in (vertices, normals, directions)]
    wp.launch(_occlusion, dim=len(vertices), inputs=[mesh.id, *inputs, 0.08], outputs=[result], device="cpu")
    return result.numpy()


def shorten_lashes(vertices: np.ndarray, lash: np.ndarray, skin: np.ndarray, keep: float) -> np.ndarray:
    """(V, 3) displacement that draws each lash vertex towards the nearest skin vertex, leaving ``keep`` of its length.

    The base mesh's lashes are opaque plates; short ones read as a dark lash line.
    """
    result = np.zeros_like(vertices)
    for index in lash:
        nearest = skin[np.linalg.norm(vertices[skin] - vertices[index], axis=1).argmin()]
        result[index] = (1 - keep) * (vertices[nearest] - vertices[index])
    return result


def hair_directions() -> np.ndarray:
    """(rows, columns, 3) unit vectors: row 0 at the crown, angle from it growing evenly; column 0 over the forehead,
    then to the
    subject's left, once around."""
    tilt = np.radians(14.0)  # the crown lies a little behind the top
    polar = np.linspace(0.02, HAIR_LAST_ANGLE, HAIR_ROWS)[:, None]
    azimuth = np.linspace(0, 2 * np.pi, HAIR_COLUMNS, endpoint=False)[None]
    x = np.sin(polar) * np.sin(azimuth)
    z = np.sin(polar) * np.cos(azimuth)
    y = np.cos(polar) * np.ones_like(azimuth)
    return np.stack([x, y * np.cos(tilt) + z * np.sin(tilt), z * np.cos(tilt) - y * np.sin(tilt)], axis=-1)


def hair_roots(
    vertices: np.ndarray, skin: np.ndarray, ears: np.ndarray, rest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cast the grid onto the head. Returns (rows, columns, 3) vertex indices and barycentric weights.

    skin: (F, 3) triangles, met from inside. Where the skin has a hole, ``ears`` count (innermost hit), else ``rest``
    (eyes, mouth).
    """
    directions = hair_directions()
    rows, columns = directions.shape[:2]
    index = np.zeros((rows, columns, 3), dtype=np.int32)
    weight = np.zeros((rows, columns, 3), dtype=np.float32)
    for row, column in np.ndindex(rows, columns):
        for pool, which in ((skin, -1), (ears, 0), (rest, -1)):
            hits = ray_hits(vertices, pool, HAIR_CENTRE, directions[row, column])
            if hits:
                _, face, weights = hits[which]
                index[row, column], weight[row, column] = pool[face], weights
                break
        else:
            raise SystemExit(f"no surface at row {row}, column {column} of the hair grid")
    return index, weight
