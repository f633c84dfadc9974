"""Ports are free, on loopback, and nobody else's meanwhile."""

import socket
from contextlib import closing

import pytest

from gwz_stack.errors import PortTaken
from gwz_stack.ports import Reservation


def test_two_reservations_share_no_port() -> None:
    names = [f"p{index}" for index in range(200)]
    with closing(Reservation.of(names, given={})) as one, closing(Reservation.of(names, given={})) as other:
        assert len({*one.ports.values(), *other.ports.values()}) == 400


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"Port {port}, wanted for loki, is taken\..*ss -ltnp"):
            Reservation.of(["loki"], given={"loki": port})


def test_a_port_that_another_stack_reserved_is_taken_until_it_closes() -> None:
    first = Reservation.of(["loki"], given={})
    with pytest.raises(PortTaken):
        Reservation.of(["loki"], given=first.ports)
    first.close()
    Reservation.of(["loki"], given=first.ports).close()


def test_a_failure_gives_back_what_was_reserved() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        free = Reservation.of(["a"], given={})
        free.close()
        with pytest.raises(PortTaken):
            Reservation.of(["a", "b"], given={"a": free.ports["a"], "b": taken})
        Reservation.of(["a"], given=free.ports).close()
