"""CelebAMask-HQ's 19 classes, the label scheme of the graphics generator. Left and right are the person's own."""

from collections.abc import Sequence

SEGMENTATION_CLASSES: tuple[str, ...] = (
    "background",
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
)  # fmt: skip

CLASS_ID: dict[str, int] = {name: number for number, name in enumerate(SEGMENTATION_CLASSES)}

MIRRORED_CLASSES: tuple[tuple[int, int], ...] = tuple(
    (CLASS_ID[f"l_{part}"], CLASS_ID[f"r_{part}"]) for part in ("eye", "brow", "ear")
)
"""Pairs of class ids that change places when an image is mirrored."""

LAPA_CLASSES: tuple[str, ...] = (
    "background",
    "skin",
    "left_eyebrow",
    "right_eyebrow",
    "left_eye",
    "right_eye",
    "nose",
    "upper_lip",
    "inner_mouth",
    "lower_lip",
    "hair",
)  # fmt: skip
"""LaPa's 11 classes (Liu et al. 2020). Its left is the left side of the image: a frontal face's own right."""

TO_LAPA: dict[str, str] = {
    "skin": "skin",
    "nose": "nose",
    "eye_g": "skin",
    "l_eye": "right_eye",
    "r_eye": "left_eye",
    "l_brow": "right_eyebrow",
    "r_brow": "left_eyebrow",
    "mouth": "inner_mouth",
    "u_lip": "upper_lip",
    "l_lip": "lower_lip",
    "hair": "hair",
}
"""Our class -> LaPa's; every class that is not named here is background there."""


def mirrored_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return the pairs of class ids that change places in a mirrored image, by name: "l_eye" and "r_eye", "left_eye"
    and "right_eye", also with a blank or a hyphen."""
    ids = {name.replace(" ", "_").replace("-", "_").lower(): number for number, name in enumerate(names)}
    pairs = []
    for left, right in (("l_", "r_"), ("left_", "right_")):
        for name, number in ids.items():
            other = ids.get(right + name.removeprefix(left)) if name.startswith(left) else None
            if other is not None:
                pairs.append((number, other))
    return tuple(pairs)
