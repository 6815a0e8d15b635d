"""Which hair a person has: how long, how it lies, what colours it mixes."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class HairTones:
    """How the colour of clumps differs. spread: relative, from clump to clump. highlights: share of lighter clumps, and
    how much lighter they are. tips: factor on the colour at the tips. grey: share of grey clumps."""

    spread: float = 0.12
    highlights: float = 0.0
    highlight_gain: float = 1.0
    tips: float = 1.0
    grey: float = 0.0


@dataclass(frozen=True)
class HairStyle:
    """Lengths in metres, angles in degrees.

    name: "bald", "buzz", "short", "messy", "swept back", "curly", "afro", "bob", "long", "wavy", "bun" or "ponytail".
    volume_top, volume_side: how far hair stands off the scalp; lumps: roughness of that, as a share.
    hairline: shift of the hairline at the forehead, down is positive. recession: how far the temples have gone up.
    bare_crown: polar angle down to which the top is bare (0: none).
    flow: how hair lies: "crown" (away from the crown), "parting", "sweep" (to one side), "back" or "tied".
    parting: azimuth of the parting, or for a sweep its side. strand: length of clumps on the head; width: of clumps.
    disorder: spread of their directions. lift: how far tips stand off. curl, curl_wave: radius and length of a turn.
    fringe: how far bangs reach below the hairline; fringe_sweep: their slant. opening: azimuth from which hair falls.
    length: of what falls; forward, inward: see ``hair_ground.lay_ground``; wave: of falling hair, amplitude;
    layers: by how much falling clumps differ in length, as a share. tie: polar angle of the knot at the back.
    """

    name: str
    volume_top: float = 0.006
    volume_side: float = 0.004
    lumps: float = 0.15
    hairline: float = 0.0
    recession: float = 0.0
    bare_crown: float = 0.0
    flow: str = "crown"
    parting: float = 0.0
    strand: float = 0.05
    width: float = 0.0025
    disorder: float = 8.0
    lift: float = 0.0
    curl: float = 0.0
    curl_wave: float = 0.02
    fringe: float = 0.0
    fringe_sweep: float = 0.0
    opening: float = 75.0
    length: float = 0.0
    forward: float = 0.0
    inward: float = 0.0
    wave: float = 0.0
    layers: float = 0.15
    tie: float = 0.0
    tones: HairTones = field(default_factory=HairTones)

    @property
    def falls(self) -> bool:
        return self.length > 0


def sample_hair_style(
    gender: float, age: float, bald_share: float, long_share: float, random: np.random.Generator
) -> HairStyle:
    """gender, age as in the head's phenotypes. bald_share, long_share: of all samples, given to the likelier ones
    first; long is what reaches the jaw, or would untied."""
    male = gender > 0.5
    if age < 0.03 or (male and age > 0.5 and random.random() < 2 * bald_share):
        return HairStyle("bald")
    style = _cut(male, age, long_share, random)
    hairline = float(random.normal(2.0, 3.5))
    recession = float(max(random.normal(0, 4) + (16 * max(age - 0.5, 0) + 3 if male else 0), 0))
    bare = 0.0
    if male and age > 0.55 and style.name in ("buzz", "short") and random.random() < 0.22:
        bare, recession = float(random.uniform(35, 62)), float(random.uniform(14, 26))
    return replace(
        style, hairline=hairline, recession=recession, bare_crown=bare, tones=_sample_tones(male, age, random)
    )


def _cut(male: bool, age: float, long_share: float, random: np.random.Generator) -> HairStyle:
    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    def one_of(*names: str, p: list[float]) -> str:
        return names[int(random.choice(len(names), p=p))]

    if age < 0.12:  # a baby's down
        return HairStyle("short", between(0.002, 0.006), between(0.0015, 0.003), 0.05, strand=0.03, width=0.002)
    if random.random() < min(long_share * (0.25 if male else 1.75), 0.95):
        name = one_of("bob", "long", "wavy", "bun", "ponytail", p=[0.2, 0.32, 0.36, 0.07, 0.05])
        return sample_cut(name, random, male)
    names = ("buzz", "short", "messy", "swept back", "curly", "afro")
    return sample_cut(
        one_of(*names, p=[0.13, 0.42, 0.17, 0.13, 0.1, 0.05] if male else [0.03, 0.43, 0.18, 0.12, 0.16, 0.08]),
        random,
        male,
    )


def sample_cut(name: str, random: np.random.Generator, male: bool = False) -> HairStyle:
    """Draw a style of the given name, as one person would wear it."""

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    side = float(random.choice([-1, 1]))
    parting = side * between(10, 38)
    fringe = between(6, 15) if random.random() < (0.25 if male else 0.42) else 0.0
    sweep = side * between(15, 60) if random.random() < 0.65 else between(-8, 8)
    shag: dict[str, Any] = {}
    bangs: dict[str, Any] = {"fringe": fringe, "fringe_sweep": sweep, "parting": parting}
    if name == "bald":
        return HairStyle("bald")
    if name == "buzz":
        volume = between(0.0012, 0.0035)
        return HairStyle(
            "buzz", volume, volume * between(0.5, 1), 0.04, strand=0.005, width=0.0008, disorder=60, lift=0.0015
        )
    if name == "short":
        flow = str(random.choice(["parting", "sweep", "crown"], p=[0.5, 0.3, 0.2]))
        shag = _over_ears(random) if random.random() < (0.2 if male else 0.5) else {}
        return HairStyle(
            "short",
            between(0.020, 0.062),
            # What hangs over the ears stands off like wings if it is thick there.
            between(0.006, 0.012) if shag else between(0.010, 0.030),
            between(0.08, 0.22),
            flow=flow,
            strand=between(0.03, 0.06),
            width=between(0.0018, 0.0032),
            disorder=between(6, 16),
            lift=between(0, 0.003),
            **shag,
            **bangs,
        )
    if name == "messy":
        shag = _over_ears(random) if random.random() < 0.3 else {}
        return HairStyle(
            "messy",
            between(0.022, 0.052),
            between(0.008, 0.014) if shag else between(0.010, 0.030),
            between(0.2, 0.35),
            flow=str(random.choice(["sweep", "crown"])),
            strand=between(0.03, 0.055),
            width=between(0.0022, 0.0042),
            disorder=between(25, 50),
            lift=between(0.004, 0.012),
            **shag,
            **bangs,
        )
    if name == "swept back":
        return HairStyle(
            "swept back",
            between(0.016, 0.054),
            between(0.006, 0.020),
            between(0.06, 0.18),
            flow="back",
            strand=between(0.06, 0.09),
            width=between(0.002, 0.0035),
            disorder=between(4, 14),
        )
    if name == "curly":
        volume = between(0.024, 0.058)
        return HairStyle(
            "curly",
            volume,
            volume * between(0.5, 0.9),
            between(0.2, 0.3),
            strand=between(0.03, 0.06),
            width=between(0.002, 0.0034),
            disorder=60,
            lift=between(0.002, 0.006),
            curl=between(0.004, 0.007),
            curl_wave=between(0.018, 0.032),
            **bangs | {"fringe": fringe * 0.7},
        )
    if name == "afro":
        volume = between(0.030, 0.080)
        return HairStyle(
            "afro",
            volume,
            volume * between(0.65, 1.0),
            between(0.05, 0.12),
            strand=between(0.015, 0.03),
            width=between(0.0018, 0.003),
            disorder=180,
            lift=0.006,
            curl=between(0.0025, 0.004),
            curl_wave=between(0.008, 0.014),
        )
    if name in ("bun", "ponytail"):
        return HairStyle(
            name,
            between(0.006, 0.028),
            between(0.004, 0.012),
            between(0.05, 0.15),
            flow="tied",
            strand=between(0.07, 0.10),
            width=between(0.002, 0.003),
            disorder=between(3, 9),
            tie=between(20, 95),
            **bangs if random.random() < 0.5 else {},
        )
    falling = HairStyle(
        name,
        between(0.018, 0.058),
        between(0.022, 0.066),
        between(0.06, 0.2),
        flow="parting",
        strand=between(0.06, 0.09),
        width=between(0.0025, 0.004),
        disorder=between(4, 11),
        opening=float(random.choice([between(32, 50), between(50, 64), between(86, 110)], p=[0.65, 0.22, 0.13])),
        length=between(0.19, 0.38),
        forward=between(-0.4, 1.2),
        inward=between(-0.12, 0.06),
        layers=between(0.05, 0.35),
        **bangs | {"parting": float(random.choice([parting, between(-8, 8)], p=[0.7, 0.3]))},
    )
    if name == "bob":
        return replace(
            falling,
            volume_side=between(0.016, 0.045),
            opening=between(34, 60),
            length=between(0.09, 0.18),
            inward=between(0.0, 0.35),
            layers=between(0.03, 0.2),
        )
    if name == "wavy":
        curly = random.random() < 0.35
        return replace(
            falling,
            wave=between(0.004, 0.011),
            volume_side=between(0.032, 0.08),
            curl=between(0.004, 0.009) if curly else 0.0,
            curl_wave=between(0.025, 0.05),
            disorder=between(8, 16),
        )
    return falling


def _over_ears(random: np.random.Generator) -> dict[str, Any]:
    """Short hair whose sides hang over the ears."""
    return {
        "length": float(random.uniform(0.03, 0.07)),
        "opening": float(random.uniform(50, 70)),
        "inward": float(random.uniform(0.3, 0.7)),
        "layers": float(random.uniform(0.2, 0.6)),
    }


def _sample_tones(male: bool, age: float, random: np.random.Generator) -> HairTones:
    dyed = age > 0.35 and random.random() < (0.05 if male else 0.3)
    greying = age > 0.6 and random.random() < 2.2 * (age - 0.55)
    return HairTones(
        spread=float(random.uniform(0.06, 0.2)),
        highlights=float(random.uniform(0.1, 0.4)) if dyed else float(random.uniform(0, 0.1)),
        highlight_gain=float(random.uniform(1.5, 3.0)) if dyed else 1.3,
        tips=float(random.uniform(1.2, 2.4)) if dyed and random.random() < 0.5 else float(random.uniform(0.9, 1.25)),
        grey=float(random.uniform(0.05, 0.5)) if greying else 0.0,
    )
