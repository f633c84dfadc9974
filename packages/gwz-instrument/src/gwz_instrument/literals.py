"""Whether a name is written in the application's code, or came from somewhere else."""

from types import CodeType


def is_literal(value: object, code: CodeType | None) -> bool:
    """Whether `value` is a literal of `code`: no client's text is the same object.

    Texts of one character are: Python has each of them only once.
    """
    return code is not None and isinstance(value, str) and len(value) > 1 and _holds(code.co_consts, value)


def _holds(constants: tuple[object, ...], value: str) -> bool:
    return any(value is one or (isinstance(one, tuple) and _holds(one, value)) for one in constants)
