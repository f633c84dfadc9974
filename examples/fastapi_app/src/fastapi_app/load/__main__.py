"""Runs the load: `python -m fastapi_app.load --url URL --ledger FILE`."""

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from fastapi_app.load import workload
from fastapi_app.load.plan import make_plan
from fastapi_app.load.run import Summary, UnreachableError, run

_PROG = "python -m fastapi_app.load"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every request went as planned, 1 if not, 2 if the load cannot start, 3 if it cannot write, 130 if it was interrupted."""
    options = _parser().parse_args(arguments)
    try:
        plan = make_plan(options.seed, options.requests, _samples(options), speed=options.speed, traced=options.sampled)
        entries = options.ledger.open("w", encoding="utf-8")
    except (OSError, ValueError) as error:
        return _complain(str(error), 2)
    summary = Summary()
    code = 0
    try:
        with entries:
            asyncio.run(run(options.url, plan, entries, sys.stderr, summary))
    except UnreachableError as error:
        summary.mismatches.append(str(error))
        code = _complain(str(error), 1)
    except OSError as error:
        code = _complain(f"{options.ledger} cannot be written ({error}); free space, or give another --ledger", 3)
    except KeyboardInterrupt:
        code = _complain(f"interrupted; {options.ledger} holds the {summary.requests} requests that ended", 130)
    try:
        _publish(summary, options.summary)
    except OSError as error:
        return _complain(f"{options.summary} cannot be written ({error}); free space, or give another --summary", 3)
    return code or int(bool(summary.mismatches))


def _publish(summary: Summary, path: Path | None) -> None:
    text = json.dumps(vars(summary))
    if path is not None:
        path.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


def _samples(options: argparse.Namespace) -> Iterator[workload.Sample]:
    if options.csv is None:
        return workload.built_in(options.seed)
    return workload.from_csv(options.csv)


def _complain(sentence: str, code: int) -> int:
    sys.stderr.write(f"{_PROG}: {sentence}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROG, description="Drive the example gateway as a seed plans it, and keep a ledger of what was caused."
    )
    parser.add_argument(
        "--url", type=_url, required=True, help="base address of the app, such as http://127.0.0.1:8000"
    )
    parser.add_argument("--ledger", type=Path, required=True, help="file to write, one JSON line per request")
    parser.add_argument("--summary", type=Path, help="file to write the summary to, which also ends the output")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another plan with other ids (default 1)")
    parser.add_argument("--requests", type=_count, default=2000, help="how many (default 2000)")
    parser.add_argument("--csv", type=Path, help="arrivals and tokens from TIMESTAMP,ContextTokens,GeneratedTokens")
    parser.add_argument("--speed", type=_speed, default=6.0, help="divides the gaps between arrivals (default 6)")
    tracing = parser.add_mutually_exclusive_group()
    tracing.add_argument("--sampled", action="store_true", default=True, help="send sampled traceparents (default)")
    tracing.add_argument("--untraced", dest="sampled", action="store_false", help="send no traceparent")
    return parser


def _url(text: str) -> str:
    url = httpx.URL(text)
    if url.scheme not in ("http", "https") or not url.host:
        raise argparse.ArgumentTypeError(f"{text!r} is not an http address; write it like http://127.0.0.1:8000")
    return text


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} requests are none; ask for 1 or more")
    return count


def _speed(text: str) -> float:
    speed = float(text)
    if not 0 < speed < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no speed; give a number above 0")
    return speed


if __name__ == "__main__":
    sys.exit(main())
