"""Whether a settings file can be trusted: nobody else wrote it, or could replace it.

Settings name the mail server and the files from which passwords are read, so whoever writes them
acts as the operator. `docs/decisions/settings.md` gives the reasons for the rules.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

ROOT = Path("/")


class DoubtError(Exception):
    """A file can't be trusted; the message says which, why, and how to fix it."""


def check_trusted(
    path: Path, *, otherwise: str, named: bool = False, alone: bool = False, me: int | None = None
) -> None:
    """Raise `DoubtError` where others could have written `path`, or put another in its place.

    `named`: the operator said which file, so whose it is was their choice; then it's refused only
    where everybody may write. `alone`: without the way to it, where another's would show by its
    owner. `otherwise` is the way out that changes no rights. `me` is who runs this, by number; by
    default who does.
    """
    steps = [path.resolve()] if alone else reversed(list(_way(path)))
    me = os.geteuid() if me is None else me
    # Who owns the root folder is root, by whatever number a container shows it.
    trusted = frozenset({0, me, ROOT.stat().st_uid})
    # Standing in the root folder, what is found there was put there by root, such as a
    # container's /config; the numbers of another machine's users mean nothing here.
    any_owner = named or (not path.is_absolute() and path.absolute() == ROOT / path)
    for step in steps:
        status = step.lstat()
        shown = quote(str(step))
        what = shown if step == path.absolute() else f"{quote(str(path))}: {shown}"
        if not any_owner and status.st_uid not in trusted:
            raise DoubtError(
                f"{what} belongs to {_user(status.st_uid)} and not to {_user(me)}, so it may say "
                f"what others want: {otherwise}"
            )
        writers = _writers(step, status, trusted, any_group=named)
        if writers:
            raise DoubtError(
                f"{what} can be written by {writers}, so it may say what others want: "
                f"chmod go-w {shown}, or {otherwise}"
            )


def _way(path: Path) -> Iterator[Path]:
    """Every folder and link that leads to `path`, from the root on, and what it is in the end."""
    here = ROOT
    yield here
    left = list(reversed(path.absolute().parts[1:]))
    while left:
        part = left.pop()
        if part == "..":
            here = here.parent
            continue
        step = here / part
        yield step
        if not step.is_symlink():
            here = step
            continue
        target = step.readlink()
        if target.is_absolute():
            here = ROOT
        left += reversed([part for part in target.parts if part != target.anchor])


def _writers(
    step: Path, status: os.stat_result, trusted: frozenset[int], *, any_group: bool
) -> str | None:
    """Who else may write there, in words; None where nobody may."""
    if stat.S_ISLNK(status.st_mode) or os.statvfs(step).f_flag & os.ST_RDONLY:
        return None
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return None  # as in /tmp: only its owner can put another in a file's place
    if status.st_mode & stat.S_IWOTH:
        return "everybody"
    if status.st_mode & stat.S_IWGRP and not any_group:
        return _others_in(status.st_gid, trusted)
    return None


def _others_in(gid: int, trusted: frozenset[int]) -> str | None:
    """A group with more than us in it, by its name.

    None for a group of one's own, as many systems give to each user, and for one that is nobody's
    here.
    """
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return None
    if gid == 0:
        return None
    members = {
        user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid or user.pw_name in group.gr_mem
    }
    return None if members <= trusted else f"the group {group.gr_name}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
