"""Where a command speaks: results on standard output, all else on standard error, secrets on neither."""
# ruff: noqa: T201 - printing is what this module is for

import sys

from gwz_provision.redaction import Redactor


class Console:
    """Prints through a redactor."""

    def __init__(self, redactor: Redactor) -> None:
        """Hide what the redactor knows."""
        self.redactor = redactor

    @property
    def is_watched(self) -> bool:
        """Tell whether results go to a terminal, before which somebody waits."""
        return sys.stdout.isatty()

    def out(self, text: str) -> None:
        """Print a result."""
        print(self.redactor(text), flush=True)

    def say(self, text: str) -> None:
        """Print what is no result: progress, warnings, errors."""
        # One write: several threads tell their calls.
        sys.stderr.write(self.redactor(text) + "\n")
        sys.stderr.flush()

    def confirmed(self, question: str) -> bool:
        """Ask a person who is there to answer; nobody is a no."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        self.say(f"{question} Type yes to go on.")
        return sys.stdin.readline().strip() == "yes"
