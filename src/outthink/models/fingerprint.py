"""The eight hex digits in a model's name, which pin its weights.

Every byte of every weight counts. A file that is run as it is (GGUF, the weights of the lab) is
read whole. A model of transformers is read from memory, after it was loaded: so safetensors and
.bin files, whole or in shards, give the same digits for the same weights, and adapters are
weights like all others. Knows nothing of names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_DIGEST_BYTES = 4
_WORDS = 1 << 16
"""Words of eight bytes that are summed to one."""
_ROWS = 64
"""Sums made at once."""
_VOLATILE = {
    "_name_or_path",
    "architectures",
    "base_model_name_or_path",
    "dtype",
    "inference_mode",
    "peft_version",
    "revision",
    "torch_dtype",
    "transformers_version",
}
"""Entries of a configuration that say where a model comes from, not what it computes."""


def fingerprint(source: str | Path | Sequence[Path] | Mapping[str, Tensor], about: str = "") -> str:
    """Eight hex digits of a text, of the content of a file or of several, or of weights by their
    names.

    `about` is what else decides the results of a model. Raises `OSError` for a file that cannot be
    read.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    if isinstance(source, str):
        digest.update(source.encode())
    else:
        blocks = (
            _of_weights(source)
            if isinstance(source, Mapping)
            else _of_files([source] if isinstance(source, Path) else source)
        )
        for block in blocks:
            digest.update(block)
    digest.update(about.encode())
    return digest.hexdigest()


def configuration(model: Any) -> str:
    """What decides the results of a model of transformers beside its weights: its configuration,
    and that of its adapters (two that differ in their scale alone have the same weights)."""
    adapters = getattr(model, "peft_config", None) or {}
    kept = [
        model.config.to_dict(),
        *({"adapter": name, **settings.to_dict()} for name, settings in adapters.items()),
    ]
    return repr([_plain(entry) for entry in kept])


def _plain(value: Any) -> Any:
    """Dictionaries and sets in one order, without what is volatile."""
    if isinstance(value, Mapping):
        items = sorted((str(key), _plain(entry)) for key, entry in value.items())
        return [(key, entry) for key, entry in items if key not in _VOLATILE]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value)


def _of_files(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                yield block


def _of_weights(weights: Mapping[str, Tensor]) -> Iterator[bytes]:
    for name in sorted(weights):
        tensor = weights[name]
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode()
        yield _sums(tensor)


def _sums(tensor: Tensor) -> bytes:
    """The tensor's bytes, summed where it lies, so that a GPU's memory is not copied.

    Words are multiplied with odd numbers, modulo 2^64: a change within one word always changes the
    sum, and changes of several words cancel out with a chance of about 2^-64.
    """
    import torch

    flat = tensor.detach().contiguous().flatten().view(torch.uint8)
    factors = _factors(str(flat.device))
    sums = []
    for block in torch.split(flat, 8 * _WORDS * _ROWS):
        rows = -(-block.numel() // (8 * _WORDS))
        words = flat.new_zeros(rows * 8 * _WORDS)
        words[: block.numel()] = block
        sums.append((words.view(torch.int64).view(rows, _WORDS) * factors).sum(1))
    return torch.cat(sums).cpu().numpy().tobytes()


@lru_cache(4)
def _factors(device: str) -> Tensor:
    """[words] odd numbers that look random, the same everywhere."""
    import numpy as np
    import torch

    from outthink.models.chance import hashed

    numbers = hashed(np.zeros(1, np.uint64), np.arange(_WORDS)) | np.uint64(1)
    return torch.from_numpy(numbers.view(np.int64)).to(device)
