# mypy: ignore-errors
# (Kernels are read by Warp's compiler, whose types are not Python's.)

"""The Warp kernels of hair: its paths over the ground, and ribbons along them. One thread does all of a group; numpy
would go over the few thousand points of each some fifty times. Imported on first use only."""

import warp as wp

from synthforge_hf.rendering.material_kernels import unit

wp.set_module_options({"enable_backward": False, "fast_math": False, "fuse_fp": False})


@wp.func
def around(column: float, columns: int) -> float:
    """Columns go around: the same place between 0 and their number."""
    return column - float(columns) * wp.floor(column / float(columns))


@wp.kernel
def interpolate_table(
    table: wp.array3d(dtype=wp.float32),
    row: wp.array(dtype=wp.float32),
    column: wp.array(dtype=wp.float32),
    values: wp.array2d(dtype=wp.float32),
):
    """Bilinear values of an (R, C, A) table at (N,) rows, which end at its edges, and columns, which go around."""
    rows = table.shape[0]
    columns = table.shape[1]
    for n in range(row.shape[0]):
        y = wp.clamp(row[n], 0.0, float(rows) - 1.001)
        x = around(column[n], columns)
        top = int(y)
        left = wp.min(int(x), columns - 1)
        right = wp.where(left + 1 == columns, 0, left + 1)
        fy = y - float(top)
        fx = x - float(left)
        for a in range(table.shape[2]):
            above = table[top, left, a] * (1.0 - fx) + table[top, right, a] * fx
            below = table[top + 1, left, a] * (1.0 - fx) + table[top + 1, right, a] * fx
            values[n, a] = above * (1.0 - fy) + below * fy


@wp.kernel
def follow_flow(
    flow: wp.array2d(dtype=wp.vec2f),
    spacing: wp.array2d(dtype=wp.vec2f),
    length: wp.array(dtype=wp.float32),
    turn: wp.array(dtype=wp.float32),
    row: wp.array2d(dtype=wp.float32),
    column: wp.array2d(dtype=wp.float32),
):
    """Follow (R, C) unit vectors along rows and columns, always ``turn`` radians off them, over ``length`` metres.

    spacing: metres to the next row and column. row, column: (N, K); their first values are where the paths begin, the
    others are filled in.
    """
    rows = flow.shape[0]
    columns = flow.shape[1]
    steps = row.shape[1]
    for n in range(row.shape[0]):
        step = length[n] / float(steps - 1)
        cosine = wp.cos(turn[n]) * step
        sine = wp.sin(turn[n]) * step
        y = row[n, 0]
        x = column[n, 0]
        for k in range(1, steps):
            i = int(wp.clamp(y + 0.5, 0.0, float(rows) - 1.0))
            j = int(around(x + 0.5, columns)) % columns
            way = flow[i, j]
            metres = spacing[i, j]
            down = cosine * way[0] / metres[0] - sine * way[1] / metres[0]
            across = cosine * way[1] / metres[1] + sine * way[0] / metres[1]
            y = y + down
            x = x + wp.clamp(across, -6.0, 6.0)
            if y < 0.0:
                # Over the crown and down the other side.
                y = -y
                x = x + 0.5 * float(columns)
            row[n, k] = y
            column[n, k] = x


@wp.kernel
def weave_ribbons(
    points: wp.array2d(dtype=wp.vec3f),
    outward: wp.array2d(dtype=wp.vec3f),
    width: wp.array(dtype=wp.float32),
    occlusion: wp.array(dtype=wp.float32),
    tint: wp.array2d(dtype=wp.vec3f),
    roll: wp.array(dtype=wp.float32),
    place: wp.array(dtype=wp.vec2f),
    profile: wp.array(dtype=wp.float32),
    light: wp.array(dtype=wp.float32),
    roundness: wp.float32,
    width_u: wp.float32,
    metres_per_v: wp.float32,
    seen_from: wp.vec3f,
    far_cosine: wp.float32,
    away_cosine: wp.float32,
    vertices: wp.array2d(dtype=wp.vec3f),
    normals: wp.array2d(dtype=wp.vec3f),
    uv: wp.array2d(dtype=wp.vec2f),
    directions: wp.array2d(dtype=wp.vec3f),
    occlusions: wp.array2d(dtype=wp.float32),
    colours: wp.array2d(dtype=wp.vec4f),
    faces: wp.array2d(dtype=wp.int32),
    number: wp.array(dtype=wp.int32),
):
    """Write the ribbons of N clumps of K points one after the other, and how many and how many triangles there are.

    width, occlusion, roll: (N,). place: (N,) where on the texture each begins. tint: (N, K), or less where it is the
    same for all. profile: (K,) share of the width; light: (K,) share of the light. roundness, width_u, metres_per_v:
    the module's constants. seen_from: left out are clumps all of whose ground turns away from there by more than
    far_cosine, and triangles that turn away by more than away_cosine. vertices, ..., colours: (N, 2 K). faces:
    (N * (K - 1) * 2, 3). number: (2,).
    """
    steps = points.shape[1]
    upright = 1.0 / wp.sqrt(1.0 + roundness * roundness)
    leaning = roundness * upright
    r = int(0)
    f = int(0)
    for n in range(points.shape[0]):
        near = bool(False)
        for k in range(0, steps, 2):
            sight = points[n, k] - seen_from
            near = near or wp.dot(outward[n, k], sight) < far_cosine * wp.length(sight)
        if near:
            cosine = wp.cos(roll[n])
            sine = wp.sin(roll[n])
            v = float(0.0)
            for k in range(steps):
                point = points[n, k]
                before = points[n, wp.max(k - 1, 0)]
                tangent = unit(points[n, wp.min(k + 1, steps - 1)] - before)
                flat = unit(wp.cross(tangent, outward[n, k]))
                up = wp.cross(flat, tangent)
                side = flat * cosine + up * sine
                normal = up * cosine - flat * sine
                half = side * (0.5 * width[n] * profile[k])
                v += wp.length(point - before)
                dye = tint[wp.min(n, tint.shape[0] - 1), wp.min(k, tint.shape[1] - 1)]
                for edge in range(2):
                    sign = 2.0 * float(edge) - 1.0
                    i = 2 * k + edge
                    vertex = point + half * sign
                    outside = normal * upright + side * (leaning * sign)
                    vertices[r, i] = vertex
                    normals[r, i] = outside
                    uv[r, i] = wp.vec2f(place[n][0] + 0.5 * sign * width_u, v / metres_per_v + place[n][1])
                    directions[r, i] = tangent
                    occlusions[r, i] = occlusion[n] * light[k]
                    colours[r, i] = wp.vec4f(dye[0], dye[1], dye[2], 1.0)
                    sight = vertex - seen_from
                    if k + 1 < steps and wp.dot(outside, sight) <= away_cosine * wp.length(sight):
                        # Drawn one after the other, a ribbon's triangles share cache lines.
                        first = 2 * (r * steps + k)
                        faces[f, 0] = first + edge
                        faces[f, 1] = first + 1 + 2 * edge
                        faces[f, 2] = first + 2
                        f += 1
            r += 1
    number[0] = r
    number[1] = f


@wp.func
def nearest_point(points: wp.array(dtype=wp.vec3f), place: wp.vec3f, start: int) -> int:
    """Number of the point nearest to a place; points lie from top to bottom, and ``start`` is best about as high."""
    nearest = start
    least = wp.length_sq(points[start] - place)
    for way in range(2):
        # Up, then down, until all further points are further off by their height alone.
        upwards = way == 0
        m = wp.where(upwards, start - 1, start + 1)
        searching = bool(True)
        while searching and m >= 0 and m < points.shape[0]:
            offset = points[m] - place
            distance = wp.length_sq(offset)
            if distance < least:
                least = distance
                nearest = m
            beyond = wp.where(upwards, offset[1] > 0.0, offset[1] < 0.0)
            searching = not (beyond and offset[1] * offset[1] >= least)
            m = wp.where(upwards, m - 1, m + 1)
    return nearest


@wp.kernel
def let_fall(
    points: wp.array2d(dtype=wp.vec3f),
    direction: wp.array(dtype=wp.vec3f),
    pull: wp.array(dtype=wp.vec3f),
    step: wp.float32,
    turning: wp.float32,
    body: wp.array(dtype=wp.vec3f),
    off: wp.array(dtype=wp.vec3f),
    away: wp.array(dtype=wp.float32),
):
    """Fill in (R, C) points from the first row down, ``step`` metres from one to the next.

    direction: (C,) unit vectors, changed; each step turns them by ``turning`` times the pull, (C,). body, off, away:
    (M,) obstacles from top to bottom, unit vectors off them, and the metres that points keep above the nearest one.
    """
    nearest = int(0)
    for c in range(points.shape[1]):
        way = direction[c]
        for r in range(1, points.shape[0]):
            before = points[r - 1, c]
            moved = before + unit(way + pull[c] * turning) * step
            nearest = nearest_point(body, moved, nearest)
            height = wp.dot(moved - body[nearest], off[nearest])
            moved = moved + off[nearest] * wp.max(away[nearest] - height, 0.0)
            way = unit(moved - before)
            points[r, c] = moved
        direction[c] = way
