"""Finds, builds, starts and stops the servers of the stack."""

from gwz_stack.compose import ComposeStack
from gwz_stack.dotenv import write_env
from gwz_stack.errors import (
    ChecksumMismatch,
    NotReady,
    PortTaken,
    ServerDied,
    ServerUnavailable,
    StackError,
    VersionRefused,
)
from gwz_stack.find import Found, find
from gwz_stack.gate import Gate
from gwz_stack.native import NativeStack
from gwz_stack.process import Process, Supervisor
from gwz_stack.render import differences
from gwz_stack.urls import Urls
from gwz_stack.versions import SERVERS

__all__ = [
    "SERVERS",
    "ChecksumMismatch",
    "ComposeStack",
    "Found",
    "Gate",
    "NativeStack",
    "NotReady",
    "PortTaken",
    "Process",
    "ServerDied",
    "ServerUnavailable",
    "StackError",
    "Supervisor",
    "Urls",
    "VersionRefused",
    "differences",
    "find",
    "write_env",
]
