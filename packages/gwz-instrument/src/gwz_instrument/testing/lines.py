"""Log lines in memory: the handler's own work up to the text, and no thread or network behind it."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gwz_instrument.exchange import metadata
from gwz_instrument.judge import EmittedLine
from gwz_instrument.logs import LokiHandler, level_of
from gwz_instrument.logs.entry import Entry
from gwz_instrument.logs.lines import LineFormatter, metadata_json
from gwz_instrument.semconv import logs

_NOWHERE: Final = "http://localhost/loki/api/v1/push"


@dataclass(frozen=True, slots=True)
class Line:
    """A log line as Loki would have it, secrets hidden."""

    level: str
    logger: str
    message: str
    fields: Mapping[str, Any]
    """Its JSON, the three above included."""
    metadata: Mapping[str, str]
    """What is beside the line: `trace_id`, `request_id` and the like."""
    labels: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.level} {self.logger}: {self.message}"

    def emitted(self) -> EmittedLine:
        """The line as the judge takes it."""
        return EmittedLine(self.labels, self.metadata, self.fields)


class MemoryHandler(LokiHandler):
    """Keeps the lines that it would have sent."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._kept: list[Entry] = []
        self._labels = dict(labels)
        super().__init__(_NOWHERE, labels, metadata=metadata)

    def lines(self) -> list[Line]:
        """Every line so far, oldest first."""
        formatter = LineFormatter()
        return [self._line(formatter, entry) for entry in list(self._kept)]

    def _put(self, entry: Entry) -> None:
        self._kept.append(entry)

    def _line(self, formatter: LineFormatter, entry: Entry) -> Line:
        fields = json.loads(formatter.line(entry))
        return Line(
            level=fields[logs.LEVEL.name],
            logger=fields[logs.LOGGER.name],
            message=fields[logs.MESSAGE.name],
            fields=fields,
            metadata=json.loads(metadata_json(entry[7])),
            labels={**self._labels, logs.LEVEL.name: level_of(entry[1])},
        )


def muted(_record: logging.LogRecord) -> bool:
    """A filter that lets nothing pass."""
    return False
