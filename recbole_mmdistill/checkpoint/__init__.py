"""The checkpoint file: tensors and plain data in one safetensors file, nothing of it code.

A checkpoint is a dict whose leaves are tensors, arrays, texts, numbers, bools and None. Each tensor
stands in the file under its path, for example ``state_dict/item_embedding.weight``. The tree itself
is JSON in UTF-8, kept as the byte tensor ``data`` because a header has a limit. In this JSON a dict
with one key that begins with ``$`` stands for what JSON cannot say.

Files of ``torch.save`` are read too, if torch's own ``weights_only`` loader takes them.
"""

from .file import FORMAT, check_regular, peek, read, write
from .tree import map_tensors

__all__ = ["FORMAT", "check_regular", "map_tensors", "peek", "read", "write"]
