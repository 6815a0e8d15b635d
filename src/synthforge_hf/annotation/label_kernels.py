# mypy: ignore-errors
# (Kernels are read by Warp's compiler, whose types are not Python's.)

"""The Warp kernels that read labels off a rasterised mesh, one thread per image row. Imported on first use only."""

import warp as wp

wp.set_module_options({"enable_backward": False, "fast_math": False, "fuse_fp": False})


@wp.kernel
def shade_normals(
    triangle: wp.array2d(dtype=wp.int32),
    barycentric: wp.array2d(dtype=wp.vec3f),
    faces: wp.array2d(dtype=wp.int32),
    vertices: wp.array(dtype=wp.vec3f),
    vertex_normals: wp.array(dtype=wp.vec3f),
    inverse_intrinsics: wp.mat33f,
    normals: wp.array2d(dtype=wp.vec3f),
):
    """Write the unit normal of every pixel with a surface, facing the camera. All vectors in the camera frame."""
    y = wp.tid()
    for x in range(triangle.shape[1]):
        f = triangle[y, x]
        if f >= 0:
            a = faces[f, 0]
            b = faces[f, 1]
            c = faces[f, 2]
            weights = barycentric[y, x]
            normal = weights[0] * vertex_normals[a] + weights[1] * vertex_normals[b] + weights[2] * vertex_normals[c]
            geometric = wp.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
            if wp.length_sq(normal) < 1.0e-6:
                # Vertex normals that cancel out say nothing; the triangle's own normal does.
                normal = geometric
            if wp.dot(geometric, vertices[a]) > 0.0:
                normal = -normal
            normal = wp.normalize(normal)
            ray = wp.normalize(inverse_intrinsics * wp.vec3f(wp.float32(x) + 0.5, wp.float32(y) + 0.5, 1.0))
            away = wp.dot(normal, ray)
            if away > 0.0:
                normal = wp.normalize(normal - away * ray)
            normals[y, x] = normal


@wp.kernel
def look_up_classes(
    triangle: wp.array2d(dtype=wp.int32),
    barycentric: wp.array2d(dtype=wp.vec3f),
    triangle_classes: wp.array(dtype=wp.uint8),
    corner_uv: wp.array2d(dtype=wp.vec2f),
    label_texture: wp.array2d(dtype=wp.uint8),
    look_up_class: wp.uint8,
    segmentation: wp.array2d(dtype=wp.uint8),
):
    """Write the class under every pixel with a surface: the triangle's or, for look_up_class, the nearest texel's."""
    y = wp.tid()
    rows = label_texture.shape[0]
    columns = label_texture.shape[1]
    for x in range(triangle.shape[1]):
        f = triangle[y, x]
        if f >= 0:
            label = triangle_classes[f]
            if label == look_up_class:
                weights = barycentric[y, x]
                uv = weights[0] * corner_uv[f, 0] + weights[1] * corner_uv[f, 1] + weights[2] * corner_uv[f, 2]
                column = wp.clamp(wp.int32(uv[0] * wp.float32(columns)), 0, columns - 1)
                row = wp.clamp(wp.int32(uv[1] * wp.float32(rows)), 0, rows - 1)
                label = label_texture[row, column]
            segmentation[y, x] = label
