"""Earrings and necklaces."""

import colorsys
from dataclasses import dataclass

import numpy as np

from synthforge_hf.generators.graphics.fitting import HeadFit
from synthforge_hf.generators.graphics.parts import Part
from synthforge_hf.generators.graphics.solids import Solid, circle, ellipsoid, join, shaded, sweep
from synthforge_hf.rendering.shading import ShadedMesh
from synthforge_hf.segmentation_classes import CLASS_ID

EARRINGS = ("stud", "hoop", "drop", "chandelier")
NECKLACES = ("chain", "beads", "pendant", "choker")
METALS = ((0.62, 0.42, 0.14), (0.6, 0.6, 0.6), (0.55, 0.33, 0.24), (0.05, 0.05, 0.05))
UP, FORWARD, LEFT = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])


@dataclass(frozen=True)
class JewelleryStyle:
    """earrings, necklace: "none" or a name above. sides: which ears have one. size, length: metres. colours: (2, 3)
    linear RGB of metal and stones. turn: radians of hoops about the vertical."""

    earrings: str
    necklace: str
    sides: tuple[str, ...]
    size: float
    length: float
    colours: np.ndarray
    turn: float


def sample_jewellery(
    gender: float, age: float, earrings_share: float, necklace_share: float, random: np.random.Generator
) -> JewelleryStyle:
    """The shares are those of women; of men and children a fifth wear any."""
    factor = 1.0 if gender < 0.5 and age > 0.3 else 0.2
    wears_earrings = random.random() < earrings_share * factor
    wears_necklace = random.random() < necklace_share * factor
    earrings = str(random.choice(EARRINGS, p=[0.25, 0.3, 0.3, 0.15] if factor == 1.0 else [0.75, 0.2, 0.05, 0.0]))
    necklace = str(random.choice(NECKLACES, p=[0.4, 0.2, 0.3, 0.1]))
    alone = factor < 1.0 and random.random() < 0.5
    metal = np.array(METALS[random.choice(len(METALS), p=[0.4, 0.4, 0.12, 0.08])]) * random.uniform(0.7, 1.2)
    stone = np.array(colorsys.hsv_to_rgb(random.random(), random.uniform(0, 0.9), random.uniform(0.1, 1.0))) ** 2.2
    return JewelleryStyle(
        earrings if wears_earrings else "none",
        necklace if wears_necklace else "none",
        (str(random.choice(["left", "right"])),) if alone else ("left", "right"),
        float(random.uniform(0.0045, 0.011)),
        float(random.uniform(0.018, 0.06)),
        np.clip(np.stack([metal, stone]), 0.01, 0.9),
        float(random.uniform(0, np.pi)),
    )


def build_earrings(fit: HeadFit, style: JewelleryStyle) -> list[Part]:
    """Hung from the lowest point of each ear."""
    if style.earrings == "none":
        return []
    solids = []
    metal, stone = style.colours
    size, length = style.size, style.length
    # Straight down, however the head is held.
    down = -(UP @ fit.rotation)
    for side in style.sides:
        sign = 1.0 if side == "left" else -1.0
        ear = fit.points[fit.fitter.ears[side]]
        lobe = ear[ear[:, 1] < ear[:, 1].min() + 0.005 * fit.scale]
        hole = lobe[np.abs(lobe[:, 0]).argmax()] + np.array([sign * 0.0012, 0.0, 0.0])
        if style.earrings == "stud":
            solids.append(ellipsoid(hole, (0.6 * size, size, size), stone, 0.9, 7))
            continue
        if style.earrings == "hoop":
            radius = 0.45 * length
            angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            across = np.cos(0.5 * style.turn) * FORWARD + np.sin(0.5 * style.turn) * LEFT * sign
            centre = hole + down * radius
            ring = centre + radius * (np.cos(angle)[:, None] * across - np.sin(angle)[:, None] * down)
            axis = np.cross(across, down)
            solids.append(sweep(ring, circle(0.0013 + 0.15 * size, 6), metal, 0.95, axis, closed=True))
            continue
        wire = hole + down * np.linspace(-0.001, length, 4)[:, None]
        solids.append(sweep(wire, circle(0.0008, 5), metal, 0.9, FORWARD))
        solids.append(ellipsoid(hole, (0.002, 0.0025, 0.0025), metal, 0.9, 5))
        beads = [(1.0, 1.0)] if style.earrings == "drop" else [(0.35, 0.6), (0.6, 0.8), (0.85, 1.0), (1.1, 0.8)]
        for place, factor in beads:
            bead = hole + down * (place * length + 0.4 * size)
            width = size * factor * (0.75 if style.earrings == "drop" else 1.0)
            colour = stone if style.earrings == "drop" else metal + (stone - metal) * (place > 0.5)
            solids.append(ellipsoid(bead, (width, 1.3 * size * factor, width), colour, 0.9, 7))
    return [Part(shaded(fit.place(join(solids))), CLASS_ID["ear_r"])]


def build_necklace(
    head_vertices: np.ndarray, fit: HeadFit, style: JewelleryStyle, garments: list[ShadedMesh]
) -> list[Part]:
    """Laid around the neck, over the skin and whatever is worn. head_vertices: (V, 3) head frame, metres."""
    if style.necklace == "none":
        return []
    fit = fit.neck
    surfaces = [(head_vertices, fit.outer_faces)] + [(mesh.vertices, mesh.faces) for mesh in garments]
    offsets = np.cumsum([0] + [len(points) for points, _ in surfaces[:-1]])
    points = fit.to_local(np.concatenate([points for points, _ in surfaces]))
    faces = np.concatenate([faces + offset for (_, faces), offset in zip(surfaces, offsets, strict=True)])
    surface = fit.wrap(points, faces)
    metal, stone = style.colours
    count = 96
    azimuth = np.linspace(-np.pi, np.pi, count, endpoint=False)
    front = 0.5 + 0.5 * np.cos(azimuth)
    if style.necklace == "choker":
        polar = np.full(count, np.radians(88.0))
    else:
        low = np.radians(112) + 5 * (style.length - 0.015) + (0.1 if style.necklace == "pendant" else 0.0)
        polar = np.radians(82) + (low - np.radians(82)) * front**1.2
    thickness = {"choker": 0.0045, "beads": 0.0012, "chain": 0.0007 + 0.15 * style.size, "pendant": 0.0010}[
        style.necklace
    ]
    radius = fit.look_up(surface, azimuth, polar) + thickness
    for _ in range(2):
        radius = np.maximum(radius, 0.5 * (np.roll(radius, 1) + np.roll(radius, -1)))
    path = fit.ray(azimuth, polar, radius)
    solids: list[Solid] = [sweep(path, circle(thickness, 6), metal, 0.9, UP, closed=True)]
    if style.necklace == "beads":
        bead = 0.8 * style.size
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
        places = np.arange(0, length[-1], 2.1 * bead)
        spots = np.stack([np.interp(places, length, path[:, axis]) for axis in range(3)], axis=1)
        spots = spots[spots[:, 2] > fit.skull_centre[2] - 0.02]
        solids += [ellipsoid(spot, (bead, bead, bead), stone, 0.8, 5) for spot in spots]
    if style.necklace == "pendant":
        middle = path[count // 2]
        drop = fit.ray(
            np.zeros(1), np.array([low + 0.03]), fit.look_up(surface, np.zeros(1), np.array([low + 0.03])) + 0.003
        )
        solids.append(ellipsoid(0.5 * (middle + drop[0]), (1.2 * style.size, 1.6 * style.size, 0.003), stone, 0.9, 8))
    return [Part(shaded(fit.place(join(solids))), CLASS_ID["neck_l"])]
