"""Release archives: downloaded, verified against the publisher's checksum file, pinned, unpacked into the cache."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from gwz_stack.errors import ChecksumMismatch, writing
from gwz_stack.miss import Absent, Miss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gwz_stack.cache import Cache
    from gwz_stack.versions import Archive

_TIMEOUT = httpx.Timeout(30.0, connect=3.0)
_ALGORITHM = {
    40: "sha1",
    64: "sha256",
    128: "sha512",
}  # by length of the publisher's digest; shorter ones prove nothing

_unreachable: dict[str, str] = {}  # host -> why; asking again would cost the connect timeout for every server


def cached(archive: Archive, cache: Cache) -> Path | None:
    """Return the wanted file of an archive that was unpacked earlier."""
    member = _folder(archive, cache) / archive.member
    return member if member.exists() else None


def download(archive: Archive, cache: Cache, progress: Callable[[str], None]) -> Path:
    """Return the wanted file of the archive, downloading it when the cache lacks it.

    Raises Miss where the archive cannot be had, ChecksumMismatch where it is not what it should be.
    """
    _refuse_unreachable(archive.url)
    folder = _folder(archive, cache)
    with cache.locked(folder.name):
        if not cached(archive, cache):
            published = _published_digest(archive)
            with cache.filling(folder) as draft:
                packed = draft / PurePosixPath(urlsplit(archive.url).path).name
                progress(f"downloading {archive.url}")
                _get(archive.url, packed)
                _verify(packed, published, archive, cache)
                _unpack(packed, draft)
                packed.unlink()
                if not (draft / archive.member).exists():
                    raise Miss(f"{archive.url} holds no {archive.member}")
    return folder / archive.member


def look_up(archive: Archive) -> None:
    """Ask the publisher for a release; raises Absent where there is none, Miss where nobody answers."""
    _refuse_unreachable(archive.url)
    _published_digest(archive)


def _folder(archive: Archive, cache: Cache) -> Path:
    name = PurePosixPath(urlsplit(archive.url).path).name
    where = hashlib.sha256(archive.url.encode()).hexdigest()[:8]
    return cache.root / "archives" / f"{name}-{where}"


def _published_digest(archive: Archive) -> str:
    name = PurePosixPath(urlsplit(archive.url).path).name
    lines = [line.split() for line in _get_text(archive.checksums).splitlines() if line.strip()]
    for digest, *names in lines:
        if (not names and len(lines) == 1) or name in {PurePosixPath(each.lstrip("*")).name for each in names}:
            if len(digest) in _ALGORITHM:
                return digest.lower()
            break
    raise Miss(f"{archive.checksums} has no usable checksum of {name}")


def _verify(packed: Path, published: str, archive: Archive, cache: Cache) -> None:
    actual = _digest(packed, _ALGORITHM[len(published)])
    if actual != published:
        raise ChecksumMismatch(
            f"{archive.url} has the checksum {actual}, its publisher says {published}.",
            cause="The download was cut or changed on its way.",
            cure="Try again; if it stays so, do not use it, and name a binary that you trust by its GWZ_..._BIN variable.",
        )
    sha256 = _digest(packed, "sha256")
    pinned = cache.archive_pin(archive.url)
    if pinned is None:
        cache.pin_archive(archive.url, sha256)
    elif pinned != sha256:
        raise ChecksumMismatch(
            f"{archive.url} has the sha256 {sha256}, an earlier download had {pinned}.",
            cause="Its publisher replaced the release, or somebody else did.",
            cure=f"If the publisher says why, remove its line from {cache.root / 'pins.json'} and try again.",
        )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _get_text(url: str) -> str:
    with _asking(url), httpx.Client(follow_redirects=True, timeout=_TIMEOUT) as client:
        return client.get(url).raise_for_status().text


def _get(url: str, target: Path) -> None:
    with (
        _asking(url),
        httpx.Client(follow_redirects=True, timeout=_TIMEOUT) as client,
        client.stream("GET", url) as response,
    ):
        response.raise_for_status()
        with writing(target), target.open("wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)


@contextmanager
def _asking(url: str) -> Iterator[None]:
    """Turn a failed request into a Miss, and remember a host that cannot be reached."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise (Absent if status == httpx.codes.NOT_FOUND else Miss)(f"{url} answered {status}") from error
    except httpx.TransportError as error:
        host = error.request.url.host
        _unreachable[host] = f"{host} cannot be reached ({str(error) or type(error).__name__})"
        raise Miss(_unreachable[host]) from error


def _refuse_unreachable(url: str) -> None:
    if reason := _unreachable.get(str(urlsplit(url).hostname)):
        raise Miss(reason)


def _unpack(packed: Path, folder: Path) -> None:
    try:
        with writing(folder):
            if packed.suffix == ".zip":
                _unzip(packed, folder)
            else:
                with tarfile.open(packed) as tar:
                    tar.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise Miss(f"{packed.name} cannot be unpacked ({error})") from error


def _unzip(packed: Path, folder: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, folder))
            if mode := (entry.external_attr >> 16) & 0o777:  # zipfile itself forgets what is executable
                path.chmod(mode | 0o600 if path.is_file() else mode | 0o700)
