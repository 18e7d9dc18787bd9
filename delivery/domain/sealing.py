"""Secrets at rest: AES-256-GCM, bound to their owner, under a ring of master keys.

A sealed text is ``name:base64(nonce + ciphertext)``. The owner's id is associated data: a ciphertext that was moved to
another row does not open there.
"""

import base64
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_KEY_BYTES = 32


class UnreadableSecretError(Exception):
    """A sealed text that no key of the ring opens for this owner."""


def sealed_with(sealed: str) -> str:
    """The name of the master key that sealed a text.

    >>> sealed_with("k1:c2VhbGVk")
    'k1'
    """
    return sealed.partition(":")[0]


class KeyRing:
    """The master keys: the first one seals, all of them open."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        if not keys:
            raise ValueError("a key ring needs at least one key")
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self.names = frozenset(keys)
        self.newest = next(iter(keys))

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read ``name:base64,name:base64``; each key is 32 bytes.

        >>> KeyRing.parse("k2:" + "A" * 43 + "=,k1:" + "B" * 43 + "=").newest
        'k2'
        """
        keys: dict[str, bytes] = {}
        for entry in text.split(","):
            name, colon, encoded = entry.strip().partition(":")
            if not colon:  # what stands there is the key itself: it must not be quoted
                raise ValueError("a master key is written name:base64")
            try:
                key = base64.b64decode(encoded, validate=True)
            except ValueError as error:  # binascii.Error is one
                raise ValueError(f"master key {name!r} is not base64") from error
            if not name or name in keys or len(key) != _KEY_BYTES:
                raise ValueError(
                    f"master key {name!r}: wants a unique name and 32 bytes of base64, got {len(key)} bytes"
                )
            keys[name] = key
        return cls(keys)

    def seal(self, plain: str, *, owner: str, entropy: Callable[[int], bytes]) -> str:
        """Encrypt with the newest key. ``entropy(n)`` gives n random bytes, never the same twice."""
        nonce = entropy(_NONCE_BYTES)
        box = self._ciphers[self.newest].encrypt(nonce, plain.encode(), owner.encode())
        return f"{self.newest}:{base64.b64encode(nonce + box).decode()}"

    def open(self, sealed: str, *, owner: str) -> str:
        """Decrypt.

        Raises:
            UnreadableSecretError: the key is not in the ring, or the text was changed or belongs to another owner.
        """
        name, encoded = sealed_with(sealed), sealed.partition(":")[2]
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise UnreadableSecretError(f"sealed with master key {name!r}, which is not among the configured ones")
        try:
            box = base64.b64decode(encoded)
            return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], owner.encode()).decode()
        except (InvalidTag, ValueError) as error:  # ValueError: no longer base64, or too short to be one of ours
            raise UnreadableSecretError(f"master key {name!r} does not open the secret of {owner}") from error
