# mypy: ignore-errors
# (Kernels are read by Warp's compiler, whose types are not Python's.)

"""Which pixels a triangle covers: Warp functions, used by ``rasterize_kernels``, that lower the keys of a z-buffer.

Coverage is decided in integers: projected vertices are snapped to 1/1024 of a pixel and edge functions are exact 64-bit
products, so two triangles that share an edge never both claim a pixel centre and never leave a hole between them.
"""

import warp as wp

wp.set_module_options({"enable_backward": False, "fast_math": False, "fuse_fp": False})

SUBPIXELS = wp.constant(1024)
FEW = wp.constant(16)
"""Pixels of a row that are tested one by one; of more, those inside are computed."""
SMALL_EXTENT = wp.constant(1 << 15)
"""Sub-pixels across a triangle up to which its edge functions, a few pixels beyond it included, are 32-bit integers."""
EXACT_EXTENT = wp.constant(1 << 24)
"""Sub-pixels across a triangle below which its edge functions are integers that a float64 holds."""


@wp.func
def edge(a: wp.vec2i, b: wp.vec2i, x: wp.int64, y: wp.int64) -> wp.int64:
    """Twice the signed area of (a, b, (x, y)), exact: positive inside of edge a-b of a triangle with positive area."""
    return (wp.int64(b[0]) - wp.int64(a[0])) * (y - wp.int64(a[1])) - (wp.int64(b[1]) - wp.int64(a[1])) * (
        x - wp.int64(a[0])
    )


@wp.func
def least_inside(a: wp.vec2i, b: wp.vec2i) -> wp.int64:
    """Smallest edge value that counts as inside: 0 on top and left edges, 1 on the others (the top-left rule)."""
    if b[1] < a[1] or (b[1] == a[1] and b[0] > a[0]):
        return wp.int64(0)
    return wp.int64(1)


@wp.func
def first_pixel(coordinate: wp.int32) -> wp.int32:
    """Index of the first pixel whose centre is not before ``coordinate`` (floor division, right for negatives too)."""
    shifted = coordinate + SUBPIXELS / 2 - 1
    if shifted >= 0:
        return shifted / SUBPIXELS
    return -((SUBPIXELS - 1 - shifted) / SUBPIXELS)


@wp.func
def narrow(span: wp.vec2i, value: wp.int64, step: wp.int64, inverse_step: wp.float64) -> wp.vec2i:
    """Cut a row's span of pixels, counted from its first, to where an edge function is inside: ``value`` at the first
    pixel and ``step`` more at each further one. Floating point finds the pixel next to the crossing, integers decide
    on which side of it that pixel lies."""
    if step == wp.int64(0):
        return wp.vec2i(span[0], wp.where(value < wp.int64(0), 0, span[1]))
    crossing = wp.clamp(-wp.float64(value) * inverse_step, wp.float64(0.0), wp.float64(16777216.0))
    pixel = wp.int32(crossing + wp.float64(0.5))
    there = value + wp.int64(pixel) * step
    if step > wp.int64(0):
        return wp.vec2i(wp.max(span[0], wp.where(there < wp.int64(0), pixel + 1, pixel)), span[1])
    return wp.vec2i(span[0], wp.min(span[1], wp.where(there < wp.int64(0), pixel, pixel + 1)))


@wp.func_native(
    """
#if defined(__CUDA_ARCH__)
    for (int y = 0; y < rows; ++y) {
        for (int x = 0; x < columns; ++x) {
            const wp::float64 a = edge_a + y * down_a + x * across_a;
            const wp::float64 b = edge_b + y * down_b + x * across_b;
            const wp::float64 c = edge_c + y * down_c + x * across_c;
            if (!sure && !(a >= least_a && b >= least_b && c >= least_c)) continue;
            const wp::float32 value = (wp::float32)(a * slope_a + b * slope_b + c * slope_c);
            const wp::int64 bits = wp::cast<wp::int32>(value);
            const wp::int64 key = (orthographic ? bits : 0x7fffffffll - bits) << 32 | (wp::int64)triangle;
            wp::atomic_min(keys, first + y * next_row + x, key);
        }
    }
#else
    typedef double doubles __attribute__((vector_size(32)));
    typedef long long longs __attribute__((vector_size(32)));
    typedef float floats __attribute__((vector_size(16)));
    typedef int ints __attribute__((vector_size(16)));
    const doubles lane = {0.0, 1.0, 2.0, 3.0};
    const longs number = {0, 1, 2, 3};
    const doubles step_a = lane * across_a, step_b = lane * across_b, step_c = lane * across_c;
    for (int y = 0; y < rows; ++y) {
        doubles a = edge_a + step_a, b = edge_b + step_b, c = edge_c + step_c;
        wp::int64* row = keys.data + first;
        for (int x = 0; x < columns; x += 4) {
            longs inside = number < (long long)(columns - x);
            if (!sure) inside &= (a >= least_a) & (b >= least_b) & (c >= least_c);
            const floats value = __builtin_convertvector(a * slope_a + b * slope_b + c * slope_c, floats);
            longs key = __builtin_convertvector((ints)value, longs);
            key = (orthographic ? key : 0x7fffffffll - key) << 32 | (long long)triangle;
            longs held;
            __builtin_memcpy(&held, row + x, sizeof(held));
            inside &= key < held;
            held = (key & inside) | (held & ~inside);
            __builtin_memcpy(row + x, &held, sizeof(held));
            a += 4 * across_a;
            b += 4 * across_b;
            c += 4 * across_c;
        }
        first += next_row;
        edge_a += down_a;
        edge_b += down_b;
        edge_c += down_c;
    }
#endif
    """
)
def lower_keys(
    keys: wp.array(dtype=wp.int64),
    first: wp.int32,
    next_row: wp.int32,
    rows: wp.int32,
    columns: wp.int32,
    sure: wp.bool,
    edge_a: wp.float64,
    edge_b: wp.float64,
    edge_c: wp.float64,
    across_a: wp.float64,
    across_b: wp.float64,
    across_c: wp.float64,
    down_a: wp.float64,
    down_b: wp.float64,
    down_c: wp.float64,
    least_a: wp.float64,
    least_b: wp.float64,
    least_c: wp.float64,
    slope_a: wp.float64,
    slope_b: wp.float64,
    slope_c: wp.float64,
    triangle: wp.int32,
    orthographic: wp.bool,
):
    """Lower those keys of a block, from number ``first`` on, that lie in a triangle, to that triangle's.

    next_row: from one row of the block to the next. sure: all lie in it. edge: the edge functions at the first pixel;
    across, down: what they grow by per column and row; least: from where on they are inside; slope: of the nearness
    over them. Positive floats order like their bits: one minimum picks the nearest surface and, on ties, the first
    triangle.

    In C++, where a CPU can work on four keys at once, as it cannot in Warp's own loop. It touches up to three keys too
    many, which it leaves as they are: rows end with some that belong to no pixel.
    """


@wp.func_native(
    """
#if !defined(__CUDA_ARCH__)
    typedef int ints __attribute__((vector_size(32)));
    typedef float floats __attribute__((vector_size(32)));
    typedef int half_ints __attribute__((vector_size(16)));
    typedef long long longs __attribute__((vector_size(32)));
    const ints lane = {0, 1, 2, 3, 4, 5, 6, 7};
    const ints step_a = lane * across_a, step_b = lane * across_b, step_c = lane * across_c;
    for (int y = 0; y < rows; ++y) {
        // Inside is where all three are 0 or more.
        ints a = edge_a + step_a, b = edge_b + step_b, c = edge_c + step_c;
        wp::int64* row = keys.data + first;
        for (int x = 0; x < columns; x += 8) {
            const ints inside = ((a | b | c) >= 0) & (lane < columns - x);
            const floats value = __builtin_convertvector(a + least_a, floats) * slope_a
                + __builtin_convertvector(b + least_b, floats) * slope_b
                + __builtin_convertvector(c + least_c, floats) * slope_c;
            ints bits = (ints)value;
            if (!orthographic) bits = 0x7fffffff - bits;
            for (int part = 0; part < 2; ++part) {
                half_ints half, half_inside;
                __builtin_memcpy(&half, (const char*)&bits + 16 * part, 16);
                __builtin_memcpy(&half_inside, (const char*)&inside + 16 * part, 16);
                const longs key = __builtin_convertvector(half, longs) << 32 | (long long)triangle;
                longs held;
                __builtin_memcpy(&held, row + x + 4 * part, sizeof(held));
                const longs lower = __builtin_convertvector(half_inside, longs) & (key < held);
                held = (key & lower) | (held & ~lower);
                __builtin_memcpy(row + x + 4 * part, &held, sizeof(held));
            }
            a += 8 * across_a;
            b += 8 * across_b;
            c += 8 * across_c;
        }
        first += next_row;
        edge_a += down_a;
        edge_b += down_b;
        edge_c += down_c;
    }
#endif
    """
)
def lower_keys_of_small(
    keys: wp.array(dtype=wp.int64),
    first: wp.int32,
    next_row: wp.int32,
    rows: wp.int32,
    columns: wp.int32,
    edge_a: wp.int32,
    edge_b: wp.int32,
    edge_c: wp.int32,
    across_a: wp.int32,
    across_b: wp.int32,
    across_c: wp.int32,
    down_a: wp.int32,
    down_b: wp.int32,
    down_c: wp.int32,
    least_a: wp.int32,
    least_b: wp.int32,
    least_c: wp.int32,
    slope_a: wp.float32,
    slope_b: wp.float32,
    slope_c: wp.float32,
    triangle: wp.int32,
    orthographic: wp.bool,
):
    """``lower_keys`` of triangles up to SMALL_EXTENT, eight keys at once, on the CPU; most triangles are such.

    edge: less ``least``, so that what is inside is not negative. It touches up to seven keys too many.
    """


@wp.func
def draw_triangle(
    b: int,
    f: int,
    part: int,
    faces: wp.array3d(dtype=wp.int32),
    screen: wp.array2d(dtype=wp.vec2i),
    weight: wp.array2d(dtype=wp.float32),
    orthographic: wp.bool,
    num_one_sided: wp.array(dtype=wp.int32),
    num_slices: wp.int32,
    height: wp.int32,
    width: wp.int32,
    pitch: wp.int32,
    keys: wp.array(dtype=wp.int64),
):
    """Draw every num_slices-th row of one triangle, from row ``part`` of it on."""
    scene = wp.min(b, faces.shape[0] - 1)
    ia = faces[scene, f, 0]
    ib = faces[scene, f, 1]
    ic = faces[scene, f, 2]
    wa = weight[b, ia]
    wb = weight[b, ib]
    wc = weight[b, ic]
    if wa == 0.0 or wb == 0.0 or wc == 0.0:
        return
    pa = screen[b, ia]
    pb = screen[b, ib]
    pc = screen[b, ic]
    left = wp.min(wp.min(pa[0], pb[0]), pc[0])
    top = wp.min(wp.min(pa[1], pb[1]), pc[1])
    right = wp.max(wp.max(pa[0], pb[0]), pc[0])
    bottom = wp.max(wp.max(pa[1], pb[1]), pc[1])
    extent = wp.max(right - left, bottom - top)
    x_begin = wp.max(first_pixel(left), 0)
    y_begin = wp.max(first_pixel(top), 0)
    x_end = wp.min(first_pixel(right + 1), width)
    y_end = wp.min(first_pixel(bottom + 1), height)
    if x_begin >= x_end or y_begin >= y_end:
        return
    area = edge(pa, pb, wp.int64(pc[0]), wp.int64(pc[1]))
    if area == wp.int64(0):
        return
    if area < wp.int64(0):
        # With y down, counter-clockwise seen from the camera has negative area.
        swap = pb
        pb = pc
        pc = swap
        swap_weight = wb
        wb = wc
        wc = swap_weight
        area = -area
    elif f < num_one_sided[scene]:
        return

    step = wp.int64(SUBPIXELS)
    x0 = wp.int64(x_begin) * step + step / wp.int64(2)
    y0 = wp.int64(y_begin + part) * step + step / wp.int64(2)
    edge_a = edge(pb, pc, x0, y0)
    edge_b = edge(pc, pa, x0, y0)
    edge_c = edge(pa, pb, x0, y0)
    across_a = (wp.int64(pb[1]) - wp.int64(pc[1])) * step
    across_b = (wp.int64(pc[1]) - wp.int64(pa[1])) * step
    across_c = (wp.int64(pa[1]) - wp.int64(pb[1])) * step
    down_a = (wp.int64(pc[0]) - wp.int64(pb[0])) * step * wp.int64(num_slices)
    down_b = (wp.int64(pa[0]) - wp.int64(pc[0])) * step * wp.int64(num_slices)
    down_c = (wp.int64(pb[0]) - wp.int64(pa[0])) * step * wp.int64(num_slices)
    least_a = least_inside(pb, pc)
    least_b = least_inside(pc, pa)
    least_c = least_inside(pa, pb)
    inverse_area = wp.float64(1.0) / wp.float64(area)
    slope_a = wp.float64(wa) * inverse_area
    slope_b = wp.float64(wb) * inverse_area
    slope_c = wp.float64(wc) * inverse_area
    first = (b * height + y_begin + part) * pitch + x_begin
    columns = x_end - x_begin
    rows = (y_end - y_begin - part + num_slices - 1) / num_slices
    if num_slices == 1 and extent <= SMALL_EXTENT:
        lower_keys_of_small(
            keys,
            first,
            num_slices * pitch,
            rows,
            columns,
            wp.int32(edge_a - least_a),
            wp.int32(edge_b - least_b),
            wp.int32(edge_c - least_c),
            wp.int32(across_a),
            wp.int32(across_b),
            wp.int32(across_c),
            wp.int32(down_a),
            wp.int32(down_b),
            wp.int32(down_c),
            wp.int32(least_a),
            wp.int32(least_b),
            wp.int32(least_c),
            wp.float32(slope_a),
            wp.float32(slope_b),
            wp.float32(slope_c),
            f,
            orthographic,
        )
        return
    # Where they are few, all pixels are tested; edge functions of a triangle that is not large are exact in floating
    # point, too. Of many, whole numbers say which are inside.
    few = columns <= FEW and extent < EXACT_EXTENT
    inverse_a = wp.float64(0.0)
    inverse_b = wp.float64(0.0)
    inverse_c = wp.float64(0.0)
    blocks = int(1)
    if not few:
        inverse_a = wp.float64(1.0) / wp.float64(across_a)
        inverse_b = wp.float64(1.0) / wp.float64(across_b)
        inverse_c = wp.float64(1.0) / wp.float64(across_c)
        blocks = rows
        rows = int(1)
    for _block in range(blocks):
        span = wp.vec2i(0, columns)
        if not few:
            span = narrow(span, edge_a - least_a, across_a, inverse_a)
            span = narrow(span, edge_b - least_b, across_b, inverse_b)
            span = narrow(span, edge_c - least_c, across_c, inverse_c)
        skipped = wp.int64(span[0])
        lower_keys(
            keys,
            first + span[0],
            num_slices * pitch,
            rows,
            span[1] - span[0],
            not few,
            wp.float64(edge_a + skipped * across_a),
            wp.float64(edge_b + skipped * across_b),
            wp.float64(edge_c + skipped * across_c),
            wp.float64(across_a),
            wp.float64(across_b),
            wp.float64(across_c),
            wp.float64(down_a),
            wp.float64(down_b),
            wp.float64(down_c),
            wp.float64(least_a),
            wp.float64(least_b),
            wp.float64(least_c),
            slope_a,
            slope_b,
            slope_c,
            f,
            orthographic,
        )
        edge_a += down_a
        edge_b += down_b
        edge_c += down_c
        first += num_slices * pitch
