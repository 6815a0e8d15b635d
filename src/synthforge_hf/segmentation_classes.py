"""CelebAMask-HQ's 19 classes, the label scheme of the graphics generator. Left and right are the person's own."""

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
