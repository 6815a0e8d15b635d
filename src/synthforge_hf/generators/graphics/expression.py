"""What the face does: plausible combinations of the 52 ARKit actions, eyes that look somewhere, and the turn of the
head."""

import numpy as np

from synthforge_hf.generators.graphics.identity import childlikeness
from synthforge_hf.generators.graphics.settings import ExpressionSettings, HeadSettings
from synthforge_hf.heads.anny import PHENOTYPES, AnnyHead
from synthforge_hf.heads.base import HeadCoefficients

Actions = dict[str, tuple[float, float]]

# Each mouth shape: action -> (low, high). "Left"/"Right" pairs are written once, without the side.
MOUTHS: dict[str, tuple[float, Actions]] = {
    "closed": (2.0, {"mouthPress": (0, 0.3), "mouthSmile": (0, 0.15)}),
    "slight smile": (2.0, {"mouthSmile": (0.15, 0.6), "mouthStretch": (0, 0.25), "cheekSquint": (0, 0.3)}),
    "wide smile": (
        5.5,
        {
            "mouthSmile": (0.5, 1.0),
            "mouthUpperUp": (0.4, 1.0),
            "mouthLowerDown": (0.2, 1.0),
            "mouthStretch": (0.2, 1.0),
            "cheekSquint": (0.2, 0.8),
            "eyeSquint": (0.0, 0.6),
            "jawOpen": (0.0, 0.25),
        },
    ),
    "laugh": (
        2.2,
        {
            "mouthSmile": (0.5, 1.0),
            "jawOpen": (0.15, 0.6),
            "mouthStretch": (0.2, 0.9),
            "mouthUpperUp": (0.3, 1.0),
            "mouthLowerDown": (0.2, 0.8),
            "eyeSquint": (0.1, 0.7),
            "cheekSquint": (0.3, 0.9),
        },
    ),
    "speech": (
        2.0,
        {
            "jawOpen": (0.05, 0.4),
            "mouthFunnel": (0, 0.4),
            "mouthLowerDown": (0, 0.4),
            "mouthUpperUp": (0, 0.3),
            "mouthRollLower": (0, 0.2),
        },
    ),
    "surprise": (1.0, {"jawOpen": (0.2, 0.7), "mouthFunnel": (0, 0.4)}),
    "shout": (
        1.3,
        {"jawOpen": (0.3, 0.9), "mouthUpperUp": (0.2, 0.6), "mouthLowerDown": (0.2, 0.7), "mouthStretch": (0, 0.5)},
    ),
    "pucker": (0.7, {"mouthPucker": (0.3, 1.0), "mouthFunnel": (0, 0.3)}),
    "frown": (0.8, {"mouthFrown": (0.2, 0.9), "mouthShrugLower": (0, 0.5), "mouthPress": (0, 0.4)}),
    "disgust": (0.4, {"noseSneer": (0.3, 1.0), "mouthUpperUp": (0.2, 0.7), "mouthFrown": (0, 0.4)}),
    "stretch": (0.3, {"mouthStretch": (0.3, 1.0), "mouthLowerDown": (0.2, 0.7)}),
}
BROWS: dict[str, tuple[float, Actions]] = {
    "relaxed": (3.0, {}),
    "raised": (1.3, {"browInnerUp": (0.2, 0.9), "browOuterUp": (0.2, 0.9)}),
    "worried": (0.6, {"browInnerUp": (0.3, 1.0)}),
    "lowered": (1.2, {"browDown": (0.2, 0.9)}),
}
EYES: dict[str, tuple[float, Actions]] = {
    "open": (5.0, {}),
    "wide": (0.6, {"eyeWide": (0.1, 0.7)}),
    "narrow": (1.3, {"eyeSquint": (0.2, 0.9), "eyeBlink": (0.0, 0.25)}),
    "lowered lids": (0.6, {"eyeBlink": (0.2, 0.55)}),
    "shut": (0.45, {"eyeBlink": (0.9, 1.0)}),
}
SMALL_BLINK = 0.2
"""Up to here the lids of no eye meet."""
FULL_GAZE_DEG = 30.0
"""Turn of the eyeball at a full eyeLook action."""


def sample_expression(
    head: AnnyHead, settings: ExpressionSettings, random: np.random.Generator
) -> tuple[np.ndarray, str]:
    """Return ((E,) float32 actions in [0, 1], a short name of the expression)."""
    values = dict.fromkeys(head.expression_names, 0.0)
    neutral = random.random() < settings.neutral_share
    chosen = ["neutral"]
    mouth, brows, eyes = (_choose(group, random) for group in (MOUTHS, BROWS, EYES))
    skew = random.normal(0, 0.15, size=8)
    if not neutral:
        for group, name in ((MOUTHS, mouth), (BROWS, brows), (EYES, eyes)):
            strength = random.uniform(0.6, 1.12) * settings.strength
            for number, (action, (low, high)) in enumerate(group[name][1].items()):
                amount = random.uniform(low, high) * (strength if not action.startswith("eyeBlink") else 1.0)
                _add(
                    values,
                    action,
                    amount,
                    float(skew[number % len(skew)]) if not action.startswith("eyeBlink") else 0.0,
                )
        if random.random() < 0.15:
            side = "Left" if random.random() < 0.5 else "Right"
            _add(values, "mouth" + side, random.uniform(0.1, 0.7) * settings.strength, 0.0)
            _add(values, "jaw" + side, random.uniform(0.0, 0.4) * settings.strength, 0.0)
        chosen = [mouth, brows, eyes]
    _add(values, "eyeBlink", max(random.normal(0.0, 0.06), 0), 0.0)  # lids at rest differ
    for side in ("Left", "Right"):
        # Lids that are down cannot be squeezed as well: they would pass through each other.
        for action in ("eyeSquint", "eyeWide", "cheekSquint"):
            values[action + side] *= 1 - min(values["eyeBlink" + side], 1.0)
    horizontal, vertical = np.clip(
        random.normal(0, settings.gaze_deg / 2, size=2), -settings.gaze_deg, settings.gaze_deg
    )
    _look(values, float(horizontal) / FULL_GAZE_DEG, 0.6 * float(vertical) / FULL_GAZE_DEG)
    actions = np.array([values[name] for name in head.expression_names], dtype=np.float32)
    return np.clip(actions, 0, 1), ", ".join(chosen)


def fit_expression(head: AnnyHead, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Return the expression as far as this face can take it: actions are lengths on a grown-up's face, so that small
    faces need less of them, and the lids of narrow eyes meet earlier."""
    expression = expression * np.float32(1 - 0.45 * childlikeness(float(identity[PHENOTYPES.index("age")])))
    columns = [head.expression_names.index("eyeBlink" + side) for side in ("Right", "Left")]
    blinks = expression[columns]
    if (blinks < SMALL_BLINK).all():
        return expression
    pose = np.zeros((len(head.joint_names), 3), dtype=np.float32)
    limited = expression.copy()
    limited[columns] = 0
    gaps = _lid_gaps(head, head.vertices(HeadCoefficients(identity, limited, pose)))
    # Blinks add to the shape, whoever it is of: the gap closes in proportion.
    shut = np.zeros_like(expression)
    shut[columns] = 1
    closed_by = -_lid_gaps(head, head.expression_displacement(shut))
    meeting = (gaps / np.maximum(closed_by, 1e-4)).min(1)
    limited[columns] = np.clip(blinks * np.clip(meeting, 0.1, 1), 0, 1)
    return limited


def _lid_gaps(head: AnnyHead, vertices: np.ndarray) -> np.ndarray:
    """(2, 2) metres from lower to upper lid, at two places each of the right and the left eye, of (V, 3) vertices; of
    displacements: by how much the gaps widen."""
    model = head.landmark_model
    lids = np.array([[37, 41], [38, 40], [43, 47], [44, 46]])
    heights = (vertices[model.triangles[lids], 1] * model.barycentric[lids]).sum(-1)
    return (heights[:, 0] - heights[:, 1]).reshape(2, 2)


def sample_pose(head: AnnyHead, settings: HeadSettings, random: np.random.Generator) -> np.ndarray:
    """Return the (J, 3) float32 joint rotations: the head's turn, shared between neck and head joint."""
    pose = np.zeros((len(head.joint_names), 3), dtype=np.float32)
    ranges = (settings.neck_pitch_deg, settings.neck_yaw_deg, settings.neck_roll_deg)
    turn = np.radians([_bell(low, high, random) for low, high in ranges])
    pose[head.joint_names.index("neck")] = 0.5 * turn
    pose[head.joint_names.index("head")] = 0.5 * turn
    return pose


def _bell(low: float, high: float, random: np.random.Generator) -> float:
    """Normal with the range as +-2 standard deviations, cut off there."""
    middle, spread = 0.5 * (low + high), 0.25 * (high - low)
    return float(np.clip(random.normal(middle, spread), low, high)) if spread else middle


def _choose(group: dict[str, tuple[float, Actions]], random: np.random.Generator) -> str:
    shares = np.array([share for share, _ in group.values()])
    return str(random.choice(list(group), p=shares / shares.sum()))


def _add(values: dict[str, float], action: str, amount: float, skew: float) -> None:
    if action in values:
        values[action] += amount
        return
    values[action + "Left"] += amount * (1 + skew)
    values[action + "Right"] += amount * (1 - skew)


def _look(values: dict[str, float], left: float, up: float) -> None:
    """Turn both eyes; left > 0 is the subject's left."""
    horizontal = ("Out", "In") if left > 0 else ("In", "Out")
    values[f"eyeLook{horizontal[0]}Left"] += abs(left)
    values[f"eyeLook{horizontal[1]}Right"] += abs(left)
    for side in ("Left", "Right"):
        values[f"eyeLook{'Up' if up > 0 else 'Down'}{side}"] += abs(up)
