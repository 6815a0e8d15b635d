# mypy: ignore-errors
# (Kernels are read by Warp's compiler, whose types are not Python's.)

"""The Warp kernels of ``shading``: which points of a pixel's surfaces are shaded, and how they add up.

Imported on first use only, because importing Warp takes a third of a second.
"""

import warp as wp

from synthforge_hf.rendering.coverage_kernels import SUBPIXELS
from synthforge_hf.rendering.material_kernels import (  # noqa: F401 (the vectors are the textures' types)
    HAIR,
    Light,
    PackedVertex,
    Paint,
    Surface,
    shade_point,
    vec4b,
    vec4ub,
)
from synthforge_hf.rendering.rasterize_kernels import EMPTY, NEAREST, corner_weights

wp.set_module_options({"enable_backward": False, "fast_math": False, "fuse_fp": False})

SAME_SURFACE = wp.constant(0.004)
"""Metres between the depths of samples that may count as one smooth surface."""
SAME_HAIR = wp.constant(0.008)
"""The same for hair."""
TONE_STEPS = wp.constant(8192.0)
"""Steps of the tone table per unit of linear light."""


@wp.func
def share_surface(
    surface: wp.array(dtype=Surface),
    scene: int,
    first_key: wp.int64,
    other_key: wp.int64,
    first: int,
    other: int,
    material: int,
) -> bool:
    """Whether two samples of a pixel lie on one smooth piece of surface, so that shading it once is enough."""
    if first == other:
        return True
    if int(surface[scene].material[other]) != material:
        return False
    first_nearness = wp.cast(wp.int32(NEAREST) - wp.int32(first_key >> wp.int64(32)), wp.float32)
    other_nearness = wp.cast(wp.int32(NEAREST) - wp.int32(other_key >> wp.int64(32)), wp.float32)
    # Locks of hair lie over each other by more than other surfaces bend within a pixel.
    limit = wp.where(material == HAIR, SAME_HAIR, SAME_SURFACE)
    return wp.abs(first_nearness - other_nearness) < limit * first_nearness * first_nearness


@wp.func
def point_weights(
    surface: wp.array(dtype=Surface), scene: int, a: int, b: int, c: int, x: wp.int64, y: wp.int64
) -> wp.vec3f:
    """Weights of a triangle's corners, kept inside: a mean of samples may lie a little outside."""
    w = corner_weights(
        surface[scene].screen[0, a],
        surface[scene].screen[0, b],
        surface[scene].screen[0, c],
        surface[scene].weight[0, a],
        surface[scene].weight[0, b],
        surface[scene].weight[0, c],
        x,
        y,
    )
    w = wp.vec3f(wp.clamp(w[0], 0.0, 1.0), wp.clamp(w[1], 0.0, 1.0), wp.clamp(w[2], 0.0, 1.0))
    return w * (1.0 / (w[0] + w[1] + w[2]))


@wp.func
def shade_sample(
    surface: wp.array(dtype=Surface),
    scene: int,
    f: int,
    x: wp.int64,
    y: wp.int64,
    paint: wp.array(dtype=Paint),
    light: wp.array(dtype=Light),
) -> wp.vec3f:
    """Colour of triangle f at a point of the sub-pixel grid."""
    a = surface[scene].faces[f, 0]
    b = surface[scene].faces[f, 1]
    c = surface[scene].faces[f, 2]
    w = point_weights(surface, scene, a, b, c, x, y)
    at = surface[scene].vertex[a] * w[0] + surface[scene].vertex[b] * w[1] + surface[scene].vertex[c] * w[2]
    return shade_point(
        int(surface[scene].material[f]),
        wp.vec3f(at[0], at[1], at[2]),
        wp.vec3f(at[3], at[4], at[5]),
        wp.vec2f(at[6], at[7]),
        wp.vec3f(at[8], at[9], at[10]),
        at[11],
        wp.vec4f(at[12], at[13], at[14], at[15]),
        paint,
        light,
        scene,
    )


@wp.func
def shade_pixel(
    keys: wp.array3d(dtype=wp.int64),
    scene: int,
    column: int,
    row: int,
    surface: wp.array(dtype=Surface),
    paint: wp.array(dtype=Paint),
    light: wp.array(dtype=Light),
    behind: wp.vec3f,
) -> wp.vec3f:
    """Linear light of one pixel from 2x2 samples; those on one smooth surface are shaded once, at their mean."""
    step = wp.int64(SUBPIXELS)
    total = wp.vec3f(0.0, 0.0, 0.0)
    counted = int(0)
    for i in range(4):
        if (counted & (1 << i)) == 0:
            key = keys[scene, 2 * row + i / 2, 2 * column + i % 2]
            across = int(i % 2)
            down = int(i / 2)
            share = int(1)
            if key == EMPTY:
                for j in range(i + 1, 4):
                    if keys[scene, 2 * row + j / 2, 2 * column + j % 2] == EMPTY:
                        counted = counted | (1 << j)
                        share += 1
                total += behind * (float(share) * 0.25)
            else:
                f = int(key & wp.int64(0xFFFFFFFF))
                material = int(surface[scene].material[f])
                for j in range(i + 1, 4):
                    if (counted & (1 << j)) == 0:
                        other = keys[scene, 2 * row + j / 2, 2 * column + j % 2]
                        if other != EMPTY:
                            if share_surface(
                                surface, scene, key, other, f, int(other & wp.int64(0xFFFFFFFF)), material
                            ):
                                counted = counted | (1 << j)
                                share += 1
                                across += j % 2
                                down += j / 2
                x = wp.int64(2 * column) * step + step / wp.int64(2) + wp.int64(across) * step / wp.int64(share)
                y = wp.int64(2 * row) * step + step / wp.int64(2) + wp.int64(down) * step / wp.int64(share)
                total += shade_sample(surface, scene, f, x, y, paint, light) * (
                    float(share) * 0.25 * light[scene].exposure
                )
    return total


@wp.kernel
def shade(
    keys: wp.array3d(dtype=wp.int64),
    surface: wp.array(dtype=Surface),
    paint: wp.array(dtype=Paint),
    light: wp.array(dtype=Light),
    background: wp.array3d(dtype=wp.vec3f),
    num_slices: wp.int32,
    colour: wp.array3d(dtype=wp.vec3f),
):
    """Linear light of the pictures, each of a scene of its own. One thread shades every num_slices-th pixel of a row:
    Warp copies the structs into each thread, which on a CPU costs as much as shading a pixel.
    """
    scene, row, part = wp.tid()
    for column in range(part, background.shape[2], num_slices):
        behind = background[scene, row, column]
        if (
            keys[scene, 2 * row, 2 * column] == EMPTY
            and keys[scene, 2 * row, 2 * column + 1] == EMPTY
            and keys[scene, 2 * row + 1, 2 * column] == EMPTY
            and keys[scene, 2 * row + 1, 2 * column + 1] == EMPTY
        ):
            colour[scene, row, column] = behind
        else:
            colour[scene, row, column] = shade_pixel(keys, scene, column, row, surface, paint, light, behind)


@wp.kernel
def look_through(
    keys: wp.array3d(dtype=wp.int64),
    behind: wp.array3d(dtype=wp.int64),
    surface: wp.array(dtype=Surface),
    paint: wp.array(dtype=Paint),
    light: wp.array(dtype=Light),
    colour: wp.array3d(dtype=wp.vec3f),
):
    """Tint what lies behind see-through surfaces and add what they mirror; one evaluation for a pixel's 2x2 samples."""
    scene, row, column = wp.tid()
    share = float(0.0)
    f = int(-1)
    for i in range(4):
        key = keys[scene, 2 * row + i / 2, 2 * column + i % 2]
        if key != EMPTY and key < (behind[scene, 2 * row + i / 2, 2 * column + i % 2] >> wp.int64(32)) << wp.int64(32):
            share += 0.25
            f = int(key & wp.int64(0xFFFFFFFF))
    if f >= 0:
        step = wp.int64(SUBPIXELS)
        a = surface[scene].faces[f, 0]
        b = surface[scene].faces[f, 1]
        c = surface[scene].faces[f, 2]
        w = point_weights(surface, scene, a, b, c, wp.int64(2 * column + 1) * step, wp.int64(2 * row + 1) * step)
        at = surface[scene].vertex[a] * w[0] + surface[scene].vertex[b] * w[1] + surface[scene].vertex[c] * w[2]
        mirrored = shade_sample(
            surface, scene, f, wp.int64(2 * column + 1) * step, wp.int64(2 * row + 1) * step, paint, light
        )
        here = colour[scene, row, column]
        seen = wp.vec3f(here[0] * at[12], here[1] * at[13], here[2] * at[14]) + mirrored * light[scene].exposure
        colour[scene, row, column] = here * (1.0 - share) + seen * share


@wp.kernel
def apply_tone(
    colour: wp.array3d(dtype=wp.vec3f),
    tone: wp.array(dtype=wp.uint8),
    num_slices: wp.int32,
    image: wp.array4d(dtype=wp.uint8),
):
    """sRGB values of linear light. One thread fills every num_slices-th pixel of a row."""
    scene, row, part = wp.tid()
    brightest = float(tone.shape[0] - 1)
    for column in range(part, colour.shape[2], num_slices):
        value = colour[scene, row, column]
        for channel in range(3):
            step = wp.clamp(value[channel] * TONE_STEPS + 0.5, 0.0, brightest)
            image[scene, row, column, channel] = tone[int(step)]
