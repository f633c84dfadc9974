"""What a run is asked to do."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gwz_e2e.breaks import BREAKS
from gwz_stack import SERVERS

REQUIRED = ("prometheus", "loki", "tempo", "redis", "redis_exporter")
BREAK_REQUESTS = 100
"""A sabotaged run needs no more to show that it is red, and no fewer: some faults touch one line in twenty."""
_SEEDS = 10**18


@dataclass(frozen=True)
class Options:
    """The arguments of `nox -s e2e` and `nox -s stack`."""

    mode: Literal["native", "compose"] = "native"
    seed: int = 1
    requests: int = 2000
    csv: Path | None = None
    speed: float = 6.0
    require: tuple[str, ...] = REQUIRED
    sabotage: tuple[str, ...] = ()
    every_break: bool = False
    only: Literal["", "alerts"] = ""
    out: Path = Path("build/e2e")


def parse(arguments: Sequence[str], *, program: str, out: str) -> Options:
    """Options from the command line; a wrong one ends the program with a sentence and exit code 2."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--mode", choices=("native", "compose"), default="native", help="processes or containers")
    parser.add_argument("--seed", type=_seed, default=1, help="another seed is another load (default 1)")
    parser.add_argument("--requests", type=_at_least_one, default=2000, help="how many (default 2000)")
    parser.add_argument("--csv", type=Path, help="arrivals and tokens from TIMESTAMP,ContextTokens,GeneratedTokens")
    parser.add_argument("--speed", type=_above_zero, default=6.0, help="divides the gaps between arrivals (default 6)")
    parser.add_argument(
        "--require",
        type=_servers,
        default=REQUIRED,
        metavar="LIST",
        help=f"servers without which nothing is proved (default {','.join(REQUIRED)})",
    )
    parser.add_argument(
        "--break",
        dest="sabotage",
        choices=("all", *BREAKS),
        metavar="HOP",
        help=f"break one hop and show that the run is red: {', '.join(BREAKS)}; or all, after a sound run",
    )
    parser.add_argument("--only", choices=("alerts",), default="", help="prove nothing but this part of the run")
    parser.add_argument("--out", type=_folder, default=Path(out), metavar="DIR", help=f"default {out}")
    given = parser.parse_args(arguments)
    every = given.sabotage == "all"
    if given.only and given.sabotage:
        parser.error(f"--only {given.only} breaks nothing; leave --break {given.sabotage} out, or --only")
    if given.csv is not None and not given.csv.is_file():
        parser.error(f"--csv {given.csv}: there is no such file; give the path of a CSV, or leave --csv out")
    return Options(
        mode=given.mode,
        seed=given.seed,
        requests=given.requests,
        csv=given.csv,
        speed=given.speed,
        require=given.require,
        sabotage=tuple(BREAKS) if every else (given.sabotage,) if given.sabotage else (),
        every_break=every,
        only=given.only,
        out=given.out,
    )


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} requests are none; ask for 1 or more")
    return int(text)


def _above_zero(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no speed; give a number above 0")
    return number


def _seed(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or abs(int(text)) >= _SEEDS:
        raise argparse.ArgumentTypeError(f"{text} is no seed; give a whole number of up to 18 digits")
    return int(text)


def _folder(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; name a folder, or leave --out out")
    return Path(text)


def _servers(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := sorted(set(names) - {*SERVERS, "grafana"}):
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: there is no such server; there are {', '.join(SERVERS)}"
        )
    return names
