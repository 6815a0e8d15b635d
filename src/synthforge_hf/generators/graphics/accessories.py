"""What one person wears and holds: drawn by chance, fitted, and described for the attributes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from synthforge_hf.generators.graphics.clothing import Wardrobe, sample_outfit
from synthforge_hf.generators.graphics.fitting import HeadFitter
from synthforge_hf.generators.graphics.glasses import build_glasses, sample_glasses
from synthforge_hf.generators.graphics.headwear import build_headwear, sample_headwear
from synthforge_hf.generators.graphics.jewellery import build_earrings, build_necklace, sample_jewellery
from synthforge_hf.generators.graphics.occluders import build_occluder, sample_occluder
from synthforge_hf.generators.graphics.parts import Part
from synthforge_hf.generators.graphics.settings import AccessorySettings
from synthforge_hf.generators.graphics.torso import Torso
from synthforge_hf.heads.anny import AnnyHead

Stream = Callable[[str], np.random.Generator]
"""Purpose -> its random numbers."""


@dataclass(frozen=True)
class Worn:
    """parts: clothes and accessories. hair: the hair's parts, tucked under what is on the head. description: for the
    attributes."""

    parts: list[Part]
    hair: list[Part]
    description: dict[str, str]


class Dresser:
    """Dresses people of one head model; holds what is the same for all of them.

    chart_uv: (V, 2) float32 chart coordinates of the head's vertices.
    """

    def __init__(self, head: AnnyHead, chart_uv: np.ndarray) -> None:
        self._fitter = HeadFitter(head)
        self._wardrobe = Wardrobe(Torso(head, chart_uv))

    def dress(
        self,
        vertices: np.ndarray,
        hair: list[Part],
        gender: float,
        age: float,
        skin: np.ndarray,
        settings: AccessorySettings,
        stream: Stream,
    ) -> Worn:
        """vertices: (V, 3) head frame, metres. gender, age: as in the head's phenotypes. skin: (3,) linear RGB."""
        fit = self._fitter.fit(vertices)
        outfit = sample_outfit(gender, age, stream("clothes"))
        clothes = self._wardrobe.dress(vertices, fit, outfit)
        parts = list(clothes)

        headwear = sample_headwear(age, settings.headwear_share, stream("headwear"))
        if headwear is not None:
            hat, tuck = build_headwear(fit, headwear)
            parts += hat
            hair = [replace(part, mesh=replace(part.mesh, vertices=tuck(part.mesh.vertices))) for part in hair]

        occluder = sample_occluder(settings.occluder_share, skin, stream("occluder"))
        # A mask and frames would run through each other; with dark lenses and a hand nothing of the face would be left.
        glasses_share = 0.0 if occluder is not None and occluder.name == "mask" else settings.glasses_share
        sunglasses_share = 0.0 if occluder is not None else settings.sunglasses_share
        random = stream("glasses")
        glasses = sample_glasses(age, glasses_share, sunglasses_share, random)
        if glasses is not None:
            parts += build_glasses(fit, glasses, random)

        jewellery = sample_jewellery(gender, age, settings.earrings_share, settings.necklace_share, stream("jewellery"))
        if headwear is not None and headwear.covers_neck:
            jewellery = replace(jewellery, earrings="none", necklace="none")
        if outfit.has_collar:
            jewellery = replace(jewellery, necklace="none")
        parts += build_earrings(fit, jewellery)
        parts += build_necklace(vertices, fit, jewellery, [part.mesh for part in clothes])

        if occluder is not None:
            parts += build_occluder(fit, occluder, outfit.colours[0])
        description = {
            "clothes": outfit.name,
            "headwear": "none" if headwear is None else headwear.name,
            "glasses": "none" if glasses is None else glasses.name,
            "glasses_shape": "none" if glasses is None else glasses.shape,
            "glasses_lens": "none" if glasses is None else glasses.lens,
            "earrings": jewellery.earrings,
            "necklace": jewellery.necklace,
            "occluder": "none" if occluder is None else occluder.name,
        }
        return Worn(parts, hair, description)
