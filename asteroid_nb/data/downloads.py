"""Fetch one file into a cache: resumable, with progress, checked before it counts, and never hanging.

Pooch keeps the cache and the checksums; the transfer is ours because Pooch's starts from nothing after a break.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from asteroid_nb.errors import AsteroidError, DiskFull, DownloadFailed, Interrupted, need

#: Seconds to wait for a connection, and for the next bytes.
TIMEOUTS_S = (10.0, 30.0)

CHUNK_BYTES = 1 << 18

#: Put before the name, so that the ending still tells readers the format.
UNFINISHED = "unfinished-"


def cache_folder(cache: str | Path | None) -> Path:
    """Return the cache that was named, or the user's own one for this package."""
    return Path(cache) if cache is not None else Path(need("pooch").os_cache("asteroid-nb"))


def fetch(
    urls: Sequence[str],
    path: Path,
    *,
    check: Callable[[Path], Any],
    known_hash: str | None = None,
    progress: bool = True,
    timeouts_s: tuple[float, float] = TIMEOUTS_S,
) -> Path:
    """Return ``path``, downloaded from the first of ``urls`` that answers unless it is there already.

    Args:
        check: raises `AsteroidError` unless the file is what it should be; called before it enters the cache.
        known_hash: as Pooch writes it, "md5:…".

    Raises:
        DownloadFailed: no network, an error page, a short answer, or a file that is not the data set.
        Interrupted: stopped; the part that came is kept and continued next time.
        DiskFull: no space in the cache.
    """
    pooch = need("pooch")
    pooch.get_logger().setLevel("WARNING")
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        transfer = _Transfer(path, check, progress, timeouts_s)
        try:
            return Path(pooch.retrieve(url, known_hash, fname=path.name, path=path.parent, downloader=transfer))
        except DownloadFailed as failure:
            failures.append(str(failure))
        except ValueError as error:  # Pooch, about the checksum
            failures.append(f"{url} sent another file than the one published ({error})")
    raise DownloadFailed(
        f"{path.name} could not be downloaded: {'; '.join(failures)}. If there is no network here, "
        f"fetch {urls[0]} by hand, place it at {path}, and run the same call again."
    )


class _Transfer:
    """A Pooch downloader that continues ``unfinished-<name>`` and checks the whole file before handing it over."""

    def __init__(
        self, path: Path, check: Callable[[Path], Any], progress: bool, timeouts_s: tuple[float, float]
    ) -> None:
        self.part = path.with_name(UNFINISHED + path.name)
        self.check, self.progress, self.timeouts_s = check, progress, timeouts_s

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        requests = need("requests")
        try:
            self._continue(url, requests)
        except requests.RequestException as error:
            raise DownloadFailed(f"{url} did not answer in full ({_reason(error)}){self._kept()}") from error
        except KeyboardInterrupt:
            raise Interrupted(
                f"The download of {url} was stopped{self._kept()}. Run the same call again to go on from there."
            ) from None
        try:
            self.check(self.part)
        except AsteroidError as error:
            self.part.unlink()
            raise DownloadFailed(f"{url} is not the data set it should be ({error}) and was thrown away") from error
        os.replace(self.part, output_file)

    def _kept(self) -> str:
        n_bytes = self.part.stat().st_size if self.part.exists() else 0
        return f"; {n_bytes} bytes are kept and will be continued" if n_bytes else ""

    def _continue(self, url: str, requests: Any) -> None:
        """Append what is missing to the part file."""
        have = self.part.stat().st_size if self.part.exists() else 0
        # Without "identity" a server may compress, and then byte ranges would count other bytes.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=self.timeouts_s) as answer:
            if have and answer.status_code == 416:
                if answer.headers.get("Content-Range") == f"bytes */{have}":
                    return
                self.part.unlink()
                return self._continue(url, requests)
            self._refuse(url, answer)
            have = have if answer.status_code == 206 else 0
            total = have + int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
            self._write(answer, have, total)
        if total is not None and self.part.stat().st_size != total:
            raise requests.ConnectionError(f"{self.part.stat().st_size} of {total} bytes came")

    def _refuse(self, url: str, answer: Any) -> None:
        if answer.status_code not in (200, 206):
            raise DownloadFailed(f"{url} answered {answer.status_code} {answer.reason}")
        if "text/html" in answer.headers.get("Content-Type", ""):
            raise DownloadFailed(
                f"{url} answered with a web page instead of data (a moved file, or a log-in page of this network)"
            )

    def _write(self, answer: Any, have: int, total: int | None) -> None:
        name = self.part.name.removeprefix(UNFINISHED)
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=name, disable=not self.progress)
        try:
            with bar, open(self.part, "ab" if have else "wb") as file:
                for piece in answer.iter_content(CHUNK_BYTES):
                    file.write(piece)
                    bar.update(len(piece))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFull(
                f"The disk is full: {self.part} is unfinished. Free some space and run the same call again."
            ) from error


def _reason(error: Exception) -> str:
    """Return the first line of what went wrong, without the object addresses in it."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.split("(Caused by")[-1].split("object at 0x")[0].strip("() <") if "Caused by" in text else text
