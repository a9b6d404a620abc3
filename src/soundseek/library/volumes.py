"""Which file system a folder is on, by a name that stays the same when a drive is unplugged and plugged in again."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

# Strings and os.path functions, as in scan.py: a path need not be text.
# ruff: noqa: PTH116, PTH120, PTH123

_MOUNTS = "/proc/self/mountinfo"
_UUIDS = "/dev/disk/by-uuid"


@dataclass(frozen=True)
class _Mount:
    """A line of Linux's table of mounts: the device, which folder of it is shown, and what was mounted."""

    device: str
    shown: str
    source: str


class Volumes:
    """The file systems as they are mounted now.

    A name is made from the file system's UUID where there is one, else from what was mounted and the system's own id of
    it. A bind mount has another name than the folder that it hides. Without Linux's table of mounts the device number
    is all there is.
    """

    def name(self, folder: str) -> str:
        """Twelve hexadecimal digits for the file system that a folder, itself without links, is on.

        Raises:
            OSError: The folder is not there.
        """
        device = os.stat(folder).st_dev
        mount = self._mount_of(folder)
        if mount is None:
            facts = [str(device)]
        elif uuid := self._uuids.get(mount.device):
            facts = [uuid, mount.shown]
        else:
            facts = [str(os.statvfs(folder).f_fsid), mount.source, mount.shown]
        return blake2b("\0".join(facts).encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()

    def is_mount_point(self, folder: str) -> bool:
        """Whether a file system begins at a folder, itself without links; the root of all does not count."""
        if self._mounts:
            return folder in self._mounts and folder != os.sep
        return folder != os.path.dirname(folder) and os.path.ismount(folder)

    def _mount_of(self, folder: str) -> _Mount | None:
        while folder not in self._mounts:
            above = os.path.dirname(folder)
            if above == folder:
                return None
            folder = above
        return self._mounts[folder]

    @cached_property
    def _mounts(self) -> dict[str, _Mount]:
        """Mount point -> what is mounted there; empty where the system does not tell."""
        try:
            with open(_MOUNTS, "rb") as table:
                lines = os.fsdecode(table.read()).splitlines()
        except OSError:
            return {}
        found = {}
        for line in lines:  # a later line hides an earlier one of the same place
            fields, _, more = line.partition(" - ")
            parts, source = fields.split(" "), more.split(" ")
            if len(parts) > 4 and len(source) > 1:
                found[_unescaped(parts[4])] = _Mount(parts[2], _unescaped(parts[3]), source[1])
        return found

    @cached_property
    def _uuids(self) -> dict[str, str]:
        """Device number as "8:1" -> UUID."""
        found = {}
        if sys.platform != "linux":
            return found
        try:
            for entry in os.scandir(_UUIDS):
                device = entry.stat().st_rdev
                found[f"{os.major(device)}:{os.minor(device)}"] = entry.name
        except OSError:
            pass
        return found


def _unescaped(text: str) -> str:
    r"""A path of the table of mounts: a space in it is written as \040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
