"""The recording rules, computed by promtool, and their agreement with the library's own arithmetic."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from gwz_dashboards import recording
from gwz_dashboards.queries import FAILURES, JUDGED
from gwz_instrument.health import scores
from gwz_instrument.health.scores import Tally

pytestmark = pytest.mark.dashboard

ATTEMPTS = "gatewayz_provider_attempts_total"
WORTH = "gatewayz_provider_answer_worth_total"
REPLICAS = ("a", "b")


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    text = ", ".join(f'{key}="{value}"' for key, value in {"job": "j", "instance": "a", **labels}.items())
    return {"series": f"{name}{{{text}}}", "values": values}


def check(
    promtool: Path, folder: Path, given: Sequence[Mapping[str, str]], expected: Mapping[str, Mapping[str, float]]
) -> None:
    """Have promtool compute the rules at ten minutes: metric → labels → value."""
    for name, document in recording.rule_files().items():
        (folder / name).write_text(yaml.safe_dump(document))
    tests: dict[str, Any] = {
        "rule_files": [*recording.rule_files()],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": list(given),
                "promql_expr_test": [
                    *(
                        {
                            # promtool compares to the last digit.
                            "expr": f"abs({metric}{labels} - {value}) < bool 1e-9",
                            "eval_time": "10m",
                            "exp_samples": [{"labels": labels, "value": 1}],
                        }
                        for metric, samples in expected.items()
                        for labels, value in samples.items()
                    ),
                    *(
                        {
                            "expr": f"count({metric})",
                            "eval_time": "10m",
                            "exp_samples": [{"labels": "{}", "value": len(samples)}] if samples else [],
                        }
                        for metric, samples in expected.items()
                    ),
                ],
            }
        ],
    }
    (folder / "tests.yml").write_text(yaml.safe_dump(tests))
    command = [promtool, "test", "rules", folder / "tests.yml"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_promtool_accepts_the_rules(promtool: Path, tmp_path: Path) -> None:
    for name, document in recording.rule_files().items():
        (tmp_path / name).write_text(yaml.safe_dump(document))
    files = [tmp_path / name for name in recording.rule_files()]
    found = subprocess.run([promtool, "check", "rules", *files], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    "rule", [rule for rules in recording.GROUPS.values() for rule in rules], ids=lambda r: r.metric.name
)
def test_a_name_reads_level_metric_operation(rule: recording.Recorded) -> None:
    level, metric, operation = rule.metric.name.split(":")
    assert level == "_".join(label.name for label in rule.metric.labels)
    assert re.fullmatch(r"[a-z_]+", metric)
    assert re.fullmatch(r"[a-z_]+\d*_?5m", operation)


def test_judged_and_failed_are_what_the_library_judges() -> None:
    assert set(FAILURES) == scores.FAILURES
    assert set(JUDGED) == {"success", *scores.FAILURES}


@pytest.mark.parametrize(
    ("seconds", "failures", "given_up"),
    [
        ((1.0, 2.0, 30.0), {"error": 2}, 3),
        ((5.0,), {"timeout": 1, "stream_error": 1}, 0),
        ((60.0, 90.0), {}, 1),
        ((), {"error": 4}, 0),
        ((0.5,) * 7, {}, 0),
    ],
    ids=["mixed", "mostly failed", "slow", "all failed", "all well"],
)
def test_the_health_score_is_that_of_the_library(
    promtool: Path, tmp_path: Path, seconds: tuple[float, ...], failures: dict[str, int], given_up: int
) -> None:
    """The same attempts of the last five minutes, spread over two replicas that had counted others long before."""
    seen = scores.tally("success", seconds)
    failed = sum(failures.values())
    expected = scores.score(Tally(successes=seen.successes, failures=float(failed), worth=seen.worth))
    given = []
    for instance, replica in enumerate(REPLICAS):
        before = 1000 * (instance + 1)

        def moved(by: float, before: int = before) -> str:
            return f"{before}x30 {before + by}x20"

        share = 1 if instance == 0 else 0
        counts = {
            "success": len(seconds) * share,
            "cancelled": given_up,
            **{how: number * share for how, number in failures.items()},
        }
        given += [
            series(ATTEMPTS, moved(number), instance=replica, provider="p", status=how)
            for how, number in counts.items()
        ]
        given.append(series(WORTH, moved(seen.worth * share), instance=replica, provider="p"))
    labels = '{job="j", provider="p"}'
    assert expected is not None
    check(
        promtool,
        tmp_path,
        given,
        {
            recording.HEALTH_SCORE.metric.name: {labels: expected},
            recording.OVERALL_HEALTH.metric.name: {'{job="j"}': expected},
            recording.ATTEMPTS_FAILED.metric.name: {labels: failed / (failed + len(seconds))},
        },
    )


def test_a_process_that_began_anew_counts_from_zero_and_a_young_one_too(promtool: Path, tmp_path: Path) -> None:
    given = [
        series(ATTEMPTS, "900x30 5x20", provider="p", status="success"),
        series(WORTH, "900x30 4x20", provider="p"),
        series(ATTEMPTS, "_x35 5x20", instance="b", provider="p", status="success"),
        series(WORTH, "_x35 5x20", instance="b", provider="p"),
    ]
    labels = '{job="j", provider="p"}'
    check(
        promtool,
        tmp_path,
        given,
        {
            recording.JUDGED.metric.name: {labels: 10},
            recording.HEALTH_SCORE.metric.name: {labels: 0.9},
        },
    )


def test_without_traffic_there_is_no_score_and_no_share(promtool: Path, tmp_path: Path) -> None:
    given = [
        series(ATTEMPTS, "7x50", provider="p", status="success"),
        series(WORTH, "7x50", provider="p"),
        series("fastapi_requests_total", "9x50", app_name="g", method="GET", path="/", status_code="200"),
    ]
    nothing: Mapping[str, float] = {}
    rules = (recording.HEALTH_SCORE, recording.OVERALL_HEALTH, recording.ATTEMPTS_FAILED, recording.REQUESTS_FAILED)
    check(promtool, tmp_path, given, {rule.metric.name: nothing for rule in rules})


def test_requests_and_their_failures(promtool: Path, tmp_path: Path) -> None:
    of = {"app_name": "g", "method": "GET", "path": "/"}
    given = [
        series("fastapi_requests_total", "0+9x50", status_code="200", **of),
        series("fastapi_requests_total", "0+1x50", status_code="503", **of),
    ]
    check(promtool, tmp_path, given, {recording.REQUESTS_FAILED.metric.name: {'{job="j"}': 0.1}})


def test_no_failure_is_zero_while_there_are_requests(promtool: Path, tmp_path: Path) -> None:
    given = [series("fastapi_requests_total", "0+9x50", app_name="g", method="GET", path="/", status_code="200")]
    check(promtool, tmp_path, given, {recording.REQUESTS_FAILED.metric.name: {'{job="j"}': 0}})


def test_money_and_time_of_providers(promtool: Path, tmp_path: Path) -> None:
    given = [
        series("gatewayz_cost_by_provider_total", "0+3x50", provider="p"),
        series("gatewayz_cost_by_provider_total", "0+3x50", instance="b", provider="p"),
        series("model_inference_duration_seconds_bucket", "0+10x50", provider="p", model="m", le="0.5"),
        series("model_inference_duration_seconds_bucket", "0+10x50", provider="p", model="m", le="+Inf"),
    ]
    labels = '{job="j", provider="p"}'
    check(
        promtool,
        tmp_path,
        given,
        {
            recording.COST_RATE.metric.name: {labels: 0.4},
            recording.CALL_P95.metric.name: {labels: 0.475},
        },
    )
