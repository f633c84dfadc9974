"""Archives from a file server on loopback: the right checksum, the wrong one, and one that changed after it was pinned."""

import hashlib
import http.server
import io
import json
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gwz_stack import archive
from gwz_stack.archive import download
from gwz_stack.cache import Cache
from gwz_stack.errors import ChecksumMismatch
from gwz_stack.miss import Absent, Miss
from gwz_stack.versions import Archive

Published = tuple[Path, str]


def quiet(_line: str) -> None:
    pass


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    """Serve a folder; yields it and its address."""
    folder = tmp_path / "published"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *arguments: Quiet(*arguments, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def tarball(content: bytes = b"#!/bin/sh\n") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("tempo-2.7.1/tempo")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def publish(
    published: Published,
    packed: bytes,
    *,
    name: str = "tempo.tar.gz",
    checksum: str | None = None,
    style: str = "{digest}  {name}\n",
) -> Archive:
    folder, url = published
    (folder / name).write_bytes(packed)
    digest = checksum or hashlib.sha256(packed).hexdigest()
    (folder / "SUMS").write_text(style.format(digest=digest, name=name))
    return Archive(url=f"{url}/{name}", checksums=f"{url}/SUMS", member="tempo-2.7.1/tempo")


def test_a_verified_archive_is_unpacked_and_pinned(published: Published, cache: Cache) -> None:
    packed = tarball()
    release = publish(published, packed, style="0" * 64 + "  other.tar.gz\n{digest}  {name}\n")
    path = download(release, cache, quiet)
    assert path.read_bytes() == b"#!/bin/sh\n"
    assert path.stat().st_mode & 0o100
    assert json.loads((cache.root / "pins.json").read_text()) == {release.url: hashlib.sha256(packed).hexdigest()}
    assert archive.cached(release, cache) == path
    assert not list(path.parents[1].glob("*.tar.gz"))


def test_a_cached_archive_is_not_downloaded_again(published: Published, cache: Cache) -> None:
    release = publish(published, tarball())
    path = download(release, cache, quiet)
    shutil.rmtree(published[0])
    assert download(release, cache, quiet) == path


def test_a_wrong_checksum_is_refused_and_nothing_stays(published: Published, cache: Cache) -> None:
    release = publish(published, tarball(), checksum="a" * 64)
    with pytest.raises(ChecksumMismatch, match=rf"has the checksum [0-9a-f]{{64}}, its publisher says {'a' * 64}"):
        download(release, cache, quiet)
    assert archive.cached(release, cache) is None
    assert not list((cache.root / "archives").iterdir())
    assert not (cache.root / "pins.json").exists()


def test_an_archive_that_changed_after_it_was_pinned_is_refused_though_its_publisher_vouches_for_it(
    published: Published, cache: Cache
) -> None:
    path = download(publish(published, tarball(b"first")), cache, quiet)
    shutil.rmtree(path.parents[1])
    release = publish(published, tarball(b"second"))
    with pytest.raises(ChecksumMismatch, match=r"an earlier download had .*pins\.json"):
        download(release, cache, quiet)
    assert archive.cached(release, cache) is None


@pytest.mark.parametrize("style", ["{digest}\n", "{digest} *{name}\n", "{digest}  ./{name}\n"])
def test_the_forms_of_checksum_files_are_understood(published: Published, cache: Cache, style: str) -> None:
    assert download(publish(published, tarball(), style=style), cache, quiet).exists()


@pytest.mark.parametrize("style", ["{digest}  another.tar.gz\n", "<html>please log in</html>\n", ""])
def test_an_archive_that_the_checksum_file_does_not_name_is_not_used(
    published: Published, cache: Cache, style: str
) -> None:
    release = publish(published, tarball(), style=style)
    with pytest.raises(Miss, match=r"has no usable checksum of tempo\.tar\.gz"):
        download(release, cache, quiet)


def test_a_digest_that_proves_nothing_is_not_used(published: Published, cache: Cache) -> None:
    with pytest.raises(Miss, match="no usable checksum"):
        download(publish(published, tarball(), checksum="d" * 32), cache, quiet)


def test_an_archive_without_the_wanted_file_is_not_used(published: Published, cache: Cache) -> None:
    release = publish(published, tarball())
    with pytest.raises(Miss, match="holds no bin/other"):
        download(Archive(release.url, release.checksums, "bin/other"), cache, quiet)


def test_a_zip_keeps_what_is_executable(published: Published, cache: Cache) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        entry = zipfile.ZipInfo("tempo-2.7.1/tempo")
        entry.external_attr = 0o100755 << 16
        file.writestr(entry, "#!/bin/sh\n")
    release = publish(published, packed.getvalue(), name="tempo.zip")
    assert download(release, cache, quiet).stat().st_mode & 0o100


def test_a_missing_release_says_so(published: Published, cache: Cache) -> None:
    _, url = published
    missing = Archive(f"{url}/none.tar.gz", f"{url}/SUMS", "x")
    for ask in (lambda: download(missing, cache, quiet), lambda: archive.look_up(missing)):
        with pytest.raises(Absent, match=r"/SUMS answered 404"):
            ask()
    archive.look_up(publish(published, tarball()))


def test_a_host_that_cannot_be_reached_is_asked_once(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_unreachable", {})
    nowhere = Archive("http://127.0.0.1:1/a.tar.gz", "http://127.0.0.1:1/SUMS", "a")
    with pytest.raises(Miss, match=r"127\.0\.0\.1 cannot be reached"):
        download(nowhere, cache, quiet)
    monkeypatch.setattr(archive, "_get_text", lambda _url: pytest.fail("asked again"))
    with pytest.raises(Miss, match=r"127\.0\.0\.1 cannot be reached"):
        download(nowhere, cache, quiet)
