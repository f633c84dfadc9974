"""`nox -s pictures`: takes the dashboards' pictures of a run into docs/images, where the page on the dashboards shows them."""

import argparse
import json
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from gwz_e2e.browser.proof import WIDTHS

IMAGES = Path("docs/images")
THEME = "dark"
MOST_BYTES = 300_000


def main(arguments: Sequence[str]) -> int:
    """Keep the pictures of a run; one whose dashboards have faults, or that looked at none, is refused."""
    parser = argparse.ArgumentParser(prog="nox -s pictures --", description=f"Take a run's pictures into {IMAGES}.")
    parser.add_argument("--run", type=Path, default=Path("build/e2e"), metavar="DIR", help="default %(default)s")
    run = parser.parse_args(arguments).run
    try:
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        sys.stderr.write(f"{run}/report.json does not exist: run `nox -s e2e` first\n")
        return 2
    pages = [page for page in report["browser"] if (page["width"], page["theme"]) == (WIDTHS[0], THEME)]
    faulty = [f"{page['dashboard']}: {page['faults'][0]}" for page in pages if page["faults"]]
    if faulty or not pages:
        why = faulty[0] if faulty else "no dashboard was looked at; it needs a Grafana and a chromium"
        sys.stderr.write(f"{run}/report.json has no pictures to keep: {why}\n")
        return 2
    IMAGES.mkdir(parents=True, exist_ok=True)
    for page in pages:
        picture = _small(run / page["picture"])
        if len(picture) > MOST_BYTES:
            sys.stderr.write(f"{page['picture']} has {len(picture)} bytes, {MOST_BYTES} are allowed: show less\n")
            return 2
        (IMAGES / f"{page['uid']}-{THEME}.png").write_bytes(picture)
    return 0


def _small(picture: Path) -> bytes:
    """The picture in 256 colours, which a dashboard gets by with."""
    written = BytesIO()
    with Image.open(picture) as whole:
        whole.convert("RGB").quantize(256).save(written, format="png", optimize=True)
    return written.getvalue()
