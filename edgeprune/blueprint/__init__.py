"""A network's architecture as plain JSON, so that a pruned network needs no pickle.

A pruned network is no longer what its constructor would build: widths changed, and which ones is
known only to the module tree itself. So the tree is written down: for every module its class by
name, its plain attributes, its parameters, buffers and children. ``rebuild`` makes the instances
without calling any constructor and sets that state again; no code comes from the file.

    allowed.py   which names a file may ask for
    values.py    one attribute as JSON and back
    modules.py   the module tree as JSON and back
    file.py      blueprint and tensors in one .safetensors file
"""

from edgeprune.blueprint.allowed import Allowed
from edgeprune.blueprint.file import StoredNetwork, read, write
from edgeprune.blueprint.modules import describe, rebuild

__all__ = ["Allowed", "StoredNetwork", "describe", "read", "rebuild", "write"]
