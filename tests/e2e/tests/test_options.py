from pathlib import Path

import pytest

from gwz_e2e.breaks import BREAKS
from gwz_e2e.compare import differences, shorten
from gwz_e2e.options import REQUIRED, Options, parse


def options(*arguments):
    return parse(arguments, program="nox -s e2e --", out="build/e2e")


def test_defaults():
    assert options() == Options(require=REQUIRED, out=Path("build/e2e"))


def test_all_breaks_come_after_a_sound_run_and_one_alone():
    assert (options("--break", "all").sabotage, options("--break", "all").every_break) == (tuple(BREAKS), True)
    assert (options("--break", "redis-down").sabotage, options("--break", "redis-down").every_break) == (
        ("redis-down",),
        False,
    )


def test_one_part_can_be_proved_alone():
    assert options("--only", "alerts").only == "alerts"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--break", "everything"], "everything"),
        (["--requests", "0"], "0 requests are none"),
        (["--speed", "-1"], "-1 is no speed"),
        (["--csv", "/nowhere.csv"], "--csv /nowhere.csv: there is no such file"),
        (["--require", "tempo,mimir"], "mimir: there is no such server"),
        (["--mode", "docker"], "docker"),
        (["--requests", "many"], "many requests are none"),
        (["--speed", "fast"], "fast is no speed"),
        (["--seed", "9" * 30], "is no seed; give a whole number of up to 18 digits"),
        (["--out", ""], "name a folder"),
        (["--only", "panels"], "panels"),
        (["--only", "alerts", "--break", "loki-url"], "--only alerts breaks nothing; leave --break loki-url out"),
    ],
)
def test_a_wrong_argument_is_named_with_exit_code_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        options(*arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_differences_name_the_key_and_both_numbers():
    assert differences({("GET", "/"): 2, "a": 1}, {("GET", "/"): 2.0, "b": 3}) == [
        "a: 0 instead of 1",
        "b: 3 instead of 0",
    ]


def test_long_lists_are_cut_and_counted():
    assert shorten([str(number) for number in range(6)]) == "0; 1; 2; 3; and 2 more"
    assert shorten([]) == ""
