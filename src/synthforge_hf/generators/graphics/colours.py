"""Colours of skin, hair, eyes and clothes, as linear RGB reflectances."""

import colorsys

import numpy as np

LIGHT_SKIN = np.array([232, 190, 168])
MEDIUM_SKIN = np.array([180, 124, 92])
DARK_SKIN = np.array([62, 38, 29])
HAIR_COLOURS = {
    "black": (18, 15, 14),
    "dark brown": (42, 28, 20),
    "brown": (78, 52, 34),
    "light brown": (118, 84, 54),
    "blond": (186, 148, 98),
    "platinum": (214, 196, 160),
    "red": (128, 58, 28),
    "grey": (142, 140, 138),
    "white": (214, 212, 208),
}
IRIS_COLOURS = {
    "dark brown": (48, 27, 17),
    "brown": (92, 54, 28),
    "hazel": (112, 88, 48),
    "green": (96, 112, 74),
    "blue": (96, 128, 160),
    "grey": (120, 130, 136),
}


def linear(srgb: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """sRGB in 0..255 -> linear RGB in 0..1."""
    value = np.asarray(srgb, dtype=np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def skin_colour(melanin: float, blood: float, warmth: float) -> np.ndarray:
    """Reflectance of skin. melanin: 0 very light to 1 very dark; blood: about -1 pale to 1 flushed; warmth: about -1
    pink to 1 olive.

    The logarithm of the reflectance is what pigment adds up in, so the stops are interpolated there.
    """
    stops = np.log(np.stack([linear(LIGHT_SKIN), linear(MEDIUM_SKIN), linear(DARK_SKIN)]))
    base = np.array([np.interp(melanin, [0, 0.5, 1], stops[:, channel]) for channel in range(3)])
    base += blood * np.array([0.03, -0.10, -0.08]) + warmth * np.array([-0.02, 0.03, -0.09])
    return np.exp(base)


def individual_typology_angle(reflectance: np.ndarray) -> float:
    """ITA in degrees of a linear RGB reflectance: atan((L* - 50) / b*); above 55 very light, below -30 dark."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ reflectance
    _, y, z = np.cbrt(xyz / np.array([0.9505, 1.0, 1.089]))
    return float(np.degrees(np.arctan2(116 * y - 16 - 50, 200 * (y - z))))


def sample_hair_colour(melanin: float, age: float, random: np.random.Generator) -> tuple[str, np.ndarray]:
    """Darker hair with darker skin, grey with age; a few dyed."""
    if random.random() < 0.04:
        return "dyed", linear(
            np.array(colorsys.hsv_to_rgb(random.random(), random.uniform(0.4, 0.9), random.uniform(0.3, 0.8))) * 255
        )
    if random.random() < np.clip(2.4 * (age - 0.68), 0, 0.8):
        name = str(random.choice(["grey", "white"]))
    elif melanin > 0.45:
        name = str(random.choice(["black", "dark brown", "brown"], p=[0.75, 0.2, 0.05]))
    else:
        name = str(
            random.choice(
                ["black", "dark brown", "brown", "light brown", "blond", "platinum", "red"],
                p=[0.22, 0.24, 0.2, 0.14, 0.12, 0.03, 0.05],
            )
        )
    return name, linear(HAIR_COLOURS[name]) * np.exp(random.normal(0, 0.12, 3) * 0.5 + random.normal(0, 0.15))


def sample_iris(melanin: float, random: np.random.Generator) -> tuple[str, np.ndarray]:
    shares = [0.7, 0.25, 0.05, 0, 0, 0] if melanin > 0.4 else [0.22, 0.25, 0.15, 0.1, 0.2, 0.08]
    name = str(random.choice(list(IRIS_COLOURS), p=shares))
    return name, linear(IRIS_COLOURS[name]) * np.exp(random.normal(0, 0.2))


def sample_cloth_colour(random: np.random.Generator) -> np.ndarray:
    """Mostly black, white, grey and muted colours, some bright ones."""
    kind = random.random()
    if kind < 0.3:
        return np.full(3, random.uniform(0.008, 0.05))
    if kind < 0.5:
        return np.full(3, random.uniform(0.45, 0.85)) * np.array([1, random.uniform(0.95, 1), random.uniform(0.9, 1)])
    saturation = random.uniform(0.1, 0.55) if kind < 0.85 else random.uniform(0.5, 0.95)
    return linear(np.array(colorsys.hsv_to_rgb(random.random(), saturation, random.uniform(0.15, 0.9))) * 255)
