"""Whether a settings file can be trusted: nobody else wrote it, or could replace it.

Settings name the mail server and the files from which passwords are read, so anybody who can write
them acts as the operator. `docs/decisions/settings.md` gives the reasons for the rules.
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
    """Raise `DoubtError` if others could have written `path`, or replaced it.

    `named` says that the operator named the file, so that its owner doesn't matter; then it is only
    refused if everybody may write to it. `alone` skips the folders that lead to it, because a
    replacement would have another owner. `otherwise` is a remedy that changes no permissions. `me`
    is the uid of the current user, by default the effective one.
    """
    steps = [path.resolve()] if alone else reversed(list(_way(path)))
    me = os.geteuid() if me is None else me
    # The owner of the root folder is root, even if a container shows it with another uid.
    trusted = frozenset({0, me, ROOT.stat().st_uid})
    # If the current folder is the root folder, root created the files in it, such as a container's
    # /config. The uids of another machine's users mean nothing here.
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
    """Every folder and link that leads to `path`, from the root on, and the final file."""
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
    """Who else may write there, in words, or None."""
    if stat.S_ISLNK(status.st_mode) or os.statvfs(step).f_flag & os.ST_RDONLY:
        return None
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return None  # sticky, as /tmp: only its owner can replace a file
    if status.st_mode & stat.S_IWOTH:
        return "everybody"
    if status.st_mode & stat.S_IWGRP and not any_group:
        return _others_in(status.st_gid, trusted)
    return None


def _others_in(gid: int, trusted: frozenset[int]) -> str | None:
    """The group in words if it has other members, else None.

    Many systems give each user a group of their own. A group unknown here has no members.
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
