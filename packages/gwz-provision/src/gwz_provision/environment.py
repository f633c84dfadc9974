"""The environment's variables, each from its value or from the file that NAME_FILE names."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gwz_provision.errors import Misconfigured


class Environment(Mapping[str, str]):
    """Reads NAME, else the file that NAME_FILE names, without the line break at its end; empty counts as unset."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Look into nothing yet: only a variable that is asked for has its file opened."""
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        """Return the value; raises `Misconfigured` for both forms at once, a file that cannot be read, or what is no text."""
        value, file = self._environ.get(name), self._environ.get(f"{name}_FILE")
        if value and file:
            raise Misconfigured([f"{name} is set, and so is {name}_FILE"], "Unset the one that is not meant.")
        if value and not _is_text(value):
            raise Misconfigured(
                [f"{name} is not UTF-8 text"], "Correct it: somebody has put bytes of another kind into it."
            )
        if value:
            return value
        if not file:
            raise KeyError(name)
        return _content(name, file)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names as the process has them."""
        return iter(self._environ)

    def __len__(self) -> int:
        """Count the names as the process has them."""
        return len(self._environ)


def _is_text(value: str) -> bool:
    """Tell whether it was text; bytes that are not come out of the process's environment as surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _content(name: str, file: str) -> str:
    try:
        content = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Misconfigured(
            [f"{name}_FILE is {file!r}, which cannot be read: {reason}"], "Name a file with the value."
        ) from error
    if not content:
        raise Misconfigured([f"{name}_FILE is {file!r}, which is empty"], "Write the value into it.")
    return content
