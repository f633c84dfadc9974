"""`python -m gwz_e2e run|stack|limits|pictures [OPTIONS]`: what the sessions `e2e`, `stack`, `limits` and `pictures` of nox call."""

import signal
import sys
from types import FrameType


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code; a signal that would end the process leaves it in order instead."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _leave)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that knows no arrows shows "?"
    try:
        from gwz_e2e import run, stay  # noqa: PLC0415  # half a second, in which Ctrl-C may come
        from gwz_e2e.browser import pictures  # noqa: PLC0415
        from gwz_e2e.limits import run as limits  # noqa: PLC0415
    except KeyboardInterrupt:
        return 130
    commands = {"run": run.main, "stack": stay.main, "limits": limits.main, "pictures": pictures.main}
    if not arguments or arguments[0] not in commands:
        sys.stderr.write(f"usage: python -m gwz_e2e {{{','.join(commands)}}} [OPTIONS]\n")
        return 2
    return commands[arguments[0]](arguments[1:])


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
