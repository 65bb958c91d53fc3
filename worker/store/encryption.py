"""Seals what must not be read by whoever gets hold of the database: tokens, encrypted.

The keys come from outside the database. They rotate: the first seals, every one of them opens;
`encrypt_anew` brings what an older key sealed to the first.
"""

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class DecryptError(Exception):
    """None of the keys opens this."""


class Encrypter:
    """Seals with the first of `keys`, opens with any. A key may be any text that isn't guessed."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys or not all(keys):
            raise ValueError("sealing needs at least one key, and no empty one")
        self._fernet = MultiFernet([Fernet(_derived(key)) for key in keys])

    def encrypt_text(self, text: str) -> bytes:
        return self._fernet.encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """What was sealed; raises `DecryptError`."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as error:
            raise DecryptError(
                "a stored grant can't be opened with the keys there are: put the key back that "
                "it was sealed with, or connect again"
            ) from error

    def encrypt_anew(self, sealed: bytes) -> bytes:
        """The same under the first key; raises `DecryptError`."""
        return self.encrypt_text(self.open(sealed))


def _derived(key: str) -> bytes:
    """A key of Fernet's make, of its own: the links are signed with the same text otherwise."""
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"easeback.seal")
    return base64.urlsafe_b64encode(derive.derive(key.encode()))
