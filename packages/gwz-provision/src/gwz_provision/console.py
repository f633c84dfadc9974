"""Where a command speaks: results on standard output, all else on standard error, secrets on neither."""

import errno
import io
import os
import re
import sys
from typing import TextIO

from gwz_provision.errors import EXIT_FAILURE, EXIT_UNREAD
from gwz_provision.redaction import Redactor

# What would move the cursor or change colours if a server's words hold it; line breaks and tabs may stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Console:
    """Prints through a redactor; that nobody can read it any more ends no command in the middle of its work."""

    def __init__(self, redactor: Redactor) -> None:
        """Hide what the redactor knows; letters that standard output has not are replaced."""
        self.redactor = redactor
        self._lost: OSError | None = None
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")

    @property
    def is_watched(self) -> bool:
        """Tell whether results go to a terminal, before which somebody waits."""
        return _is_terminal(sys.stdout)

    def out(self, text: str) -> None:
        """Print a result."""
        if self._lost is None:
            self._lost = _written(sys.stdout, self._shown(text))

    def say(self, text: str) -> None:
        """Print what is no result: progress, warnings, errors."""
        _written(sys.stderr, self._shown(text))

    def ended(self, code: int) -> int:
        """Return the exit code of a command: its own, unless its results did not arrive."""
        if self._lost is None:
            return code
        if isinstance(self._lost, BrokenPipeError):
            return EXIT_UNREAD
        self.say(
            f"gwz-provision: the results could not be written to standard output: {self._lost.strerror}.\n"
            "  Make room, or send them elsewhere, and run it again."
        )
        return code or EXIT_FAILURE

    def confirmed(self, question: str) -> bool:
        """Ask a person who is there to answer; nobody is a no."""
        if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
            return False
        self.say(f"{question} Type yes to go on.")
        return sys.stdin.readline().strip() == "yes"

    def _shown(self, text: str) -> str:
        return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", self.redactor(text)) + "\n"


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _written(stream: TextIO | None, text: str) -> OSError | None:
    """Write a text and return why that failed, if it did; None stands for a stream that was closed from the start."""
    if stream is None:
        return OSError(errno.EBADF, os.strerror(errno.EBADF))
    try:
        # One write: several threads tell their calls.
        stream.write(text)
        stream.flush()
    except OSError as error:
        # Python tries once more when it ends to write what is left, and says aloud that it cannot: let it go nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        return error
    return None
