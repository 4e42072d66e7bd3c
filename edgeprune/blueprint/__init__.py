"""A network's architecture as plain JSON, so that a pruned network needs no pickle.

The constructor of a pruned network would build the original widths: the new ones are known only to
the module tree itself. So the tree is described: for every module its class by name, its plain
attributes, its parameters, buffers and children. ``rebuild`` makes the instances without calling
any constructor and sets that state again; no code comes from the file.

    allowed.py   names that a file may refer to
    values.py    one attribute as JSON and back
    modules.py   the module tree as JSON and back
    file.py      blueprint and tensors in one .safetensors file
"""

from edgeprune.blueprint.allowed import Allowed
from edgeprune.blueprint.file import StoredNetwork, read, write
from edgeprune.blueprint.modules import describe, rebuild

__all__ = ["Allowed", "StoredNetwork", "describe", "read", "rebuild", "write"]
