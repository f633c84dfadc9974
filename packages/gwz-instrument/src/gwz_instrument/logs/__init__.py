"""Log lines to Loki: python-logging-loki's handler, made to batch, to bound its queue and never to block."""

from .handler import PUSH_PATH, LokiHandler, level_of, no_metadata

__all__ = ["PUSH_PATH", "LokiHandler", "level_of", "no_metadata"]
