"""Reading other people's pickle files without running anything that is in them.

A pickle is a program. Here it may only build plain containers, arrays and inert records: whatever else it names is
refused before it is looked at, and no module named by a file is ever imported.
"""

from synthforge_hf.unpickling.restricted import (
    PLAIN_GLOBALS,
    InertObject,
    RefusedPickleError,
    load_restricted,
    load_restricted_npy,
)
from synthforge_hf.unpickling.tensors import TENSOR_GLOBALS

__all__ = [
    "PLAIN_GLOBALS",
    "TENSOR_GLOBALS",
    "InertObject",
    "RefusedPickleError",
    "load_restricted",
    "load_restricted_npy",
]
