"""Regular expressions that people wrote for other engines, applied where Python's cannot be made to try for ever."""

import re
from functools import cache

# Prometheus and Loki match with RE2, in a time that grows with the text; Python's engine goes back and tries again, and
# takes years over `(a+)+$`. Binding RE2 would cost every user a compiled dependency that is not built for all platforms,
# for a question that the server answers anyway. So what has more places to go back to than this is left to its server.
_MOST_CHOICES = 3
WRONG = (re.error, RecursionError, OverflowError)
"""What Python raises for an expression that it does not take."""
_PLAIN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_OPENING = re.compile(r"\((?:\?(?:P?<\w+>|[a-z]*:|<?[=!]))?")
_QUANTIFIER = re.compile(r"[*+?{]")
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_BROWSERS_NAME = re.compile(r"\(\?<(?=\w)")


@cache
def compiled(expression: str, flags: int = 0) -> re.Pattern[str] | None:
    """Compile an expression; None when only its own engine can tell what it matches."""
    if _choices(expression) > _MOST_CHOICES:
        return None
    try:
        return re.compile(expression, flags)
    except WRONG:
        return None


def of_browser(expression: str, flags: int = 0) -> re.Pattern[str] | None:
    """Compile an expression of JavaScript, which spells the names of groups in another way."""
    return compiled(_BROWSERS_NAME.sub("(?P<", expression), flags)


def _choices(expression: str) -> int:
    """Count the places on one way through an expression at which the engine could go on in several ways, at most."""
    signs = _OPENING.sub("(", _PLAIN.sub("", expression))
    if _REPEATED_GROUP.search(signs):
        return _MOST_CHOICES + 1
    branches = signs.split("|")
    groups = signs.count("(") if branches[1:] else 0
    return max(len(_QUANTIFIER.findall(one)) for one in branches) * (groups + 1) + groups
