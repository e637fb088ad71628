"""Keys of users: made here, kept as hashes, compared in constant time.

A key is 32 random bytes, so one SHA-256 of it is as hard to undo as any slower hash.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from outthink import whole
from outthink.errors import UsageError
from outthink.gateway.spent import Allowance

_PREFIX = "sk-outthink-"


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of users, by the hash of their key, and what each may spend."""

    by_hash: Mapping[str, str]
    allowed: Mapping[str, Allowance]

    @classmethod
    def read(cls, path: Path) -> Keys:
        """The keys in a file. Raises `UsageError` where it cannot be read, or holds none."""
        users = _read(path)
        if not users:
            raise UsageError(f"{path} holds no key; make one, with 'outthink key NAME -o {path}'")
        by_hash = {user.key: name for name, user in users.items()}
        return cls(by_hash, {name: user.allowance for name, user in users.items()})

    @property
    def has_limits(self) -> bool:
        return any(one != Allowance() for one in self.allowed.values())

    def name(self, key: str) -> str | None:
        """Whose key this is; `None` for nobody's. Every key is compared, whichever fits."""
        told, name = _hash(key), None
        for known, user in self.by_hash.items():
            if hmac.compare_digest(known, told):
                name = user
        return name


@dataclass(frozen=True, slots=True)
class _User:
    key: str
    """Its hash."""
    allowance: Allowance

    @property
    def as_json(self) -> str | dict[str, Any]:
        limits = {name: value for name, value in asdict(self.allowance).items() if value}
        return {"key": self.key, **limits} if limits else self.key


def add(path: Path, name: str, allowance: Allowance = Allowance()) -> str:  # noqa: B008 - frozen
    """Make a key for a user and keep its hash; the key itself is kept nowhere.

    Raises `UsageError` where the user has one, `RunError` where the file cannot be written.
    """
    key = _PREFIX + secrets.token_urlsafe(32)
    with whole.saved(path, private=True) as part:  # nobody else adds one meanwhile
        known = _read(path) if path.exists() else {}
        if name in known:
            raise UsageError(
                f"{path} has a key of {name!r} already; take its line out, or another name"
            )
        users = {**known, name: _User(_hash(key), allowance)}
        told = {name: user.as_json for name, user in users.items()}
        part.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    return key


def _read(path: Path) -> dict[str, _User]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: _user(told) for name, told in data.items()}
    except OSError as error:
        raise UsageError(f"cannot read keys {path}: {error.strerror}; correct the path") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: is no file of keys; make one with 'outthink key'") from error


def _user(told: Any) -> _User:
    """A user as the file has it: a hash, or a hash with limits."""
    limits = dict(told) if isinstance(told, dict) else {"key": told}
    key = limits.pop("key", None)
    if not isinstance(key, str) or not all(type(n) is int and n > 0 for n in limits.values()):
        raise ValueError("no key, or a limit that is no number above 0")
    return _User(key, Allowance(**limits))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
