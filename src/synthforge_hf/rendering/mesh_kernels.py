# mypy: ignore-errors
# (Kernels are read by Warp's compiler, whose types are not Python's.)

"""The Warp kernel of ``mesh``. Imported on first use only, because importing Warp takes a third of a second."""

import warp as wp

wp.set_module_options({"enable_backward": False, "fast_math": False, "fuse_fp": False})


@wp.kernel
def add_face_normals(
    vertices: wp.array(dtype=wp.vec3f), faces: wp.array2d(dtype=wp.int32), normals: wp.array(dtype=wp.vec3f)
):
    """One thread adds the normal of each face, as long as twice its area, to its corners, and scales the sums to
    length 1; (0, 0, 1) where they vanish."""
    for f in range(faces.shape[0]):
        a = faces[f, 0]
        b = faces[f, 1]
        c = faces[f, 2]
        normal = wp.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
        normals[a] = normals[a] + normal
        normals[b] = normals[b] + normal
        normals[c] = normals[c] + normal
    for v in range(normals.shape[0]):
        # Squared, the normals of triangles of a square micrometre would vanish.
        normal = normals[v]
        largest = wp.max(wp.max(wp.abs(normal[0]), wp.abs(normal[1])), wp.abs(normal[2]))
        if largest <= 1.0e-20:
            normals[v] = wp.vec3f(0.0, 0.0, 1.0)
        else:
            normals[v] = wp.normalize(normal / largest)
