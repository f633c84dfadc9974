"""A dashboard as Grafana 11 exports it: something of each kind that its editor leaves behind, null where it writes null."""

from typing import Any

Json = dict[str, Any]

_PROMETHEUS = {"type": "prometheus", "uid": "grafana_prometheus"}
_LOKI = {"type": "loki", "uid": "grafana_loki"}
_OWN = {"type": "grafana", "uid": "-- Grafana --"}
_TABLE = {"editorMode": "code", "exemplar": False, "format": "table", "instant": True, "legendFormat": "__auto", "range": False}  # fmt: skip
_HIDDEN_SERIES = {
    "__systemRef": "hideSeriesFrom",
    "matcher": {"id": "byNames", "options": {"mode": "exclude", "names": ["a"], "prefix": "All except:", "readOnly": True}},
    "properties": [{"id": "custom.hideFrom", "value": {"legend": False, "tooltip": False, "viz": True}}],
}  # fmt: skip
_FIELDS = {
    "defaults": {
        "color": {"mode": "thresholds"},
        "mappings": [
            {"type": "special", "options": {"match": "null+nan", "result": {"text": "none", "index": 0}}},
            {"type": "range", "options": {"from": None, "to": 5, "result": {"color": "red", "index": 1}}},
            {"type": "regex", "options": {"pattern": "(.*)", "result": {"text": "$1", "index": 2}}},
        ],
        "thresholds": {"mode": "absolute", "steps": [{"color": "green", "value": None}, {"color": "red", "value": 80}]},
        "unit": "short",
    },
    "overrides": [
        {"matcher": {"id": "byRegexp", "options": "/^p(95|99)$/"}, "properties": [{"id": "unit", "value": "s"}]},
        {"matcher": {"id": "byFrameRefID", "options": "A"}, "properties": [{"id": "min", "value": None}]},
        {"matcher": {"id": "byType", "options": "number"}, "properties": []},
        _HIDDEN_SERIES,
    ],
}
_CHANGES = [
    {"id": "filterByRefId", "options": {}, "filter": {"id": "byRefId", "options": "A"}, "topic": "series"},
    {"id": "organize", "options": {"excludeByName": {"Time": True, "__name__": True}, "includeByName": {}, "indexByName": {}, "renameByName": {"job": ""}}},
    {"id": "calculateField", "options": {"mode": "binary", "binary": {"left": {"matcher": {"id": "byType", "options": "number"}}, "operator": "*", "right": {"fixed": "100"}}, "replaceFields": True}},
]  # fmt: skip
PANELS: list[Json] = [
    {"id": 1, "type": "row", "title": "Closed", "collapsed": True, "gridPos": {"h": 1, "w": 24, "x": 0, "y": 0}, "panels": [
        {"id": 2, "type": "table", "title": "T", "description": "", "datasource": _PROMETHEUS, "gridPos": {"h": 8, "w": 12, "x": 0, "y": 16}, "fieldConfig": _FIELDS,
         "options": {"cellHeight": "sm", "footer": {"fields": "", "reducer": ["sum"], "show": False}, "showHeader": True, "sortBy": []},
         "targets": [{"refId": "A", "datasource": _PROMETHEUS, "expr": "up", **_TABLE}], "transformations": _CHANGES, "pluginVersion": "11.5.2"},
    ]},
    {"id": 3, "gridPos": {"h": 8, "w": 12, "x": 0, "y": 24}, "libraryPanel": {"name": "Shared", "uid": "cdlib"}, "title": "Shared"},
    {"id": 4, "type": "text", "title": "", "datasource": None, "gridPos": {"h": 8, "w": 12, "x": 0, "y": 32}, "targets": None, "options": {"mode": "markdown", "content": "# a"}, "links": [], "repeat": None, "timeFrom": None},
    {"id": 5, "type": "timeseries", "title": "M", "datasource": {"type": "datasource", "uid": "-- Mixed --"}, "gridPos": {"h": 8, "w": 12, "x": 0, "y": 40}, "fieldConfig": {"defaults": {}, "overrides": []}, "links": [{"title": "L", "url": "https://h/${job}", "targetBlank": True}], "targets": [
        {"refId": "A", "datasource": _PROMETHEUS, "expr": "up", "hide": True, "legendFormat": None},
        {"refId": "B", "datasource": _LOKI, "expr": 'sum(count_over_time({app="a"}[$__auto]))', "maxLines": 100, "queryType": "range"},
        {"refId": "C", "datasource": {"type": "__expr__", "uid": "__expr__", "name": "Expression"}, "type": "math", "expression": "$A * 2", "hide": False},
        {"refId": "D", "datasource": {"type": "influxdb", "uid": "${db}"}, "limit": "$top", "measurement": "m", "tags": [], "format": 1},
    ]},
    {"id": 6, "type": "stat", "title": "Q", "datasource": {"type": "datasource", "uid": "grafana"}, "gridPos": {"h": 8, "w": 12, "x": 0, "y": 48}, "targets": [{"refId": "A", "queryType": "snapshot", "snapshot": []}]},
    {"id": 7, "type": "stat", "title": "R", "datasource": {"type": "datasource", "uid": "-- Dashboard --"}, "gridPos": {"h": 8, "w": 12, "x": 0, "y": 56}, "targets": [{"refId": "A", "panelId": 2, "withTransforms": True}]},
    {"id": 8, "type": "alertlist", "title": "A", "gridPos": {"h": 8, "w": 12, "x": 0, "y": 64}, "options": {"alertName": "", "stateFilter": {"error": True}}},
]  # fmt: skip
VARIABLES: list[Json] = [
    {"name": "db", "type": "datasource", "query": "influxdb", "current": {}, "hide": 0, "includeAll": False, "multi": False, "options": [], "refresh": 1, "regex": "/.*/", "skipUrlSync": False},
    {"name": "job", "type": "query", "datasource": _PROMETHEUS, "definition": "label_values(up, job)", "query": {"qryType": 1, "query": "label_values(up, job)", "refId": "V"}, "allValue": None, "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "includeAll": True, "multi": True, "regex": "", "sort": 7, "label": None},
    {"name": "top", "type": "custom", "query": "5 : 5, 10 : 10", "current": {"selected": False, "text": "5", "value": "5"}, "options": [{"selected": True, "text": "5", "value": "5"}]},
    {"name": "step", "type": "interval", "query": "1m,10m", "auto": True, "auto_count": 30, "auto_min": "10s", "current": {"text": "auto", "value": "$__auto_interval_step"}, "refresh": 2},
    {"name": "words", "type": "textbox", "query": "", "current": {"text": "", "value": ""}},
    {"name": "fixed", "type": "constant", "query": "x", "hide": 2, "skipUrlSync": True},
    {"name": "filters", "type": "adhoc", "datasource": _PROMETHEUS, "filters": [], "baseFilters": [], "hide": 0},
    {"name": "by", "type": "groupby", "datasource": _PROMETHEUS, "current": {"text": [], "value": []}},
]  # fmt: skip
ANNOTATIONS: list[Json] = [
    {"builtIn": 1, "datasource": _OWN, "enable": True, "hide": True, "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "target": {"limit": 100, "matchAny": False, "tags": [], "type": "dashboard"}, "type": "dashboard"},
    {"datasource": _PROMETHEUS, "enable": False, "expr": "changes(up[5m])", "iconColor": "red", "name": "Restarts", "step": "60s", "titleFormat": "R", "filter": {"exclude": False, "ids": [1]}},
    {"datasource": _LOKI, "enable": False, "iconColor": "red", "name": "Lines", "target": {"expr": '{app="a"}', "queryType": "range", "refId": "Anno"}},
]  # fmt: skip
DASHBOARD: Json = {
    "__elements": {}, "__requires": [{"type": "grafana", "id": "grafana", "name": "Grafana", "version": "11.5.2"}],
    "annotations": {"list": ANNOTATIONS}, "description": None, "editable": True, "fiscalYearStartMonth": 0, "graphTooltip": 0,
    "links": [{"asDropdown": False, "icon": "external link", "includeVars": True, "keepTime": True, "tags": [], "title": "T", "type": "link", "url": "/x?${step}&${words}&${fixed}"}],
    "liveNow": False, "panels": PANELS, "preload": False, "refresh": "", "schemaVersion": 40, "tags": [],
    "templating": {"list": VARIABLES}, "time": {"from": "now-6h", "to": "now"}, "timepicker": {}, "timezone": "browser",
    "title": "Exported", "uid": "gwz-exported", "weekStart": "",
}  # fmt: skip
