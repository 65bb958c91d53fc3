"""Runs the story: once undisturbed, then killed, restarted and continued to its end.

The undisturbed run copies the folder before each scene, so that a life killed in scene 20 starts
there instead of on the first day.
"""

import os
import random
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from simulators.http_server import Server, running
from tests.crash import sink
from tests.crash import strava as there
from tests.crash.databases import Database
from tests.crash.launcher import CREW_IS_MISSED_S, End, Launcher, Life
from tests.crash.mutants import MUTANTS
from tests.crash.promises import Kill, Outcome, broken, outcome_of, tokens_of
from tests.crash.sink import Sink
from tests.crash.story import INSTANT, OPERATOR, athletes_into, scenes
from tests.crash.strava import Strava
from worker.store import Store

KEY = "a key of the crash tests that is long enough"
"""Gives the same links in every life."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The outside world's state before a scene."""

    mail: sink.Memory = field(default_factory=sink.Memory)
    strava: there.Memory = field(default_factory=there.Memory)


@dataclass(frozen=True, slots=True)
class Boundary:
    """A place to kill at: the scene, and the boundary's number in its process."""

    scene: int
    number: int
    label: str


@dataclass(frozen=True, slots=True)
class Dry:
    """The undisturbed run: its boundaries, the seconds of each scene, and its outcome."""

    boundaries: tuple[Boundary, ...]
    lasted_s: tuple[float, ...]
    outcome: Outcome
    memories: tuple[Memory, ...] = field(repr=False)


class Fortnight:
    """One data folder, mail sink, Strava and launcher, and the story."""

    def __init__(
        self,
        folder: Path,
        sink: Sink,
        strava: Server,
        launcher: Launcher,
        *,
        database: Database | None = None,
        until: int | None = None,
        crew: bool = False,
    ) -> None:
        self._crew = crew
        self._folder = folder
        self._home = folder / "home"
        self._sink = sink
        assert isinstance(strava.service, Strava)
        self._strava = strava.service
        self._strava_address = strava.base_url
        self._launcher = launcher
        self._database = database
        self.scenes = scenes()[:until]

    @property
    def settings(self) -> Mapping[str, str]:
        told = {
            "EASEBACK_DATA_DIR": str(self._home / "data"),
            "EASEBACK_MAIL__HOST": "127.0.0.1",
            "EASEBACK_MAIL__PORT": str(self._sink.port),
            "EASEBACK_MAIL__SECURITY": "none",
            "EASEBACK_MAIL__SENDER": "easeback@example.org",
            "EASEBACK_MAIL__OPERATOR": OPERATOR,
            "EASEBACK_INBOX__PATH": str(self._home / "inbox"),
            "EASEBACK_STRAVA__BASE_URL": self._strava_address,
            "EASEBACK_STRAVA__CLIENT_ID": self._strava.application.client_id,
            "EASEBACK_STRAVA__CLIENT_SECRET": self._strava.application.client_secret,
            "EASEBACK_SECRET_KEY": KEY,
        }
        if self._crew:
            told["EASEBACK_ENGINE__KIND"] = "procrastinate"
        return told | ({"EASEBACK_DATABASE_URL": self._database.url} if self._database else {})

    @property
    def url(self) -> str:
        if self._database is not None:
            return self._database.url
        return f"sqlite:///{self._home / 'data' / 'easeback.db'}"

    def begin(self) -> None:
        """Create an empty data folder with the four athletes."""
        shutil.rmtree(self._home, ignore_errors=True)
        (self._home / "inbox").mkdir(parents=True)
        if self._database is not None:
            self._database.empty()
        self._recall(Memory())
        store = Store.open(self.url)
        athletes_into(store)
        store.close()

    def dry(self, *, mutant: str | None = None) -> Dry:
        """Run the story undisturbed."""
        for copy in self._folder.glob("scene-*"):
            shutil.rmtree(copy)
        self.begin()
        boundaries: list[Boundary] = []
        lasted_s: list[float] = []
        memories: list[Memory] = []
        for number in range(len(self.scenes)):
            memories.append(Memory(self._sink.memory(), self._strava.memory()))
            self._keep_copy(number)
            end = self._live(number, labels=True, mutant=mutant)
            boundaries += [Boundary(number, n, label) for n, label in enumerate(end.labels)]
            lasted_s.append(end.lasted_s)
        return Dry(tuple(boundaries), tuple(lasted_s), self._outcome(), tuple(memories))

    def killed_at(self, boundary: Boundary, dry: Dry, *, mutant: str | None = None) -> Outcome:
        """Run it, killed at that boundary, restarted, and undisturbed from then on."""
        self._go_back_to(boundary.scene, dry)
        end = self._live(boundary.scene, kill_at=boundary.number, mutant=mutant)
        # Threads of a crew's worker don't pass the same boundaries every time.
        assert self._crew or end.last == boundary.label, f"{boundary} wasn't come by: {end}"
        late_s = end.lasted_s + self._miss(end)
        self._go_on(boundary.scene, late_s=late_s, mutant=mutant)
        kills = [Kill.of(end, self.scenes[boundary.scene].at)] if end.killed else []
        return self._outcome(kills)

    def killed_at_random(self, dry: Dry, dice: random.Random, *, share: float) -> Outcome:
        """Run it, each life killed at a random time with the probability `share`."""
        self.begin()
        kills: list[Kill] = []
        for number, lasts_s in enumerate(dry.lasted_s):
            late_s = 0.0
            while dice.random() < share:
                end = self._live(number, late_s=late_s, kill_after_s=dice.uniform(0, lasts_s))
                kills += [Kill.of(end, self.scenes[number].at)] if end.killed else []
                late_s += end.lasted_s + self._miss(end)
            self._live(number, late_s=late_s)
        return self._outcome(kills)

    def caught(self, mutant: str) -> str | None:
        """Where that mutant first breaks its promise, and what else it breaks; None if nowhere."""
        wanted = MUTANTS[mutant]
        dry = self.dry(mutant=mutant)
        assert not broken(dry.outcome, dry.outcome), "it's wrong even where nothing is killed"
        likely = sorted(
            one_of_each(dry.boundaries, at_least=0), key=lambda b: wanted.near not in b.label
        )
        assert wanted.near in likely[0].label, f"nothing is labelled {wanted.near!r}"
        for boundary in (*likely, *dry.boundaries):
            wrong = broken(dry.outcome, self.killed_at(boundary, dry, mutant=mutant))
            if wanted.breaks in wrong:
                return f"{', '.join(wrong)} (killed {boundary.label})"
        return None

    def _go_on(self, begin: int, *, late_s: float = 0.0, mutant: str | None = None) -> None:
        """Continue undisturbed from scene `begin` in one process."""
        numbers = range(len(self.scenes))[begin:]
        life = Life(
            str(self._home), scenes=tuple(numbers), late_s=late_s, settings=self.settings,
            mutant=mutant, crew=self._crew,
        )  # fmt: skip
        ended = self._launcher.live(life)
        assert ended.status == 0, (self._home / "log").read_text()[-2000:]

    def _live(
        self,
        number: int,
        *,
        late_s: float = 0.0,
        kill_at: int | None = None,
        kill_after_s: float | None = None,
        mutant: str | None = None,
        labels: bool = False,
    ) -> End:
        scene = self.scenes[number].later(late_s)
        scene.begin(self._home)
        return self._launcher.live(
            Life(
                home=str(self._home),
                command=() if self._crew else scene.command,
                scenes=(number,) if self._crew else (),
                scene=None if self._crew else number,
                crew=self._crew,
                late_s=late_s,
                settings=self.settings,
                kill_at=kill_at,
                kill_after_s=kill_after_s,
                mutant=mutant,
                labels=labels,
            )
        )

    def _miss(self, end: End) -> float:
        """Let the rest of the crew notice that this worker has died; returns the seconds taken."""
        if not (self._crew and end.killed):
            return 0.0
        time.sleep(CREW_IS_MISSED_S + 0.1)
        return CREW_IS_MISSED_S + 0.1

    def _outcome(self, kills: Sequence[Kill] = ()) -> Outcome:
        store = Store.open(self.url)
        try:
            found = outcome_of(store, self._sink.mails, self._home)
            tokens = tokens_of(store, self._strava, key=KEY, passes=[s.at for s in self.scenes])
            return replace(found, tokens=tokens, kills=tuple(kills))
        finally:
            store.close()

    def _recall(self, memory: Memory) -> None:
        self._sink.recall(memory.mail)
        self._strava.recall(memory.strava)

    def _keep_copy(self, scene: int) -> None:
        """Keep the folder as the start of killed lives; the undisturbed run continues with a copy.

        Otherwise only the killed life's folders would look changed, and handling that would shift
        all boundaries after it.
        """
        kept = self._folder / f"scene-{scene}"
        self._home.rename(kept)
        shutil.copytree(kept, self._home, copy_function=_copy)
        if self._database is not None:
            self._database.back_up(scene)

    def _go_back_to(self, scene: int, dry: Dry) -> None:
        """Restore the data folder and the world outside to the state before that scene."""
        shutil.rmtree(self._home, ignore_errors=True)
        shutil.copytree(self._folder / f"scene-{scene}", self._home, copy_function=_copy)
        if self._database is not None:
            self._database.go_back_to(scene)
        self._recall(dry.memories[scene])


def _copy(source: str, target: str) -> None:
    shutil.copy2(source, target)


@contextmanager
def fortnight(
    *, database: Database | None = None, until: int | None = None, crew: bool = False
) -> Iterator[Fortnight]:
    """A fortnight, or its first scenes, in a temporary folder, in memory if possible.

    `crew`: on the engine for several workers.

    SIGKILL loses nothing that was written, synced or not, so a disk would only be slower.
    """
    shared = Path("/dev/shm")  # noqa: S108  the folder made in it is nobody else's
    root = str(shared) if os.access(shared, os.W_OK) else None
    with (
        TemporaryDirectory(prefix="easeback-crash-", dir=root) as folder,
        Sink() as mail,
        running(Strava(stage=Path(folder) / "home" / INSTANT)) as served,
        Launcher() as launcher,
    ):
        yield Fortnight(
            Path(folder), mail, served, launcher, database=database, until=until, crew=crew
        )


def one_of_each(boundaries: Sequence[Boundary], *, at_least: int) -> list[Boundary]:
    """The last boundary of every label, and evenly spread ones up to `at_least`."""
    by_label = {boundary.label: boundary for boundary in boundaries}
    chosen = list(by_label.values())
    step = max(len(boundaries) // max(at_least - len(chosen), 1), 1)
    chosen += [b for b in boundaries[step // 2 :: step] if b not in chosen]
    return chosen
