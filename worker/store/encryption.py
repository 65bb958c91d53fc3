"""Encrypts tokens and keys, so that the database alone doesn't reveal them.

The keys are outside the database. They can be rotated: the first one encrypts, and all of them
decrypt. `encrypt_anew` re-encrypts with the first key.
"""

import base64
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class DecryptError(Exception):
    """None of the keys decrypts this."""


class Encrypter:
    """Encrypts with the first of `keys`, decrypts with any. A key is any text hard to guess."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys or not all(keys):
            raise ValueError("encryption needs at least one key, and no empty one")
        self._keys = tuple(keys)

    @cached_property
    def _fernet(self) -> "MultiFernet":
        """Imported on first use, so that commands without credentials start faster."""
        from cryptography.fernet import Fernet, MultiFernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        fernets = []
        for key in self._keys:
            # Derive a separate key in Fernet's format, because the same text also signs links.
            derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"easeback.seal")
            fernets.append(Fernet(base64.urlsafe_b64encode(derived.derive(key.encode()))))
        return MultiFernet(fernets)

    def encrypt_text(self, text: str) -> bytes:
        return self._fernet.encrypt(text.encode())

    def decrypt(self, encrypted: bytes) -> str:
        """Decrypt a text; raises `DecryptError`."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(encrypted).decode()
        except InvalidToken as error:
            raise DecryptError(
                "a stored grant can't be opened with the keys there are: put the key back that "
                "it was sealed with, or connect again"
            ) from error

    def encrypt_anew(self, encrypted: bytes) -> bytes:
        """Re-encrypt with the first key; raises `DecryptError`."""
        return self.encrypt_text(self.decrypt(encrypted))
