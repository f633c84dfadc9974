"""Errors say what happened, with the value, the cause and the cure."""

from pathlib import Path

import pytest

from gwz_stack.errors import NotReady, PortTaken, ServerDied, StackError, writing


def test_a_full_disk_is_named_with_its_cure() -> None:
    with (
        pytest.raises(StackError, match=r"Could not write /run/x\. The disk is full\. Free some space"),
        writing(Path("/run/x")),
        Path("/dev/full").open("w") as file,
    ):
        file.write("x")


@pytest.mark.parametrize("words", ["open wal: no space left on device\n", "database or disk is full"])
def test_a_dead_server_on_a_full_disk_says_so(words: str) -> None:
    error = ServerDied("loki", exit_code=1, log=Path("l.log"), log_tail=words)
    assert (
        str(error)
        == "loki ended with exit code 1. The disk is full. Free some space (`df -h` shows where), then run it again."
    )


def test_a_dead_server_that_found_its_port_taken_says_so() -> None:
    error = ServerDied(
        "tempo", exit_code=1, log=Path("l.log"), log_tail="listen tcp 127.0.0.1:1: bind: address already in use"
    )
    assert "A port that it needs was taken." in str(error)


def test_a_killed_server_is_told_from_one_that_ended() -> None:
    """Its last words are no cause: they were written before anybody killed it."""
    error = str(ServerDied("loki", exit_code=-9, log=Path("l.log"), log_tail="level=warn something else"))
    assert error.startswith("loki was killed by signal 9. Somebody killed it, or the kernel did for want of memory")
    assert "something else" not in error


def test_other_errors_name_their_values() -> None:
    assert "Port 9090, wanted for prometheus, is taken." in str(PortTaken("prometheus", 9090))
    assert "loki was not ready after 60 s. Its last answer: 503." in str(
        NotReady("loki", seconds=60, last="503", log=Path("l"))
    )
