# mypy: ignore-errors
# (Kernels are read by Warp's compiler, whose types are not Python's.)

"""What materials look like: Warp functions, used by ``shading_kernels``, that turn a point of a surface into light."""

import warp as wp

wp.set_module_options({"enable_backward": False, "fast_math": False, "fuse_fp": False})

SKIN = wp.constant(0)
EYE = wp.constant(1)
TEETH = wp.constant(2)
MOUTH = wp.constant(3)
LASH = wp.constant(4)
HAIR = wp.constant(5)
CLOTH = wp.constant(6)
COLOURED = wp.constant(7)
LENS = wp.constant(8)

TOOTH_WIDTH = wp.constant(0.014)
"""In the chart's u: the full turn around the head's axis is 1."""
SHADOW_BIAS = wp.constant(0.003)
"""Metres that something must lie before a point to shadow it."""
SHADOW_STEP = wp.constant(0.004)
"""Metres off the surface at which the shadow map is asked."""


NOISE_STEP = wp.constant(1.0 / 28.0)
"""Spread of the noise's values (1) over what a byte of them counts."""

vec4ub = wp.types.vector(length=4, dtype=wp.uint8)
vec4b = wp.types.vector(length=4, dtype=wp.int8)
PackedVertex = wp.types.vector(length=16, dtype=wp.float32)
"""Position (3), normal (3), texture coordinates (2), direction (3), occlusion (1), colour (4): what a point needs of a
corner lies in one cache line, and is interpolated at once."""


@wp.struct
class Surface:
    """All meshes of a scene, concatenated; screen and weight are those of ``rasterize_kernels.project_vertices``."""

    screen: wp.array2d(dtype=wp.vec2i)
    weight: wp.array2d(dtype=wp.float32)
    faces: wp.array2d(dtype=wp.int32)
    material: wp.array(dtype=wp.uint8)
    vertex: wp.array(dtype=PackedVertex)


@wp.struct
class Paint:
    """Colours are linear RGB reflectances. brow_window: the part of the chart outside of which ``brows`` is 0, as
    least u, least v, greatest u, greatest v. Textures hold bytes, so that they stay in a core's own cache: shares in
    255ths, noise in steps of ``NOISE_STEP``."""

    masks: wp.array2d(dtype=vec4ub)
    brows: wp.array2d(dtype=wp.uint8)
    brow_window: wp.vec4f
    noise: wp.array2d(dtype=vec4b)
    noise_offset: wp.vec2f
    skin: wp.vec3f
    blotch: wp.float32
    freckles: wp.float32
    bump: wp.float32
    oil: wp.float32
    flush: wp.vec3f
    flush_strength: wp.float32
    lips: wp.vec3f
    lip_strength: wp.float32
    lip_gloss: wp.float32
    lid: wp.vec3f
    lid_strength: wp.float32
    beard: wp.vec3f
    beard_density: wp.float32
    brow: wp.vec3f
    hair: wp.vec3f
    hair_variation: wp.float32
    iris: wp.vec3f
    iris_radius: wp.float32
    pupil_radius: wp.float32
    sclera: wp.vec3f
    teeth: wp.vec3f
    cloth: wp.vec3f
    cloth_second: wp.vec3f
    cloth_pattern: wp.int32
    cloth_scale: wp.float32


@wp.struct
class Light:
    """ambient: nine spherical-harmonic coefficients of irradiance / pi; key: one directional lamp with shadow map."""

    ambient: wp.array(dtype=wp.vec3f)
    direction: wp.vec3f
    colour: wp.vec3f
    shadow: wp.array2d(dtype=wp.float32)
    shadow_rows: wp.mat33f
    shadow_offset: wp.vec3f
    camera: wp.vec3f
    exposure: wp.float32


@wp.func
def unit(v: wp.vec3f) -> wp.vec3f:
    """v scaled to length 1; ``wp.normalize`` divides three times."""
    return v * (1.0 / wp.sqrt(wp.max(wp.dot(v, v), 1.0e-20)))


@wp.func
def noise_texel(noise: wp.array2d(dtype=vec4b), row: int, column: int) -> wp.vec4f:
    texel = noise[row, column]
    return wp.vec4f(float(texel[0]), float(texel[1]), float(texel[2]), float(texel[3]))


@wp.func
def mask_texel(masks: wp.array2d(dtype=vec4ub), row: int, column: int) -> wp.vec4f:
    texel = masks[row, column]
    return wp.vec4f(float(texel[0]), float(texel[1]), float(texel[2]), float(texel[3]))


@wp.func
def place_in_tile(noise: wp.array2d(dtype=vec4b), u: float, v: float):
    """Rows (top, bottom) and columns (left, right) of the four texels around a place in a tileable texture, and how far
    it lies to the right and down between them; u and v in tiles."""
    height = noise.shape[0]
    width = noise.shape[1]
    x = (u - wp.floor(u)) * float(width) - 0.5
    y = (v - wp.floor(v)) * float(height) - 0.5
    column = int(wp.floor(x))
    row = int(wp.floor(y))
    # Wrapped round without divisions, which take longer than the rest of the look-up.
    left = wp.where(column < 0, width - 1, column)
    right = wp.where(column + 1 == width, 0, column + 1)
    top = wp.where(row < 0, height - 1, row)
    bottom = wp.where(row + 1 == height, 0, row + 1)
    return top, bottom, left, right, x - float(column), y - float(row)


@wp.func
def noise_at(noise: wp.array2d(dtype=vec4b), u: float, v: float) -> wp.vec4f:
    """Bilinear look-up in a tileable texture; u and v in tiles."""
    top, bottom, left, right, fx, fy = place_in_tile(noise, u, v)
    above = noise_texel(noise, top, left) * (1.0 - fx) + noise_texel(noise, top, right) * fx
    below = noise_texel(noise, bottom, left) * (1.0 - fx) + noise_texel(noise, bottom, right) * fx
    return (above * (1.0 - fy) + below * fy) * NOISE_STEP


@wp.func
def strand_noise_at(noise: wp.array2d(dtype=vec4b), u: float, v: float) -> float:
    """The last channel alone of ``noise_at``: streaks along hair."""
    top, bottom, left, right, fx, fy = place_in_tile(noise, u, v)
    above = float(noise[top, left][3]) * (1.0 - fx) + float(noise[top, right][3]) * fx
    below = float(noise[bottom, left][3]) * (1.0 - fx) + float(noise[bottom, right][3]) * fx
    return (above * (1.0 - fy) + below * fy) * NOISE_STEP


@wp.func
def nearest_noise(noise: wp.array2d(dtype=vec4b), u: float, v: float) -> wp.vec4f:
    """The nearest texel, for patterns that are finer than pixels anyway."""
    column = int((u - wp.floor(u)) * float(noise.shape[1]))
    row = int((v - wp.floor(v)) * float(noise.shape[0]))
    return noise_texel(noise, wp.min(row, noise.shape[0] - 1), wp.min(column, noise.shape[1] - 1)) * NOISE_STEP


@wp.func
def mask_at(masks: wp.array2d(dtype=vec4ub), u: float, v: float) -> wp.vec4f:
    height = masks.shape[0]
    width = masks.shape[1]
    x = wp.clamp(u * float(width) - 0.5, 0.0, float(width) - 1.001)
    y = wp.clamp(v * float(height) - 0.5, 0.0, float(height) - 1.001)
    column = int(x)
    row = int(y)
    fx = x - float(column)
    fy = y - float(row)
    above = mask_texel(masks, row, column) * (1.0 - fx) + mask_texel(masks, row, column + 1) * fx
    below = mask_texel(masks, row + 1, column) * (1.0 - fx) + mask_texel(masks, row + 1, column + 1) * fx
    return (above * (1.0 - fy) + below * fy) * (1.0 / 255.0)


@wp.func
def brow_at(brows: wp.array2d(dtype=wp.uint8), u: float, v: float) -> float:
    height = brows.shape[0]
    width = brows.shape[1]
    x = wp.clamp(u * float(width) - 0.5, 0.0, float(width) - 1.001)
    y = wp.clamp(v * float(height) - 0.5, 0.0, float(height) - 1.001)
    column = int(x)
    row = int(y)
    fx = x - float(column)
    fy = y - float(row)
    above = float(brows[row, column]) * (1.0 - fx) + float(brows[row, column + 1]) * fx
    below = float(brows[row + 1, column]) * (1.0 - fx) + float(brows[row + 1, column + 1]) * fx
    return (above * (1.0 - fy) + below * fy) / 255.0


@wp.func
def ambient_light(sh: wp.array(dtype=wp.vec3f), n: wp.vec3f) -> wp.vec3f:
    value = (
        sh[0]
        + sh[1] * n[1]
        + sh[2] * n[2]
        + sh[3] * n[0]
        + sh[4] * (n[0] * n[1])
        + sh[5] * (n[1] * n[2])
        + sh[6] * (3.0 * n[2] * n[2] - 1.0)
        + sh[7] * (n[0] * n[2])
        + sh[8] * (n[0] * n[0] - n[1] * n[1])
    )
    return wp.vec3f(wp.max(value[0], 0.0), wp.max(value[1], 0.0), wp.max(value[2], 0.0))


@wp.func
def lit_share(light: wp.array(dtype=Light), scene: int, position: wp.vec3f) -> float:
    """Share of the key light that arrives, from nine taps of the shadow map: a lamp has a size, and the shadows of
    single clumps of hair run into one another."""
    spot = light[scene].shadow_rows * position + light[scene].shadow_offset
    size = light[scene].shadow.shape[0]
    column = int(wp.floor(spot[0]))
    row = int(wp.floor(spot[1]))
    if column < 1 or row < 1 or column >= size - 1 or row >= size - 1:
        return 1.0
    # Quadratic B-splines over three texels each way.
    fx = spot[0] - float(column)
    fy = spot[1] - float(row)
    across = wp.vec3f(0.5 * (1.0 - fx) * (1.0 - fx), 0.5 + fx * (1.0 - fx), 0.5 * fx * fx)
    down = wp.vec3f(0.5 * (1.0 - fy) * (1.0 - fy), 0.5 + fy * (1.0 - fy), 0.5 * fy * fy)
    total = float(0.0)
    for dy in range(3):
        for dx in range(3):
            depth = light[scene].shadow[row + dy - 1, column + dx - 1]
            if depth == 0.0 or spot[2] < depth + SHADOW_BIAS:
                total += across[dx] * down[dy]
    return total


@wp.func
def mix(a: wp.vec3f, b: wp.vec3f, t: float) -> wp.vec3f:
    return a * (1.0 - t) + b * t


@wp.func
def smooth(low: float, high: float, value: float) -> float:
    t = wp.clamp((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def shade_point(
    material: int,
    position: wp.vec3f,
    normal_in: wp.vec3f,
    uv: wp.vec2f,
    direction: wp.vec3f,
    occlusion_in: float,
    colour_in: wp.vec4f,
    paint: wp.array(dtype=Paint),
    light: wp.array(dtype=Light),
    scene: int,
) -> wp.vec3f:
    view = unit(light[scene].camera - position)
    normal = unit(normal_in)
    # Thin shells (hair, collars) are seen from both sides.
    if wp.dot(normal, view) < 0.0 and material >= LASH:
        normal = -normal
    occlusion = occlusion_in
    u = uv[0]
    v = uv[1]
    # Hair, eyes and lashes have look-ups of their own and do without these.
    coarse = wp.vec4f(0.0, 0.0, 0.0, 0.0)
    fine = wp.vec4f(0.0, 0.0, 0.0, 0.0)
    if material == SKIN or material == CLOTH:
        coarse = noise_at(
            paint[scene].noise, u * 3.0 + paint[scene].noise_offset[0], v * 2.0 + paint[scene].noise_offset[1]
        )
    if material != HAIR and material != EYE and material != LASH and material != LENS:
        fine = nearest_noise(
            paint[scene].noise, u * 17.0 + paint[scene].noise_offset[1], v * 11.0 + paint[scene].noise_offset[0]
        )
    albedo = paint[scene].skin
    wrap = wp.vec3f(0.0, 0.0, 0.0)
    gloss = float(0.0)
    sharpness = float(20.0)
    mask = wp.vec4f(0.0, 0.0, 0.0, 0.0)
    if material == SKIN:
        mask = mask_at(paint[scene].masks, u, v)
        tone = 1.0 + paint[scene].blotch * (coarse[0] + 0.3 * fine[0])
        albedo = wp.vec3f(
            paint[scene].skin[0] * tone,
            paint[scene].skin[1] * tone * (1.0 - 0.035 * coarse[1]),
            paint[scene].skin[2] * tone,
        )
        albedo = mix(
            albedo,
            paint[scene].flush,
            wp.clamp(paint[scene].flush_strength * mask[2] * (0.8 + 0.4 * coarse[1]), 0.0, 1.0),
        )
        spots = smooth(1.1, 1.7, fine[2] + 0.3 * coarse[2]) * paint[scene].freckles
        albedo = mix(albedo, wp.cw_mul(albedo, wp.vec3f(0.62, 0.48, 0.38)), spots * (1.0 - mask[0]))
        albedo = mix(albedo, paint[scene].lid, paint[scene].lid_strength * mask[3])
        lip = mask[0]
        albedo = mix(albedo, paint[scene].lips * (1.0 + 0.12 * fine[1]), lip * paint[scene].lip_strength)
        stubble = float(0.0)
        if paint[scene].beard_density * mask[1] > 0.0:
            hairs = nearest_noise(paint[scene].noise, u * 41.0, v * 13.0)
            stubble = wp.clamp(
                mask[1] * paint[scene].beard_density * (1.0 + 0.5 * hairs[3] + 0.25 * coarse[0]), 0.0, 1.0
            )
            albedo = mix(albedo, paint[scene].beard * (1.0 + 0.35 * hairs[3]), stubble)
        brow = float(0.0)
        bounds = paint[scene].brow_window
        if u > bounds[0] and u < bounds[2] and v > bounds[1] and v < bounds[3]:
            brow = brow_at(paint[scene].brows, u, v)
        albedo = mix(albedo, paint[scene].brow, brow)
        wrap = wp.vec3f(0.32, 0.16, 0.10)
        gloss = (
            paint[scene].oil * (1.0 - 0.7 * stubble) * (1.0 - 0.6 * brow) * (1.0 + 0.35 * fine[1])
            + lip * paint[scene].lip_gloss
        )
        sharpness = 16.0 + 50.0 * lip
        bump = paint[scene].bump * (1.0 + 3.0 * stubble + 1.5 * lip)
        normal = unit(normal + wp.vec3f(fine[0], fine[1], fine[2]) * bump)
    elif material == EYE:
        forward = wp.clamp(direction[2], -1.0, 1.0)
        angle = wp.acos(forward)
        around = wp.atan2(direction[1], direction[0])
        streaks = noise_at(paint[scene].noise, around * 1.27 + paint[scene].noise_offset[0], angle * 1.5)
        veins = smooth(
            0.9, 1.8, noise_at(paint[scene].noise, around * 0.9, angle * 2.0 + paint[scene].noise_offset[1])[2]
        )
        white = mix(
            paint[scene].sclera,
            wp.vec3f(0.62, 0.30, 0.25),
            wp.clamp(0.35 * veins + 0.5 * smooth(0.8, 1.3, angle), 0.0, 0.7),
        )
        part = angle / paint[scene].iris_radius
        iris = paint[scene].iris * (0.75 + 0.55 * smooth(0.3, 0.8, part) + 0.35 * streaks[1])
        iris = iris * (1.0 - 0.75 * smooth(0.80, 1.0, part))
        iris = mix(
            iris,
            wp.vec3f(0.004, 0.004, 0.004),
            1.0 - smooth(paint[scene].pupil_radius - 0.06, paint[scene].pupil_radius + 0.06, part),
        )
        albedo = mix(iris, white, smooth(0.93, 1.06, part))
        gloss = 0.35
        sharpness = 900.0
        # The lids shade the eyeball more than they hide it.
        occlusion = 0.25 + 0.75 * wp.sqrt(wp.clamp(occlusion, 0.0, 1.0))
        wrap = wp.vec3f(0.2, 0.15, 0.12)
    elif material == TEETH:
        # Gaps between teeth; u runs around the head.
        across = u / TOOTH_WIDTH
        gap = smooth(0.36, 0.5, wp.abs(across - wp.floor(across) - 0.5))
        # Between the cheeks it gets dark.
        lit = 1.0 - 0.97 * smooth(0.02, 0.05, wp.abs(u - 0.5))
        albedo = paint[scene].teeth * ((0.96 + 0.04 * fine[0]) * (1.0 - 0.45 * gap) * lit)
        occlusion = 0.25 + 0.75 * wp.sqrt(wp.clamp(occlusion * 2.2, 0.0, 1.0))
        gloss = 0.12
        sharpness = 60.0
        wrap = wp.vec3f(0.2, 0.2, 0.2)
    elif material == MOUTH:
        albedo = wp.vec3f(0.34, 0.10, 0.09) * (1.0 + 0.2 * fine[0])
        occlusion = wp.clamp(0.9 * occlusion + 0.06, 0.0, 1.0)
        gloss = 0.06
        sharpness = 40.0
    elif material == LASH:
        albedo = mix(paint[scene].brow * 0.35, paint[scene].skin, 0.25)
        wrap = wp.vec3f(0.3, 0.3, 0.3)
    elif material == HAIR:
        strand = strand_noise_at(paint[scene].noise, u * 9.0 + paint[scene].noise_offset[0], v * 0.35)
        thin = nearest_noise(paint[scene].noise, u * 31.0 + paint[scene].noise_offset[1], v * 0.8)
        lightness = 1.0 + paint[scene].hair_variation * (0.9 * strand + 0.6 * thin[3])
        albedo = paint[scene].hair * wp.clamp(lightness, 0.15, 2.5)
        if colour_in[0] > 0.0:
            albedo = wp.cw_mul(albedo, wp.vec3f(colour_in[0], colour_in[1], colour_in[2]))
        occlusion = occlusion * (0.75 + 0.25 * wp.clamp(strand + 0.5, 0.0, 1.0))
        wrap = wp.vec3f(0.5, 0.5, 0.5)
    elif material == CLOTH:
        albedo = paint[scene].cloth
        phase = float(0.0)
        if paint[scene].cloth_pattern == 1:
            phase = wp.sin(position[1] * paint[scene].cloth_scale)
        elif paint[scene].cloth_pattern == 2:
            phase = wp.sin(position[0] * paint[scene].cloth_scale)
        elif paint[scene].cloth_pattern == 3:
            phase = (
                wp.max(wp.sin(position[0] * paint[scene].cloth_scale), wp.sin(position[1] * paint[scene].cloth_scale))
                - 0.5
            )
        elif paint[scene].cloth_pattern == 4:
            phase = noise_at(
                paint[scene].noise,
                position[0] * paint[scene].cloth_scale * 0.05,
                position[1] * paint[scene].cloth_scale * 0.05,
            )[1]
        albedo = mix(albedo, paint[scene].cloth_second, smooth(-0.1, 0.1, phase))
        albedo = albedo * (1.0 + 0.10 * fine[0] + 0.10 * coarse[0])
        normal = unit(normal + wp.vec3f(coarse[0], coarse[1], coarse[2]) * 0.12)
    elif material == COLOURED:
        albedo = wp.vec3f(colour_in[0], colour_in[1], colour_in[2]) * (1.0 + 0.05 * fine[0])
        gloss = colour_in[3]
        sharpness = 10.0 + 190.0 * gloss * gloss
        wrap = wp.vec3f(0.1, 0.1, 0.1)
    elif material == LENS:
        albedo = wp.vec3f(0.0, 0.0, 0.0)
        gloss = colour_in[3]
        sharpness = 900.0

    # A step off the surface, so that surfaces the light grazes do not shadow themselves.
    cosine = wp.dot(normal, light[scene].direction)
    shadow = float(0.0)
    if cosine + wrap[0] > 0.0:
        shadow = lit_share(light, scene, position + normal * SHADOW_STEP)
        if material == HAIR:  # light goes through it
            shadow = 0.3 + 0.7 * shadow
    diffuse = wp.vec3f(
        wp.max(cosine + wrap[0], 0.0) / (1.0 + wrap[0]),
        wp.max(cosine + wrap[1], 0.0) / (1.0 + wrap[1]),
        wp.max(cosine + wrap[2], 0.0) / (1.0 + wrap[2]),
    )
    key = wp.cw_mul(light[scene].colour, diffuse) * shadow
    surround = ambient_light(light[scene].ambient, normal) * occlusion
    colour = wp.cw_mul(albedo, key * (0.4 + 0.6 * occlusion) + surround)

    half_way = unit(light[scene].direction + view)
    if material == HAIR:
        tangent = unit(direction)
        along = wp.dot(tangent, half_way)
        # The sine to the powers 70 and 12, multiplied out: a power takes longer than all of this.
        squared = wp.max(1.0 - along * along, 0.0)
        to_4 = squared * squared
        to_8 = to_4 * to_4
        to_16 = to_8 * to_8
        to_32 = to_16 * to_16
        lobe = to_32 * to_32 * to_4 * squared * 0.10 + to_8 * to_4 * 0.05
        glow = mix(wp.vec3f(1.0, 1.0, 1.0), paint[scene].hair * 2.0, 0.5)
        colour = colour + wp.cw_mul(light[scene].colour * (shadow * lobe * wp.max(cosine + 0.3, 0.0)), glow)
        along_view = wp.dot(tangent, view)
        across_view = wp.max(1.0 - along_view * along_view, 0.0)
        across_view = across_view * across_view
        across_view = across_view * across_view
        colour = colour + wp.cw_mul(surround, glow) * (0.04 * across_view * across_view)
    elif gloss > 0.0:
        facing = 1.0 - wp.max(wp.dot(normal, view), 0.0)
        fresnel = 0.03 + 0.97 * facing * facing * facing * facing * facing
        mirrored = normal * (2.0 * wp.dot(normal, view)) - view
        strength = float(0.12)
        most = float(0.35)
        around_mirrored = surround
        if material == SKIN:
            # Rough: it mirrors light from all around, and little even at grazing angles, where more would outline dark
            # faces in white.
            strength = 0.06 + 0.06 * mask[0]
            most = 0.10
        else:
            around_mirrored = ambient_light(light[scene].ambient, mirrored) * occlusion
        if shadow * cosine > 0.0:
            highlight = wp.pow(wp.max(wp.dot(normal, half_way), 0.0), sharpness) * (sharpness + 2.0) * 0.125
            colour = colour + light[scene].colour * (strength * gloss * highlight * shadow * cosine)
        colour = colour + around_mirrored * (wp.min(fresnel * 1.3, most) * gloss * 0.6)
        if material == EYE:
            # A window or soft box over the viewer's shoulder shows in most eyes.
            window = smooth(
                0.90, 0.96, wp.dot(mirrored, unit(view + light[scene].direction * 0.6 + wp.vec3f(0.0, 0.45, 0.0)))
            )
            colour = colour + light[scene].ambient[0] * (0.55 * window * occlusion)
    return colour
