"""Beards: stubble painted on the skin where each kind of beard grows, and ribbons of hair on it where it is longer.

In CelebAMask-HQ a beard is skin, wherever it hangs. So its ribbons are labelled skin, but only from ``LABELLED_LENGTH``
on: shorter ones follow the skin so closely that the labels underneath, lips included, stay what one sees.
"""

from dataclasses import dataclass

import numpy as np

from synthforge_hf.generators.graphics.chart import BOTTOM, TOP, Chart, chart_coordinates
from synthforge_hf.generators.graphics.hair import GREY
from synthforge_hf.generators.graphics.hair_strands import Strands, ribbons, unit
from synthforge_hf.heads.anny import AnnyHead
from synthforge_hf.randomness import random_stream
from synthforge_hf.rendering.shading import ShadedMesh

KINDS = ("full", "goatee", "moustache", "chin strap", "sideburns")
LABELLED_LENGTH = 0.010
"""Metres from which on a beard hides what is behind it in the labels, too."""
SHORTEST = 0.002
ROOTS = 9000
STEPS = 6
BEARD_CHANNEL = 1
# Height of the jaw's edge on the mean head, metres, over the angle from straight ahead in the chart, radians.
JAW_HEIGHT = np.array([0.0, 0.2, 0.35, 0.75, 0.95]), np.array([-0.107, -0.104, -0.098, -0.075, -0.045])


@dataclass(frozen=True)
class BeardStyle:
    """kind: "none" or one of ``KINDS``. density: of the stubble, 0 to 1. length: of the hair on the chin, metres; 0 is
    shaved. moustache: length of the moustache as a share of that. disorder: spread of directions, radians. curl:
    likewise, of bends. grey: share of grey hair. number: of clumps."""

    kind: str = "none"
    density: float = 0.0
    length: float = 0.0
    moustache: float = 0.5
    disorder: float = 0.2
    curl: float = 0.0
    grey: float = 0.0
    number: int = 0


def sample_beard(gender: float, age: float, share: float, random: np.random.Generator) -> BeardStyle:
    """gender, age as in the head's phenotypes. share: of grown men who do not shave closely."""
    grown_man = gender > 0.55 and age > 0.42
    chance, kind = random.random(), str(random.choice(KINDS, p=[0.56, 0.18, 0.12, 0.08, 0.06]))
    if not grown_man or chance > share:
        return BeardStyle()
    if random.random() < 0.45:  # a few days' stubble
        return BeardStyle("full" if random.random() < 0.8 else kind, float(random.uniform(0.12, 0.55)))
    length = float(np.exp(random.uniform(np.log(0.003), np.log(0.045 if kind in ("full", "goatee") else 0.014))))
    return BeardStyle(
        kind,
        density=float(random.uniform(0.45, 0.95)),
        length=length,
        moustache=float(random.uniform(0.25, 0.9)),
        disorder=float(random.uniform(0.12, 0.4)),
        curl=float(random.uniform(0.0, 0.5)),
        grey=float(np.clip(1.6 * (age - 0.6), 0, 0.7) * random.random()),
        number=int(random.uniform(900, 1500)),
    )


class BeardGrower:
    """Grows beards on one head model; holds where their roots are."""

    def __init__(self, head: AnnyHead, chart: Chart) -> None:
        template, beard = head.template, chart.masks[..., BEARD_CHANNEL]
        skin = head.faces[head.parts == head.part_names.index("skin")]
        skin = skin[_mask_at(beard, chart_coordinates(template))[skin].max(1) > 0.3]
        corners = template[skin]
        doubled = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        area = np.cumsum(doubled)
        random = random_stream(0, 0, "beard roots")
        triangles = skin[np.searchsorted(area, random.random(ROOTS) * area[-1])]
        weights = random.dirichlet((1, 1, 1), ROOTS)
        place = chart_coordinates(np.einsum("nka,nk->na", template[triangles], weights))
        kept = _mask_at(beard, place) > 0.5
        self._triangles, self._weights = triangles[kept], weights[kept].astype(np.float32)
        self._place = place[kept]
        self._shares = chart.masks
        self._masks: dict[str, np.ndarray] = {}

    def masks(self, kind: str) -> np.ndarray:
        """Return the chart's masks as uint8 shares, with the beard's channel limited to where this kind grows."""
        if kind not in self._masks:
            masks = self._shares.copy()
            if kind not in ("none", "full"):
                height, width = masks.shape[:2]
                row, column = np.nonzero(masks[..., BEARD_CHANNEL])
                place = np.stack([(column + 0.5) / width, (row + 0.5) / height], axis=-1)
                masks[row, column, BEARD_CHANNEL] *= np.minimum(2 * relative_length(place, kind, 1.0), 1)
            self._masks[kind] = np.rint(255 * np.clip(masks, 0, 1)).astype(np.uint8)
        return self._masks[kind]

    def grow(
        self,
        vertices: np.ndarray,
        normals: np.ndarray,
        style: BeardStyle,
        colour: np.ndarray,
        random: np.random.Generator,
    ) -> ShadedMesh | None:
        """Return the ribbons on a head with these (V, 3) vertices and normals (head frame, metres), None where the
        beard is too short for any. colour: (3,) linear reflectance of the hair."""
        if style.length < SHORTEST:
            return None
        length = style.length * relative_length(self._place, style.kind, style.moustache)
        growing = np.flatnonzero(length > 0.4 * SHORTEST)
        chosen = growing[random.permutation(len(growing))[: style.number]]
        number = len(chosen)
        triangles, weights = self._triangles[chosen], self._weights[chosen][..., None]
        roots = (vertices[triangles] * weights).sum(1)
        normal = unit((normals[triangles] * weights).sum(1))

        # Down along the skin and to the sides, bending to the ground further out.
        sideways = np.clip(roots[:, :1] / 0.02, -1, 1) * np.array([[0.45, 0.0, 0.0]])
        wish = np.array([0.0, -1.0, 0.0]) + sideways + style.disorder * random.normal(size=(number, 3))
        flat = unit(wish - (wish * normal).sum(1, keepdims=True) * normal)
        along = np.linspace(0, 1, STEPS)
        rise = (0.75 * (1 - along) ** 1.5 + 0.12)[:, None] * normal[:, None]
        bends = style.curl * np.cumsum(random.normal(0, 0.5, (number, STEPS, 3)), axis=1)
        direction = unit(flat[:, None] + rise + along[:, None] * np.array([0.0, -0.6, 0.0]) + bends)
        step = length[chosen] * random.uniform(0.6, 1.2, number) / (STEPS - 1)
        points = roots[:, None] - 0.0005 * normal[:, None] + np.cumsum(direction * step[:, None, None], axis=1)
        layer = random.random(number)
        tint = 0.9 * np.exp(0.18 * random.normal(size=(number, 1, 1)))
        grey = np.clip(style.grey * random.uniform(0, 2, (number, 1, 1)), 0, 1)
        tint = tint + grey * (GREY / np.maximum(colour, 1e-3) - 1)
        return ribbons(
            Strands(
                points,
                np.broadcast_to(normal[:, None], points.shape),
                np.minimum(0.0006 + 0.05 * style.length, 0.002) * random.uniform(0.6, 1.4, number),
                0.55 + 0.45 * layer,
                np.broadcast_to(tint, (number, STEPS, 3)),
                np.radians(40) * random.normal(size=number),
            ),
            random,
        )


def relative_length(place: np.ndarray, kind: str, moustache: float) -> np.ndarray:
    """Length of a kind of beard at (..., 2) chart coordinates, as a share of that on the chin; 0 where none grows.

    moustache: that share on the upper lip.
    """
    angle = np.abs(place[..., 0] - 0.5) * 2 * np.pi
    height = TOP - place[..., 1] * (TOP - BOTTOM)
    upper_lip = _ramp(-0.066, -0.058, height) * _ramp(0.34, 0.24, angle)
    chin = _ramp(0.42, 0.28, angle) * _ramp(-0.066, -0.074, height)
    above_jaw = height - np.interp(angle, *JAW_HEIGHT)
    strap = _ramp(0.026, 0.016, above_jaw)
    sideburn = _ramp(0.68, 0.78, angle)
    cheek = 0.3 + 0.35 * _ramp(0.04, 0.0, above_jaw)
    lower = {
        "full": np.maximum(chin, cheek),
        "goatee": np.maximum(chin, 0.7 * _ramp(0.30, 0.24, angle) * _ramp(0.12, 0.18, angle)),
        "moustache": np.zeros_like(chin),
        "chin strap": 0.8 * strap,
        "sideburns": 0.8 * sideburn,
    }[kind]
    on_lip = 0.0 if kind in ("chin strap", "sideburns") else moustache if kind != "moustache" else 1.0
    return np.where(upper_lip > 0.5, on_lip, lower * (1 - upper_lip))


def _ramp(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 at ``low``, 1 at ``high``, smooth between (also where high is the smaller)."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _mask_at(mask: np.ndarray, place: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    column = np.minimum((place[..., 0] * width).astype(int), width - 1)
    row = np.minimum((place[..., 1] * height).astype(int), height - 1)
    return np.asarray(mask[row, column])
