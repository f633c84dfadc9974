"""The settings as a page for people: docs/reference/settings.md."""

from ._markdown import code, table
from .settings import Setting, described

_INTRODUCTION = """\
<!-- Written by `nox -s generate` from gwz_instrument.settings: change that, never this file. -->

# Settings of gwz-instrument

`instrument(app)` takes its settings by name, or as one `Settings(...)`, or both: what is given by name goes over `Settings(...)`.
What neither gives is read from the environment, from the first of the variables that is set and not empty; what no variable gives has its default.
`None` for an address switches its signal off.

Every value is checked, wherever it comes from.
A `SettingsError` lists all that is wrong at once, each with the argument or variable that it came from and its cure; it never shows a token.

A list is a tuple as an argument, `models=("openai/gpt-4o", "z-ai/glm-4.6")`, and comma-separated in a variable, `GWZ_MODELS=openai/gpt-4o,z-ai/glm-4.6`.
A yes or no is `True` or `False` as an argument, and one of `1`, `on`, `true`, `yes`, `0`, `off`, `false`, `no` in a variable.
"""


def settings_page() -> str:
    """Every setting in Markdown; the same settings give the same text."""
    rows = (_row(name, setting) for name, setting in described().items())
    return "\n".join([_INTRODUCTION, table(("Setting", "Variables", "Default", "Meaning"), rows)]) + "\n"


def _row(name: str, setting: Setting) -> tuple[str, ...]:
    variables = ", ".join(map(code, setting.variables)) or "only as an argument"
    return code(name), variables, code(_default(setting.default)), setting.meaning


def _default(value: object) -> str:
    """As it is written in code; whole powers of two as products."""
    mib = 1 << 20
    return f"{value // mib} * 2**20" if isinstance(value, int) and value >= mib else repr(value)
