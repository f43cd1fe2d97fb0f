"""One thing looked at, and the words that compare versions without the package `packaging`."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Args:
        name: what was looked at.
        state: "warning" where something is worse than it could be, "broken" where something will not work.
        found: as it is.
        needed: as it should be.
        remedy: one sentence with the command; empty where all is well.
    """

    name: str
    state: State
    found: str
    needed: str
    remedy: str = ""


def installed(package: str) -> str | None:
    """Return the version of an installed package without importing it."""
    try:
        return importlib.metadata.version(package) or None
    except (importlib.metadata.PackageNotFoundError, KeyError):  # an emptied folder has no version to tell
        return None


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers that count: (7, 1) of "7.1.0rc1"; trailing zeros mean nothing."""
    leading = re.match(r"\d+(\.\d+)*", version.strip())
    parts = [int(part) for part in leading.group().split(".")] if leading else [0]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def install(*requirements: str, then: str = "restart the kernel", pip: str = "pip", flags: str = "") -> str:
    """Return the sentence that installs: each requirement quoted, because a shell reads ``>`` as a file."""
    quoted = " ".join(f'"{requirement}"' for requirement in requirements)
    return f"Run: {pip} install {flags}{quoted}; then {then}."
