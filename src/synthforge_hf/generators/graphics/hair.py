"""Hair as a surface grown from the scalp: close to the skin or standing off it, ending at a hairline, hanging down
where it is long.

The head carries a grid of points around the crown (``AnnyHead.hair_triangles``). Each column of the hair starts at the
crown, follows the scalp to the hairline and, for long hair, goes on downwards. Beyond the hairline the surface dips
under the skin, so that the visible edge is a smooth line.
"""

from dataclasses import dataclass

import numpy as np

from synthforge_hf.heads.anny import AnnyHead
from synthforge_hf.rendering.mesh import vertex_normals
from synthforge_hf.rendering.shading import Material, ShadedMesh

SCALP_ROWS, HANGING_ROWS = 30, 20
LAST_ANGLE_DEG = 150.0
# Polar angle of the hairline (from the crown) over the angle around the head (0 = forehead, 180 = nape), degrees.
HAIRLINE = np.array(
    [
        (0, 74),
        (25, 73),
        (42, 75),
        (58, 82),
        (70, 95),
        (79, 107),
        (86, 100),
        (93, 93),
        (110, 95),
        (125, 112),
        (150, 120),
        (180, 125),
    ]
)


@dataclass(frozen=True)
class HairStyle:
    """Lengths in metres, angles in degrees.

    name: "bald", "buzz", "short", "curly", "medium" or "long". volume_top, volume_side: how far the surface stands off
    the scalp.
    hairline: shift of the forehead hairline, down is positive. recession: how far the temples have gone up. fringe:
    how far bangs reach below the hairline. length: of the hanging part. opening: angle around the head where hanging
    hair begins. lumps: roughness of the surface as a share of the volume. wave: sideways waves of hanging hair.
    """

    name: str
    volume_top: float = 0.0
    volume_side: float = 0.0
    hairline: float = 0.0
    recession: float = 0.0
    fringe: float = 0.0
    length: float = 0.0
    opening: float = 75.0
    lumps: float = 0.15
    wave: float = 0.0


def sample_hair_style(
    gender: float, age: float, bald_share: float, long_share: float, random: np.random.Generator
) -> HairStyle:
    """gender, age as in the head's phenotypes; the shares are those of all samples, given to the likelier ones
    first."""
    male = gender > 0.5
    if (male and age > 0.5 and random.random() < 2 * bald_share) or age < 0.03:
        return HairStyle("bald")
    hairline = float(random.normal(0, 3.5))
    recession = float(max(random.normal(0, 4) + (14 * max(age - 0.5, 0) + 3 if male else 0), 0))
    fringe = float(random.uniform(5, 15)) if random.random() < (0.2 if male else 0.35) else 0.0
    common = {"hairline": hairline, "recession": recession, "fringe": fringe}
    if random.random() < long_share * (0.25 if male else 1.75):
        length = float(random.uniform(0.07, 0.34))
        return HairStyle(
            "long" if length > 0.16 else "medium",
            volume_top=float(random.uniform(0.008, 0.024)),
            volume_side=float(random.uniform(0.012, 0.034)),
            length=length,
            opening=float(random.choice([random.uniform(58, 80), random.uniform(82, 100), random.uniform(108, 122)])),
            lumps=float(random.uniform(0.06, 0.2)),
            wave=float(random.choice([0.0, random.uniform(0.002, 0.010)])),
            **common,
        )
    kind = random.random()
    if kind < (0.22 if male else 0.06):
        volume = float(random.uniform(0.0015, 0.004))
        return HairStyle("buzz", volume, volume, hairline=hairline, recession=recession, lumps=0.05)
    if kind < 0.36:
        volume = float(random.uniform(0.018, 0.05))
        return HairStyle("curly", volume, volume * float(random.uniform(0.5, 1.0)), lumps=0.3, **common)
    side = float(random.uniform(0.003, 0.012 if male else 0.018))
    return HairStyle(
        "short", float(random.uniform(0.008, 0.03)), side, lumps=float(random.uniform(0.08, 0.25)), **common
    )


def grow_hair(head: AnnyHead, vertices: np.ndarray, style: HairStyle, random: np.random.Generator) -> ShadedMesh | None:
    """Return the hair on a head with these (V, 3) vertices (head frame, metres), or None for a bald one."""
    if style.name == "bald":
        return None
    scalp = np.einsum("rcka,rck->rca", vertices[head.hair_triangles], head.hair_barycentric)
    rows, columns = scalp.shape[:2]
    around = np.degrees(np.linspace(0, 2 * np.pi, columns, endpoint=False))
    away = np.minimum(around, 360 - around)
    line, blunt = _hairline(away, style, random)

    share = np.linspace(0, 1.1, SCALP_ROWS)[:, None]
    row = np.clip(share * line / LAST_ANGLE_DEG * (rows - 1), 0, rows - 1.001)
    lower = row.astype(int)
    fraction = (row - lower)[..., None]
    index = np.arange(columns)
    base = scalp[lower, index] * (1 - fraction) + scalp[lower + 1, index] * fraction
    centre = scalp[: rows * 2 // 3].reshape(-1, 3).mean(0)
    outward = base - centre
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)

    volume = style.volume_side + (style.volume_top - style.volume_side) * np.clip(1.35 - share * line / 75.0, 0, 1)
    lumps = 1 + style.lumps * _smooth_noise(SCALP_ROWS, columns, 5 if style.name != "curly" else 11, random)
    end = np.where(blunt, 0.45, 0.0)
    taper = np.where(share < 1, end + (1 - end) * np.clip((1 - share) / 0.22, 0, 1) ** 0.6, -1)
    offset = np.where(taper >= 0, volume * lumps * taper + 0.0012, -0.004)
    # Bangs end above the skin instead of dipping into it.
    offset = np.where(blunt & (taper < 0), 0.003, offset)
    grid = base + outward * offset[..., None]

    if style.length > 0:
        grid = _hang(grid, around, away, style, random)
    return _mesh(grid, style)


def _hairline(away: np.ndarray, style: HairStyle, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(C,) polar angle at which each column ends, and (C,) bool where it ends in bangs."""
    line = np.interp(away, HAIRLINE[:, 0], HAIRLINE[:, 1])
    front = np.clip(1 - away / 65, 0, 1)
    temples = np.exp(-(((away - 38) / 14) ** 2))
    line = line + style.hairline * np.minimum(front * 2, 1) - style.recession * (temples + 0.35 * front)
    blunt = np.zeros(len(away), dtype=bool)
    if style.fringe > 0:
        reach = style.fringe * np.clip((62 - away) / 14, 0, 1)
        line = line + reach
        blunt = reach > 0.3 * style.fringe
    jitter = random.normal(0, 0.8, len(away))
    return line + np.where(blunt, 2.5 * jitter, jitter), blunt


def _hang(
    grid: np.ndarray, around: np.ndarray, away: np.ndarray, style: HairStyle, random: np.random.Generator
) -> np.ndarray:
    """Let the columns at the sides and the back fall down from where the head is widest."""
    columns = grid.shape[1]
    hanging = np.clip((away - style.opening) / 6, 0, 1)
    start = int(0.80 * SCALP_ROWS)
    upper = grid[:start]
    anchor = grid[start]
    direction = np.stack([np.sin(np.radians(around)), np.zeros(columns), np.cos(np.radians(around))], axis=1)
    step = np.linspace(0, 1, HANGING_ROWS)[:, None]
    ends = style.length * (1 + 0.08 * random.normal(size=columns))
    drop = step * ends
    phase = random.uniform(0, 2 * np.pi) + 0.35 * np.arange(columns)
    # Out over the ear first, then slowly in towards the neck.
    flare = style.volume_side * (0.6 + 0.5 * np.sin(np.pi * np.clip(step * 1.4, 0, 1)))
    inward = -0.25 * np.clip(step - 0.15, 0, 1) * (0.4 + 0.6 * (away / 180)) * 0.10
    wave = style.wave * np.sin(drop / 0.018 + phase) * step
    radial = flare + inward + wave
    fall = anchor[None] + direction[None] * radial[..., None]
    fall[..., 1] -= drop
    # Columns that do not hang keep their short end; the two meet in a quick transition.
    lower_short = grid[start:]
    count = len(lower_short)
    stretched = lower_short[np.minimum((step[:, 0] * count).astype(int), count - 1)]
    weight = hanging[None, :, None]
    return np.concatenate([upper, np.where(weight > 0.5, fall, stretched)])


def _smooth_noise(rows: int, columns: int, cells: int, random: np.random.Generator) -> np.ndarray:
    """(rows, columns) noise of unit spread, periodic over the columns, with features a ``cells``-th of the grid
    wide."""
    coarse = random.normal(size=(cells + 2, 2 * cells))
    row = np.linspace(0, cells, rows)
    column = np.linspace(0, 2 * cells, columns, endpoint=False)
    r0, c0 = row.astype(int), column.astype(int)
    fr, fc = _ease(row - r0)[:, None], _ease(column - c0)[None]
    r1, c1 = r0 + 1, (c0 + 1) % (2 * cells)
    above = coarse[np.ix_(r0, c0)] * (1 - fc) + coarse[np.ix_(r0, c1)] * fc
    below = coarse[np.ix_(r1, c0)] * (1 - fc) + coarse[np.ix_(r1, c1)] * fc
    return above * (1 - fr) + below * fr


def _ease(t: np.ndarray) -> np.ndarray:
    return t * t * (3 - 2 * t)


def _mesh(grid: np.ndarray, style: HairStyle) -> ShadedMesh:
    rows, columns = grid.shape[:2]
    closed = np.concatenate([grid, grid[:, :1]], axis=1)  # one more column, so that u can run from 0 to 1
    vertices = closed.reshape(-1, 3).astype(np.float32)
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    first = (r * (columns + 1) + c).ravel()
    down, right = first + columns + 1, first + 1
    faces = np.concatenate([np.stack([first, down, right], 1), np.stack([right, down, down + 1], 1)]).astype(np.int32)
    normals = vertex_normals(vertices, faces)
    # The seam's two copies of a vertex share their normal.
    pairs = normals.reshape(rows, columns + 1, 3).copy()
    pairs[:, 0] = pairs[:, -1] = pairs[:, 0] + pairs[:, -1]
    pairs[0] = pairs[0].sum(0)
    pairs /= np.maximum(np.linalg.norm(pairs, axis=-1, keepdims=True), 1e-9)
    strands = np.gradient(closed, axis=0)
    length = np.linalg.norm(np.diff(closed, axis=0), axis=-1).mean(1)
    along = np.concatenate([[0], np.cumsum(length)]) / 0.10
    uv = np.stack(np.broadcast_arrays(np.linspace(0, 1, columns + 1)[None], along[:, None]), axis=-1)
    tip = np.linspace(0, 1, rows)[:, None] * np.ones((1, columns + 1))
    occlusion = np.clip(1.0 - 0.35 * np.clip(tip - 0.45, 0, 1), 0, 1)
    if style.name in ("long", "medium"):
        occlusion = np.clip(1.0 - 0.3 * np.clip(tip - 0.5, 0, 1), 0, 1)
    return ShadedMesh(
        vertices,
        faces,
        np.full(len(faces), Material.HAIR, dtype=np.uint8),
        pairs.reshape(-1, 3).astype(np.float32),
        uv.reshape(-1, 2).astype(np.float32),
        strands.reshape(-1, 3).astype(np.float32),
        occlusion.ravel().astype(np.float32),
    )
