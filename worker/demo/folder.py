"""The folder of a demo: created if it is missing, cleared if it has an earlier demo.

    FOLDER/index.html                 the page about all of it
    FOLDER/2026-02-14-alert.eml       each mail, as it was sent
    FOLDER/2026-02-14-alert.html      and as it looks
    FOLDER/easeback.toml              settings to look around with
    FOLDER/data/                      the worker's data_dir: database, inbox with the FIT files
    FOLDER/kim/                       the same, without the page, for the runner who goes by feel

Other files in the folder are left alone. A non-empty folder without a demo is refused.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from worker.config import toml_string

_MARK = ".easeback-demo"
_MARK_WORDS = "Made by `easeback demo`, which replaces what it made before.\n"
_OURS = re.compile(r"\d{4}-\d\d-\d\d-[a-z]+(-\d+)?\.(eml|html)|index\.html|easeback\.toml")
_SETTINGS = """\
# The settings of the demo. Look around, in its folder:
#   easeback --config easeback.toml alerts
#   easeback --config easeback.toml explain 2026-02-14
data_dir = {data_dir}
"""


class DemoFolderError(Exception):
    """The demo can't be played in this folder; the message says why."""


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """A demo's folder by its absolute path, and the paths in it."""

    path: Path

    @classmethod
    def set_up(cls, path: Path) -> "DemoFolder":
        """Create an empty demo folder; raises `DemoFolderError` if it has other files."""
        made = cls(path.absolute())
        try:
            made._clear()
            made.path.mkdir(parents=True, exist_ok=True)
            (made.path / _MARK).write_text(_MARK_WORDS, "utf-8")
            data_dir = toml_string(str(made.data_dir))
            made.settings_file.write_text(_SETTINGS.format(data_dir=data_dir), "utf-8")
        except OSError as error:
            raise DemoFolderError(
                f"the demo can't be set up in {made.path}: {error.strerror or error}; "
                "name another folder with --folder"
            ) from error
        return made

    @property
    def data_dir(self) -> Path:
        return self.path / "data"

    @property
    def settings_file(self) -> Path:
        return self.path / "easeback.toml"

    @property
    def page(self) -> Path:
        return self.path / "index.html"

    def _clear(self) -> None:
        """Delete the files of an earlier demo, and no others."""
        if self.path.exists() and not self.path.is_dir():
            raise DemoFolderError(f"{self.path} is no folder: name another with --folder")
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        mark = self.path / _MARK
        if mark.is_symlink() or not mark.is_file():
            raise DemoFolderError(
                f"{self.path} holds files that aren't a demo's: name another with --folder"
            )
        for path in self.path.iterdir():
            if _OURS.fullmatch(path.name) and (path.is_file() or path.is_symlink()):
                path.unlink()
        if self.data_dir.is_symlink():
            raise DemoFolderError(
                f"{self.data_dir} leads elsewhere: name another folder with --folder"
            )
        if self.data_dir.exists():
            shutil.rmtree(self.data_dir)
