"""The folder of a demo: made where there was none, cleared where there was a former demo.

    FOLDER/index.html                 the page about all of it
    FOLDER/2026-02-14-alert.eml       each mail, as it was sent
    FOLDER/2026-02-14-alert.html      and as it looks
    FOLDER/easeback.toml              settings to look around with
    FOLDER/data/                      the worker's data_dir: database, inbox with the FIT files

What else lies in the folder is somebody's, and stays; a folder that isn't a demo's isn't used.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

_MARK = ".easeback-demo"
_MARK_WORDS = "Made by `easeback demo`, which replaces what it made before.\n"
_OURS = re.compile(r"\d{4}-\d\d-\d\d-[a-z]+(-\d+)?\.(eml|html)|index\.html|easeback\.toml")
_SETTINGS = """\
# The settings of the demo. Look around, in its folder:
#   easeback --config easeback.toml alerts
#   easeback --config easeback.toml explain 2026-02-14
data_dir = {data_dir}
"""


class SceneError(Exception):
    """The demo can't be played in this folder; the message says why."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A demo's folder, by its absolute path."""

    folder: Path

    @classmethod
    def set_up(cls, folder: Path) -> "Scene":
        """An empty scene in this folder; raises `SceneError` where somebody's files are there."""
        scene = cls(folder.absolute())
        try:
            scene._clear()
            scene.folder.mkdir(parents=True, exist_ok=True)
            (scene.folder / _MARK).write_text(_MARK_WORDS, "utf-8")
            scene.settings_file.write_text(
                _SETTINGS.format(data_dir=_toml_text(str(scene.data_dir))), "utf-8"
            )
        except OSError as error:
            raise SceneError(
                f"the demo can't be set up in {scene.folder}: {error.strerror or error}; "
                "name another folder with --folder"
            ) from error
        return scene

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def settings_file(self) -> Path:
        return self.folder / "easeback.toml"

    @property
    def page(self) -> Path:
        return self.folder / "index.html"

    def _clear(self) -> None:
        """Take away what a former demo made, and only that."""
        if self.folder.exists() and not self.folder.is_dir():
            raise SceneError(f"{self.folder} is no folder: name another with --folder")
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return
        mark = self.folder / _MARK
        if mark.is_symlink() or not mark.is_file():
            raise SceneError(
                f"{self.folder} holds files that aren't a demo's: name another with --folder"
            )
        for path in self.folder.iterdir():
            if _OURS.fullmatch(path.name) and (path.is_file() or path.is_symlink()):
                path.unlink()
        if self.data_dir.is_symlink():
            raise SceneError(f"{self.data_dir} leads elsewhere: name another folder with --folder")
        if self.data_dir.exists():
            shutil.rmtree(self.data_dir)


def _toml_text(text: str) -> str:
    """A TOML string; what can't stand in one as it is, is escaped."""
    escaped = (
        letter if letter.isprintable() and letter not in '"\\' else f"\\U{ord(letter):08X}"
        for letter in text
    )
    return f'"{"".join(escaped)}"'
