"""The keys that sign links and encrypt credentials: those of `secret_key`, or a file of keys."""

import os
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path
from tempfile import mkstemp

from worker.config import Settings, SettingsError

_KEY_BYTES = 32


def read_keys(settings: Settings) -> tuple[str, ...]:
    """The keys, newest first. If there is none, one is created.

    They are from `secret_key`, separated by commas, or else from the lines of `<data_dir>/keys`,
    which only the owner may read. Raises `SettingsError`.
    """
    if settings.secret_key is not None:
        found = [key.strip() for key in settings.secret_key.get_secret_value().split(",")]
    else:
        found = _read_file(settings.data_dir / "keys")
    if not any(found):
        raise SettingsError(
            "secret_key, or the file `keys` in data_dir, is empty: "
            "put the key back, or remove the file to have a new one made"
        )
    return tuple(key for key in found if key)


def add_key(settings: Settings) -> bool:
    """Add a new key before the others; False if they are in `secret_key`.

    Raises `SettingsError` if the file can't be read or written.
    """
    if settings.secret_key is not None:
        return False
    path = settings.data_dir / "keys"
    old = _read_file(path)
    try:
        _write_beside(path, [_new_key(), *old]).replace(path)
    except OSError as error:
        raise SettingsError(f"{path}: can't be written: {error}") from error
    return True


def _new_key() -> str:
    return urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def _read_file(path: Path) -> list[str]:
    """The keys in the file, which is created with one key if it doesn't exist."""
    try:
        if not path.exists():
            part = _write_beside(path, [_new_key()])
            try:
                # If two processes start at once, the file of the first one is kept.
                os.link(part, path)
            except FileExistsError:
                pass
            except OSError:  # file systems without hard links (exFAT, SMB)
                part.replace(path)
            part.unlink(missing_ok=True)
        return path.read_text("ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be used: {error}") from error


def _write_beside(path: Path, keys: list[str]) -> Path:
    """Write the keys to a temporary file, because a truncated file would lock us out.

    Only its owner may read it. Its name is random, because in containers several processes that
    share the folder have the same number.
    """
    descriptor, name = mkstemp(prefix=".keys.", suffix=".part", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join([*keys, ""]))
        file.flush()
        os.fsync(descriptor)
    return Path(name)
