"""Keys of users: made here, kept as hashes, compared in constant time.

A key is 32 random bytes, so one SHA-256 of it is as hard to undo as any slower hash.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from outthink.errors import UsageError

_PREFIX = "sk-outthink-"


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of users, by the hash of their key."""

    by_hash: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Keys:
        """The keys in a file. Raises `UsageError` where it cannot be read, or holds none."""
        by_name = _read(path)
        if not by_name:
            raise UsageError(f"{path} holds no key; make one, with 'outthink key NAME -o {path}'")
        return cls({told: name for name, told in by_name.items()})

    def name(self, key: str) -> str | None:
        """Whose key this is; `None` for nobody's. Every key is compared, whichever fits."""
        told, name = _hash(key), None
        for known, user in self.by_hash.items():
            if hmac.compare_digest(known, told):
                name = user
        return name


def add(path: Path, name: str) -> str:
    """Make a key for a user and keep its hash; the key itself is kept nowhere.

    Raises `UsageError` where the user has one.
    """
    known = _read(path) if path.exists() else {}
    if name in known:
        raise UsageError(
            f"{path} has a key of {name!r} already; take its line out, or another name"
        )
    key = _PREFIX + secrets.token_urlsafe(32)
    part = path.with_name(f"{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(json.dumps({**known, name: _hash(key)}, indent=1) + "\n")
    os.replace(part, path)
    return key


def _read(path: Path) -> dict[str, str]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read keys {path}: {error.strerror}; correct the path") from error
    except ValueError as error:
        raise UsageError(f"{path}: is no file of keys; make one with 'outthink key'") from error
    if not isinstance(data, dict) or not all(isinstance(told, str) for told in data.values()):
        raise UsageError(f"{path}: is no file of keys; make one with 'outthink key'")
    return data


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
