# mypy: ignore-errors
# (Kernels are read by Warp's compiler, whose types are not Python's.)

"""The Warp kernels of ``rasterize``. Imported on first use only, because importing Warp takes a third of a second."""

import warp as wp

from synthforge_hf.rendering.coverage_kernels import SUBPIXELS, draw_triangle, edge

wp.set_module_options({"enable_backward": False, "fast_math": False, "fuse_fp": False})

MAX_PIXEL = wp.constant(wp.float64(1048575.0))
EMPTY = wp.constant(wp.int64(9223372036854775807))
NEAREST = wp.constant(wp.int64(0x7FFFFFFF))


@wp.func
def project_vertex(
    b: int,
    v: int,
    vertices: wp.array2d(dtype=wp.vec3f),
    intrinsics: wp.array3d(dtype=wp.float32),
    near: wp.float32,
    orthographic: wp.bool,
    screen: wp.array2d(dtype=wp.vec2i),
    weight: wp.array2d(dtype=wp.float32),
):
    """Snap one projected vertex to the sub-pixel grid; weight: 1 / z (z if orthographic), or 0 for not drawable."""
    point = vertices[b, v]
    screen[b, v] = wp.vec2i(0, 0)
    weight[b, v] = 0.0
    # Written so that a NaN fails it.
    if not point[2] > near:
        return
    x = wp.float64(point[0])
    y = wp.float64(point[1])
    if not orthographic:
        x = x / wp.float64(point[2])
        y = y / wp.float64(point[2])
    column = wp.float64(intrinsics[b, 0, 0]) * x + wp.float64(intrinsics[b, 0, 1]) * y + wp.float64(intrinsics[b, 0, 2])
    row = wp.float64(intrinsics[b, 1, 0]) * x + wp.float64(intrinsics[b, 1, 1]) * y + wp.float64(intrinsics[b, 1, 2])
    if not (wp.abs(column) < MAX_PIXEL and wp.abs(row) < MAX_PIXEL):
        return
    scale = wp.float64(SUBPIXELS)
    screen[b, v] = wp.vec2i(wp.int32(wp.round(column * scale)), wp.int32(wp.round(row * scale)))
    if orthographic:
        weight[b, v] = point[2]
    else:
        weight[b, v] = 1.0 / point[2]


@wp.kernel
def project_vertices(
    vertices: wp.array2d(dtype=wp.vec3f),
    intrinsics: wp.array3d(dtype=wp.float32),
    near: wp.float32,
    orthographic: wp.bool,
    screen: wp.array2d(dtype=wp.vec2i),
    weight: wp.array2d(dtype=wp.float32),
):
    """Project a vertex per thread, for a GPU."""
    b, v = wp.tid()
    project_vertex(b, v, vertices, intrinsics, near, orthographic, screen, weight)


@wp.kernel
def draw_triangles(
    vertices: wp.array2d(dtype=wp.vec3f),
    intrinsics: wp.array3d(dtype=wp.float32),
    near: wp.float32,
    orthographic: wp.bool,
    screen: wp.array2d(dtype=wp.vec2i),
    weight: wp.array2d(dtype=wp.float32),
    faces: wp.array3d(dtype=wp.int32),
    num_one_sided: wp.array(dtype=wp.int32),
    num_threads: wp.int32,
    num_slices: wp.int32,
    height: wp.int32,
    width: wp.int32,
    pitch: wp.int32,
    keys: wp.array(dtype=wp.int64),
):
    """Lower the key of every covered pixel (bits of its distance above the triangle's id) to this triangle's.

    What is linear over the image is stored: the distance if orthographic, else 1 / z, turned round so that near is low.
    faces, num_one_sided: of each picture, or one for all. The first num_one_sided triangles are left out where they are
    seen from behind. pitch: keys from one row to the next. One thread draws every num_slices-th row of every
    num_threads-th triangle. A single slice means that a single thread, on a CPU, does it all: it projects the vertices,
    too, and draws small triangles eight pixels at once.
    """
    b, first, part = wp.tid()
    if num_slices == 1:
        for v in range(vertices.shape[1]):
            project_vertex(b, v, vertices, intrinsics, near, orthographic, screen, weight)
    for f in range(first, faces.shape[1], num_threads):
        draw_triangle(
            b, f, part, faces, screen, weight, orthographic, num_one_sided, num_slices, height, width, pitch, keys
        )


@wp.func
def key_depth(key: wp.int64, orthographic: wp.bool) -> float:
    """Metres along the camera's axis."""
    bits = wp.int32(key >> wp.int64(32))
    if orthographic:
        return wp.cast(bits, wp.float32)
    return 1.0 / wp.cast(wp.int32(NEAREST) - bits, wp.float32)


@wp.func
def corner_weights(
    pa: wp.vec2i, pb: wp.vec2i, pc: wp.vec2i, wa: float, wb: float, wc: float, x: wp.int64, y: wp.int64
) -> wp.vec3f:
    """Weights of a triangle's corners at a point of the sub-pixel grid, sum 1; w: 1 / z of the corners (1 if
    orthographic).

    Signs cancel in the normalisation, so winding does not matter here.
    """
    share_a = wp.float32(edge(pb, pc, x, y)) * wa
    share_b = wp.float32(edge(pc, pa, x, y)) * wb
    share_c = wp.float32(edge(pa, pb, x, y)) * wc
    total = 1.0 / (share_a + share_b + share_c)
    return wp.vec3f(share_a * total, share_b * total, share_c * total)


@wp.kernel
def resolve_pixels(
    faces: wp.array3d(dtype=wp.int32),
    screen: wp.array2d(dtype=wp.vec2i),
    weight: wp.array2d(dtype=wp.float32),
    orthographic: wp.bool,
    num_slices: wp.int32,
    keys: wp.array3d(dtype=wp.int64),
    triangle: wp.array3d(dtype=wp.int32),
    barycentric: wp.array3d(dtype=wp.vec3f),
    depth: wp.array3d(dtype=wp.float32),
):
    """Unpack the winning triangle of every pixel and work out where on it the pixel's centre lies.

    One thread resolves every num_slices-th pixel of a row.
    """
    b, y, part = wp.tid()
    scene = wp.min(b, faces.shape[0] - 1)
    step = wp.int64(SUBPIXELS)
    y0 = wp.int64(y) * step + step / wp.int64(2)
    for x in range(part, keys.shape[2], num_slices):
        key = keys[b, y, x]
        if key == EMPTY:
            triangle[b, y, x] = -1
            barycentric[b, y, x] = wp.vec3f(0.0, 0.0, 0.0)
            depth[b, y, x] = 0.0
        else:
            f = wp.int32(key & wp.int64(0xFFFFFFFF))
            ia = faces[scene, f, 0]
            ib = faces[scene, f, 1]
            ic = faces[scene, f, 2]
            wa = float(1.0)
            wb = float(1.0)
            wc = float(1.0)
            if not orthographic:
                wa = weight[b, ia]
                wb = weight[b, ib]
                wc = weight[b, ic]
            x0 = wp.int64(x) * step + step / wp.int64(2)
            triangle[b, y, x] = f
            barycentric[b, y, x] = corner_weights(screen[b, ia], screen[b, ib], screen[b, ic], wa, wb, wc, x0, y0)
            depth[b, y, x] = key_depth(key, orthographic)


@wp.kernel
def resolve_depth(
    orthographic: wp.bool, num_slices: wp.int32, keys: wp.array3d(dtype=wp.int64), depth: wp.array3d(dtype=wp.float32)
):
    """The depth alone of ``resolve_pixels``."""
    b, y, part = wp.tid()
    for x in range(part, keys.shape[2], num_slices):
        key = keys[b, y, x]
        depth[b, y, x] = wp.where(key == EMPTY, 0.0, key_depth(key, orthographic))


@wp.kernel
def interpolate_corners(
    triangle: wp.array3d(dtype=wp.int32),
    barycentric: wp.array3d(dtype=wp.vec3f),
    corner_values: wp.array4d(dtype=wp.float32),
    num_slices: wp.int32,
    result: wp.array4d(dtype=wp.float32),
):
    """Weigh the corner values of the triangle under every pixel; pixels without one keep the 0 that they hold.

    A single set of values serves the whole batch. One thread fills every num_slices-th pixel of a row.
    """
    b, y, part = wp.tid()
    source = wp.min(b, corner_values.shape[0] - 1)
    for x in range(part, triangle.shape[2], num_slices):
        f = triangle[b, y, x]
        if f >= 0:
            weights = barycentric[b, y, x]
            for c in range(result.shape[3]):
                result[b, y, x, c] = (
                    corner_values[source, f, 0, c] * weights[0]
                    + corner_values[source, f, 1, c] * weights[1]
                    + corner_values[source, f, 2, c] * weights[2]
                )
