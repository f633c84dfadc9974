"""The forms of the documents that people write: as much of each as is read here. What Grafana takes, they allow."""

import re
from collections.abc import Mapping

from gwz_provision.shapes import Each, Either, Maybe, Shape

_TEXT = Maybe(str)
_ANY = Maybe(object)
_NUMBER = int | float
# YAML makes a number or a truth of what stands without quotes, and Grafana a text again.
_SCALAR = str | int | float | bool
_TEXTS = Maybe([str])


def _optional(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    return {name: Maybe(shape) for name, shape in shapes.items()}


# Of a dashboard.

# By its uid; by its name, as until Grafana 8.2; and null for the default one.
_SOURCE = Maybe(Either((str, _optional({"uid": str, "type": str}))))
_TARGET: dict[str, Shape] = {
    "refId": _TEXT,
    "datasource": _SOURCE,
    "expr": _TEXT,
    "url": _TEXT,
    "root_selector": _TEXT,
    "legendFormat": _TEXT,
    "queryType": _TEXT,
    "parser": _TEXT,
    "format": Maybe(str | int),
    "limit": Maybe(_SCALAR),
    "columns": Maybe([_optional({"selector": str, "text": str, "type": str})]),
    "url_options": Maybe({"method": _TEXT, "params": Maybe([_optional({"key": str, "value": str | int})])}),
}
_OVERRIDE: Shape = {
    "matcher": Maybe({"id": _TEXT, "options": _ANY}),
    "properties": Maybe([{"id": _TEXT, "value": _ANY}]),
}
_TRANSFORMATION: Shape = {"id": _TEXT, "options": Maybe(dict)}
_PANEL: dict[str, Shape] = {
    "id": Maybe(int),
    "type": _TEXT,
    "title": _TEXT,
    "description": _TEXT,
    "repeat": _TEXT,
    "timeFrom": _TEXT,
    "datasource": _SOURCE,
    "gridPos": Maybe(_optional(dict.fromkeys("xywh", _NUMBER))),
    "targets": Maybe([_TARGET]),
    "transformations": Maybe([_TRANSFORMATION]),
    "fieldConfig": Maybe({"defaults": Maybe({"unit": _TEXT}), "overrides": Maybe([_OVERRIDE])}),
}
_PANEL["panels"] = Maybe([_PANEL])
_VARIABLE: Shape = {
    "name": str,
    "type": _TEXT,
    "datasource": _SOURCE,
    "query": _ANY,
    "regex": _TEXT,
    "sort": Maybe(int),
    "allValue": _TEXT,
    "current": Maybe({"value": Maybe(Either((_SCALAR, [_SCALAR])))}),
}
_ANNOTATION: Shape = {"name": _TEXT, "datasource": _SOURCE, "expr": _TEXT, "target": Maybe(_TARGET)}
DASHBOARD: Shape = {
    "uid": _TEXT,
    "title": _TEXT,
    "tags": _TEXTS,
    "refresh": Maybe(str | bool),
    "time": Maybe({"from": Maybe(str | int | float)}),
    "panels": Maybe([_PANEL]),
    "rows": Maybe([{"panels": Maybe([_PANEL])}]),
    "templating": Maybe({"list": Maybe([_VARIABLE])}),
    "annotations": Maybe({"list": Maybe([_ANNOTATION])}),
    "__inputs": Maybe([{"name": _TEXT}]),
}

# Of alerting, in Grafana's files and its API.

_OPERATOR = re.compile(r"=|!=|=~|!~")
_RANGE = Maybe(_optional({"from": int, "to": int}))
_MODEL: dict[str, Shape] = {**_optional({"type": str, "expression": Either((str, int | float))}), **_TARGET}
_QUERY: dict[str, Shape] = {"refId": _TEXT, "datasourceUid": _TEXT, "relativeTimeRange": _RANGE, "model": Maybe(_MODEL)}
_NOTIFIED: dict[str, Shape] = {
    "receiver": _TEXT,
    "mute_time_intervals": _TEXTS,
    "active_time_intervals": _TEXTS,
}
_RULE: dict[str, Shape] = {
    "uid": _TEXT,
    "title": _TEXT,
    "condition": _TEXT,
    "data": Maybe([_QUERY]),
    "noDataState": _TEXT,
    "execErrState": _TEXT,
    "for": Maybe(str | int),
    "labels": Maybe(Each(Maybe(_SCALAR))),
    "annotations": Maybe(Each(Maybe(_SCALAR))),
    "notification_settings": Maybe(_NOTIFIED),
    "notificationSettings": Maybe(_NOTIFIED),
}
_GROUP: dict[str, Shape] = {"name": _TEXT, "folder": _TEXT, "interval": Maybe(str | int), "rules": Maybe([_RULE])}
_CONTACT: dict[str, Shape] = {"uid": _TEXT, "name": _TEXT, "type": _TEXT, "settings": Maybe(dict)}
_ROUTE: dict[str, Shape] = {**_NOTIFIED, "object_matchers": Maybe([(str, _OPERATOR, _SCALAR)]), "group_by": _TEXTS}
_ROUTE["routes"] = Maybe([_ROUTE])
ALERTING: Shape = {
    # One of each kind alone, as the API gives it.
    **_RULE,
    **_GROUP,
    **_CONTACT,
    **_ROUTE,
    "groups": Maybe([_GROUP]),
    "contactPoints": Maybe([{**_CONTACT, "receivers": Maybe([_CONTACT])}]),
    "policies": Maybe(Either(([_ROUTE], _ROUTE))),
    "notificationPolicies": Maybe(Either(([_ROUTE], _ROUTE))),
    "muteTimes": Maybe([{"name": _TEXT}]),
}

# Of Prometheus' rule files, where YAML makes a number of `expr: 1`; `check.rulefile` says what else it refuses in them.

RULES: Shape = {
    "groups": Maybe(
        [
            {
                "name": Maybe(str | int),
                "rules": Maybe([_optional({"record": str, "alert": str, "expr": str | int | float})]),
            }
        ]
    )
}

# Of a saved plan.

PLAN: Shape = {
    "schema": int,
    "grafana": str,
    "options": {"prune": bool, "adopt": bool},
    "actions": [{"kind": str, "uid": str}],
}

# Of the contract of what is emitted.

_LABEL: Shape = {"name": str, "values": Maybe([str])}
_FIELD: Shape = {"name": str, "type": str, "values": Maybe([str]), "brief": _TEXT, "unit": _TEXT}
_PARAMETER: Shape = {
    "name": str,
    **_optional({"type": str, "values": [str], "enum": [str], "minimum": _NUMBER, "maximum": _NUMBER}),
}
CONTRACT: Shape = {
    "metrics": [{"name": str, "type": str, "unit": str, "labels": [_LABEL], "brief": _TEXT}],
    "logs": {"labels": [_LABEL], "metadata": [_FIELD], "fields": [_FIELD]},
    "spans": [{"attributes": [_FIELD]}],
    "resource": [_FIELD],
    "endpoints": Maybe(
        [{"method": str, "path": str, "many": bool, "fields": [_FIELD], "parameters": Maybe([_PARAMETER])}]
    ),
}

# Of a bundle.

_TRACE: Shape = {
    "tracesToLogsV2": Maybe({"query": _TEXT}),
    "tracesToMetrics": Maybe({"queries": Maybe([{"query": _TEXT}])}),
}
_DATASOURCE: dict[str, Shape] = {
    **_optional({"uid": str, "name": str, "type": str, "url": str}),
    "jsonData": Maybe(_TRACE),
    "secureJsonData": Maybe(Each(_TEXT)),
}
DATASOURCES: Shape = {"datasources": [_DATASOURCE]}
_FOLDER: Shape = {"uid": str, "title": str, "parent": _TEXT}
INDEX: Shape = {"folders": [_FOLDER], "dashboards": [_optional({"uid": str, "folder": str, "file": str})]}

# What a bundle must hold beyond what any file may: each resource has what it is known by, and texts where the API wants them.

OWN_INDEX: Shape = {"folders": [_FOLDER], "dashboards": [{"folder": str, "file": str, "mayBeEmpty": Maybe([int])}]}
OWN_DATASOURCES: Shape = {"datasources": [{**_DATASOURCE, "uid": str, "name": str, "type": str}]}
OWN_ALERTS: Shape = {
    "groups": [
        {
            **_GROUP,
            "rules": Maybe(
                [
                    {
                        **_RULE,
                        "uid": str,
                        "title": str,
                        "labels": Maybe(Each(_TEXT)),
                        "annotations": Maybe(Each(_TEXT)),
                        "data": Maybe([{**_QUERY, "refId": str, "datasourceUid": str, "model": _MODEL}]),
                    }
                ]
            ),
        }
    ]
}
OWN_CONTACTS: Shape = {"contactPoints": Maybe([{**_CONTACT, "uid": str, "name": str, "type": str}])}
OWN_ROUTES: Shape = {"routes": Maybe([{**_ROUTE, "receiver": str, "object_matchers": Maybe([(str, _OPERATOR, str)])}])}
