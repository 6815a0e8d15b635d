"""What a recipe may say about the graphics generator: ranges and shares, all with defaults."""

from dataclasses import dataclass, field
from typing import Any

from synthforge_hf.errors import UsageError

Range = tuple[float, float]


@dataclass(frozen=True)
class CameraSettings:
    """Where the camera stands. Defaults: the paper's ranges (SynthForge, section 3.1) around the head.

    azimuth_deg, elevation_deg, roll_deg: ranges of the camera's direction; azimuth > 0 is the subject's left.
    angle_distribution: "uniform", or "normal" with the range as +-2 standard deviations (cut off there).
    field_of_view_deg: across the image's width.
    distance_m: from the point looked at. With ``keep_framing`` the field of view is meant for 1.08 m and changes with
    the distance so
        that the head fills the same part of the image: near cameras then differ by their perspective only.
    offset_m: how far the point looked at may lie beside the middle of the face, each way.
    """

    azimuth_deg: Range = (-45.8, 45.8)
    elevation_deg: Range = (-45.8, 45.8)
    roll_deg: Range = (0.0, 0.0)
    angle_distribution: str = "uniform"
    field_of_view_deg: Range = (12.0, 27.0)
    distance_m: Range = (1.08, 1.08)
    keep_framing: bool = False
    offset_m: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, "azimuth_deg", -180, 180)
        check_range(self, "elevation_deg", -89, 89)
        check_range(self, "roll_deg", -180, 180)
        check_choice(self, "angle_distribution", ("uniform", "normal"))
        check_range(self, "field_of_view_deg", 2, 120)
        check_range(self, "distance_m", 0.25, 20)
        check_number(self, "offset_m", 0, 0.3)


@dataclass(frozen=True)
class HeadSettings:
    """Who is in front of the camera.

    age: 0 newborn, 0.19 child, 0.5 about 25 years, 1 very old; most samples are adults, ``child_share`` of them
    children.
    feature_spread: standard deviation of the local changes (nose, mouth, eyes, ...), as a share of their full range.
    asymmetry: standard deviation of the difference between left and right, likewise.
    neck_yaw_deg, neck_pitch_deg, neck_roll_deg: ranges of the head's turn on the shoulders.
    """

    age: Range = (0.1, 0.97)
    child_share: float = 0.12
    feature_spread: float = 0.3
    asymmetry: float = 0.1
    neck_yaw_deg: Range = (-20.0, 20.0)
    neck_pitch_deg: Range = (-10.0, 10.0)
    neck_roll_deg: Range = (-10.0, 10.0)

    def __post_init__(self) -> None:
        check_range(self, "age", 0, 1)
        check_number(self, "child_share", 0, 1)
        check_number(self, "feature_spread", 0, 1)
        check_number(self, "asymmetry", 0, 1)
        for name in ("neck_yaw_deg", "neck_pitch_deg", "neck_roll_deg"):
            check_range(self, name, -60, 60)


@dataclass(frozen=True)
class ExpressionSettings:
    """What the face does. neutral_share: samples with closed mouth and relaxed face. strength: scales all actions.
    gaze_deg: how far
    the eyes turn away from straight ahead."""

    neutral_share: float = 0.25
    strength: float = 1.0
    gaze_deg: float = 20.0

    def __post_init__(self) -> None:
        check_number(self, "neutral_share", 0, 1)
        check_number(self, "strength", 0, 1.5)
        check_number(self, "gaze_deg", 0, 35)


@dataclass(frozen=True)
class AppearanceSettings:
    """Skin, hair and clothes. melanin: 0 very light to 1 very dark skin. bald_share, beard_share (of adult men),
    long_hair_share."""

    melanin: Range = (0.0, 1.0)
    bald_share: float = 0.08
    beard_share: float = 0.4
    long_hair_share: float = 0.4
    makeup_share: float = 0.4

    def __post_init__(self) -> None:
        check_range(self, "melanin", 0, 1)
        for name in ("bald_share", "beard_share", "long_hair_share", "makeup_share"):
            check_number(self, name, 0, 1)


@dataclass(frozen=True)
class LightSettings:
    """exposure_stops: brighter or darker than a well exposed photo. directional_share: how much of the light comes
    from one lamp or the
    sun rather than from all around."""

    exposure_stops: Range = (-0.8, 0.6)
    directional_share: Range = (0.05, 0.85)

    def __post_init__(self) -> None:
        check_range(self, "exposure_stops", -5, 5)
        check_range(self, "directional_share", 0, 1)


@dataclass(frozen=True)
class GraphicsSettings:
    """Everything a recipe may set under ``graphics:``. Raises UsageError for values outside what the generator can
    draw."""

    camera: CameraSettings = field(default_factory=CameraSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    expression: ExpressionSettings = field(default_factory=ExpressionSettings)
    appearance: AppearanceSettings = field(default_factory=AppearanceSettings)
    light: LightSettings = field(default_factory=LightSettings)


def check_range(settings: Any, name: str, low: float, high: float) -> None:
    start, stop = getattr(settings, name)
    if not low <= start <= stop <= high:
        raise UsageError(
            f"{name} = [{start}, {stop}] is impossible: give [low, high] with {low} <= low <= high <= {high}"
        )


def check_number(settings: Any, name: str, low: float, high: float) -> None:
    value = getattr(settings, name)
    if not low <= value <= high:
        raise UsageError(f"{name} = {value} is impossible: give a number from {low} to {high}")


def check_choice(settings: Any, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(settings, name)
    if value not in choices:
        raise UsageError(f"{name} = {value!r} is unknown: choose one of {', '.join(choices)}")
