import dataclasses
import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as options
from hypothesis import strategies as st

from gwz_instrument import rules
from gwz_instrument._settings_page import settings_page
from gwz_instrument.settings import DEFAULT_EXCLUDED, SAMPLERS, Settings, SettingsError, described


def problems(make, *args, **kwargs):
    """The sentences of the SettingsError that the call raises."""
    with pytest.raises(SettingsError) as caught:
        make(*args, **kwargs)
    return caught.value.problems


def test_defaults_switch_logs_and_traces_off():
    settings = Settings.load({})
    assert (settings.service_name, settings.environment) == ("gatewayz", "development")
    assert (settings.loki_url, settings.otlp_endpoint, settings.traces_url) == (None, None, None)
    assert (settings.models, settings.providers, settings.metrics_token) == ((), (), None)
    assert (settings.slow_request_s, settings.log_queue_bytes) == (10.0, 16777216)
    assert (settings.max_models, settings.max_providers, settings.max_paths) == (300, 100, 1000)


def test_every_default_keeps_its_own_rule():
    for name, setting in described().items():
        assert setting.rule.value(name, setting.default) == setting.default


@pytest.mark.parametrize("name", ["service_name", "exclude_paths", "traces_sampler_arg"])
def test_an_argument_beats_the_environment(name):
    environ = {"OTEL_SERVICE_NAME": "env", "GWZ_EXCLUDE_PATHS": "/env", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    given = {"service_name": "arg", "exclude_paths": (*DEFAULT_EXCLUDED, "/arg"), "traces_sampler_arg": 0.25}
    assert getattr(Settings.load(environ, **given), name) == given[name]


def test_none_as_an_argument_switches_off_what_the_environment_switches_on():
    assert Settings.load({"GWZ_LOKI_URL": "http://loki:3100"}, loki_url=None).loki_url is None


def test_settings_made_directly_read_the_environment_for_the_rest(monkeypatch):
    monkeypatch.setenv("GWZ_LOKI_URL", "http://loki:3100")
    settings = Settings(replace_existing=True)
    assert (settings.replace_existing, settings.loki_url) == (True, "http://loki:3100")


@pytest.mark.parametrize(
    ("environ", "setting", "value"),
    [
        ({"GWZ_LOKI_URL": "http://a:1", "LOKI_PUSH_URL": "http://b:2/loki/api/v1/push"}, "loki_url", "http://a:1"),
        ({"LOKI_PUSH_URL": "http://b:2/loki/api/v1/push", "LOKI_URL": "http://c:3"}, "loki_url", "http://b:2"),
        ({"GWZ_LOKI_URL": "http://a:1/x/loki/api/v1/push/"}, "loki_url", "http://a:1/x"),
        ({"GWZ_LOKI_URL": "http://a:1/"}, "loki_url", "http://a:1"),
        ({"LOKI_URL": "http://c:3"}, "loki_url", "http://c:3"),
        ({"GWZ_LOKI_TOKEN": " abc "}, "loki_token", "abc"),
        ({"GWZ_METRICS_TOKEN": "abc"}, "metrics_token", "abc"),
        ({"GWZ_METRICS_TOKEN": ""}, "metrics_token", None),
        ({"TEMPO_OTLP_HTTP": "http://t:4318", "TEMPO_OTLP_GRPC": "http://t:4317"}, "otlp_endpoint", "http://t:4318"),
        ({"TEMPO_OTLP_HTTP": "http://t:4317"}, "protocol", "http/protobuf"),
        ({"TEMPO_OTLP_GRPC": "http://t:4317"}, "protocol", "grpc"),
        ({"TEMPO_OTLP_GRPC": "http://t:9"}, "protocol", "grpc"),
        (
            {"TEMPO_OTLP_GRPC": "http://t:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "protocol",
            "http/protobuf",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://t:4318", "TEMPO_OTLP_HTTP": "http://u:4"},
            "otlp_endpoint",
            "http://t:4318",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://t:4317"}, "protocol", "grpc"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://t:4318"}, "protocol", "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:4317"}, "protocol", "grpc"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:4318/x", "TEMPO_OTLP_GRPC": "http://t:9"},
            "protocol",
            "http/protobuf",
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "protocol",
            "grpc",
        ),
        ({"PROMETHEUS_URL": "http://p:9090"}, "prometheus_url", "http://p:9090"),
        ({"GWZ_PROMETHEUS_URL": "http://q:1", "PROMETHEUS_URL": "http://p:2"}, "prometheus_url", "http://q:1"),
        ({"TEMPO_URL": "http://t:3200"}, "tempo_url", "http://t:3200"),
        ({"APP_ENV": "test", "RAILWAY_ENVIRONMENT_NAME": "local"}, "environment", "test"),
        ({"GWZ_ENVIRONMENT": "dev", "APP_ENV": "staging"}, "environment", "dev"),
        ({"RAILWAY_ENVIRONMENT_NAME": "local"}, "environment", "local"),
        ({"OTEL_TRACES_SAMPLER": "ALWAYS_ON"}, "traces_sampler", "always_on"),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.25"}, "traces_sampler_arg", 0.25),
        ({"OTEL_SERVICE_NAME": "  "}, "service_name", "gatewayz"),
        (
            {"GWZ_MODELS": "openai/gpt-4o, z-ai/glm-4.6:exacto,,openai/gpt-4o"},
            "models",
            ("openai/gpt-4o", "z-ai/glm-4.6:exacto"),
        ),
        ({"GWZ_PROVIDERS": "groq"}, "providers", ("groq",)),
        ({"GWZ_MAX_MODELS": "7"}, "max_models", 7),
        ({"GWZ_MAX_PROVIDERS": "7"}, "max_providers", 7),
        ({"GWZ_MAX_PATHS": "7"}, "max_paths", 7),
        ({"GWZ_SLOW_REQUEST_S": "2"}, "slow_request_s", 2.0),
        ({"GWZ_LOG_QUEUE_BYTES": "1000000"}, "log_queue_bytes", 1000000),
        ({"GWZ_EXCLUDE_PATHS": "/ping,/health"}, "exclude_paths", (*DEFAULT_EXCLUDED, "/ping")),
        ({"GWZ_REPLACE_EXISTING": "Yes"}, "replace_existing", True),
        ({"GWZ_REPLACE_EXISTING": "1"}, "replace_existing", True),
        ({"GWZ_REPLACE_EXISTING": "false"}, "replace_existing", False),
    ],
)
def test_variables_are_read_in_their_order(environ, setting, value):
    found = getattr(Settings.load(environ), setting)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://t:4318"}, "http://t:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://t:4318/v1/traces"}, "http://t:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://t:4317"}, "http://t:4317"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://t/otlp/", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://t/otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:4318/mine"}, "http://t:4318/mine"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:4318/mine", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:1"},
            "http://t:4318/mine",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://t:4318", "OTEL_SDK_DISABLED": "True"}, None),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"TEMPO_OTLP_GRPC": "http://t:4317", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://t:4318", "OTEL_SDK_DISABLED": "false"}, "http://t:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://t:4318", "OTEL_TRACES_EXPORTER": "otlp"}, "http://t:4318/v1/traces"),
    ],
)
def test_spans_go_where_opentelemetrys_variables_say(environ, url):
    assert Settings.load(environ).traces_url == url


def test_a_protocol_that_a_variable_implies_does_not_bind_an_endpoint_given_as_argument():
    assert (
        Settings.load({"TEMPO_OTLP_GRPC": "http://t:4317"}, otlp_endpoint="http://t:4318").protocol == "http/protobuf"
    )


def test_stream_labels_take_the_deployed_service():
    settings = Settings.load({"OTEL_SERVICE_NAME": "gw", "GWZ_ENVIRONMENT": "test", "RAILWAY_SERVICE_NAME": "api"})
    assert settings.stream_labels == {"app": "gw", "env": "test", "service": "api"}
    assert Settings.load({"OTEL_SERVICE_NAME": "gw"}).stream_labels["service"] == "gw"


def test_every_fault_is_reported_at_once_with_its_source_and_cure():
    found = problems(
        Settings.load,
        {
            "LOKI_URL": "loki:3100",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http",
            "OTEL_TRACES_SAMPLER": "half",
            "OTEL_TRACES_SAMPLER_ARG": "a quarter",
            "GWZ_MAX_MODELS": "-1",
            "GWZ_REPLACE_EXISTING": "perhaps",
            "APP_ENV": "staging",
        },
        prometheus_url="prometheus",
        lok_url="http://loki:3100",
    )
    assert found[:-1] == (
        "there is no setting 'lok_url': did you mean loki_url?",
        "OTEL_EXPORTER_OTLP_ENDPOINT is 'http://': it must be an address such as http://tempo:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL is 'http': it must be one of http/protobuf, grpc",
        f"OTEL_TRACES_SAMPLER is 'half': it must be one of {', '.join(SAMPLERS)}",
        "OTEL_TRACES_SAMPLER_ARG is 'a quarter': it must be a number from 0 to 1",
        "LOKI_URL is 'loki:3100': it must be an address such as http://loki:3100",
        "prometheus_url is 'prometheus': it must be an address such as http://prometheus:9090",
        "GWZ_MAX_MODELS is '-1': it must be a whole number, 1 or more",
        f"GWZ_REPLACE_EXISTING is 'perhaps': it must be {rules.FLAG.wanted}",
    )
    assert found[-1].startswith("GWZ_METRICS_TOKEN is not set, and APP_ENV is 'staging': ")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"exclude_paths": "/x"}, "such as ('/ping',) as an argument"),
        ({"exclude_paths": ("x",)}, "URL paths"),
        ({"exclude_paths": ("/items/{id}",)}, "without parameters"),
        ({"models": "a,b"}, "such as ('openai/gpt-4o',) as an argument"),
        ({"models": ("a", 1)}, "names"),
        ({"providers": ("",)}, "names"),
        ({"remove_middleware": "A"}, "names"),
        ({"max_paths": "7"}, "a whole number, 1 or more"),
        ({"max_paths": True}, "a whole number, 1 or more"),
        ({"max_paths": 1.5}, "a whole number, 1 or more"),
        ({"max_providers": 0}, "a whole number, 1 or more"),
        ({"log_queue_bytes": -1}, "a whole number, 262144 or more"),
        ({"slow_request_s": float("nan")}, "a number, 0 or more"),
        ({"slow_request_s": float("inf")}, "a number, 0 or more"),
        ({"slow_request_s": "10"}, "a number, 0 or more"),
        ({"slow_request_s": None}, "a number, 0 or more"),
        ({"traces_sampler_arg": float("nan")}, "a number from 0 to 1"),
        ({"traces_sampler_arg": 1.1}, "a number from 0 to 1"),
        ({"traces_sampler": None}, "one of"),
        ({"replace_existing": 1}, "True or False"),
        ({"replace_existing": "true"}, "True or False"),
        ({"service_name": ""}, "printable text"),
        ({"service_name": "a\nb"}, "printable text"),
        ({"service_name": "\udcff"}, "printable text"),
        ({"environment": None}, "printable text"),
        ({"loki_url": "ftp://loki:3100"}, "an address"),
        ({"loki_url": "http://loki:99999"}, "an address"),
        ({"loki_url": "http://loki:0"}, "an address"),
        ({"loki_url": "http://lo ki"}, "an address"),
        ({"loki_url": "http://loki\n"}, "an address"),
        ({"loki_url": "http://loki/?x=1"}, "an address"),
        ({"loki_url": 3100}, "an address"),
        ({"loki_url": ""}, "an address"),
        ({"loki_url": "http://[::1"}, "an address"),
        ({"metrics_token": ""}, "a header"),
        ({"metrics_token": 7}, "a header"),
    ],
)
def test_a_wrong_argument_is_refused_on_every_way_in(given, wanted):
    (name,) = given
    for make in (
        lambda: Settings(**given),
        lambda: Settings.load({}, **given),
        lambda: Settings.resolve(None, given),
        lambda: Settings.resolve(Settings(), given),
        lambda: dataclasses.replace(Settings(), **given),
    ):
        (sentence,) = problems(make)
        assert sentence.startswith(f"{name} is ")
        assert wanted in sentence


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("models", ["b", "a", "b"], ("b", "a")),
        ("providers", {"b", "a"}, ("a", "b")),
        ("slow_request_s", 3, 3.0),
        ("exclude_paths", [], DEFAULT_EXCLUDED),
        ("loki_url", "https://user:pw@[::1]:3100/base/", "https://user:pw@[::1]:3100/base"),
    ],
)
def test_what_means_the_same_is_kept_in_one_form(name, given, kept):
    found = getattr(Settings(**{name: given}), name)
    assert (found, type(found)) == (kept, type(kept))


def test_overrides_are_applied_over_given_settings(monkeypatch):
    settings = Settings(service_name="a", loki_url="http://loki:3100")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "later")
    resolved = Settings.resolve(settings, {"loki_url": None, "max_paths": 5})
    assert (resolved.service_name, resolved.loki_url, resolved.max_paths) == ("a", None, 5)
    assert settings.loki_url == "http://loki:3100"


def test_what_is_no_settings_object_is_refused():
    (sentence,) = problems(Settings.resolve, {"loki_url": "http://loki:3100"}, {})
    assert sentence == (
        "settings is of type dict: give Settings(...), or single settings by name, "
        "as in instrument(app, loki_url='http://loki:3100')"
    )


@pytest.mark.parametrize("name", ["environ", "__class__", "problems"])
def test_only_settings_are_settings(name):
    assert f"there is no setting {name!r}: " in problems(Settings.resolve, None, {name: {}})[0]


def test_an_unknown_setting_that_is_near_none_gets_the_list():
    assert (
        "the settings are admin_token, anomaly_baseline_s, anomaly_window_s, api_token, call_max_s, "
        in problems(Settings.resolve, None, {"zzz": 1})[0]
    )


@pytest.mark.parametrize("environment", ["development", "dev", "local", "test", "Development"])
def test_a_development_environment_needs_no_token(environment):
    assert Settings.load({"GWZ_ENVIRONMENT": environment}).environment == environment


@pytest.mark.parametrize("environment", ["production", "staging", "preview", "testing", "prod"])
def test_any_other_environment_needs_a_metrics_token(environment):
    (sentence,) = problems(Settings.load, {"GWZ_ENVIRONMENT": environment})
    assert sentence.startswith(f"GWZ_METRICS_TOKEN is not set, and GWZ_ENVIRONMENT is '{environment}': ")
    assert "authorization: {credentials_file: /etc/prometheus/metrics_token}" in sentence
    assert Settings.load({"GWZ_ENVIRONMENT": environment, "GWZ_METRICS_TOKEN": "t"}).metrics_token == "t"


def test_a_wrong_metrics_token_is_one_problem_not_two():
    assert len(problems(Settings, environment="production", metrics_token="a b")) == 1


@pytest.mark.parametrize(("kind", "variable"), [("models", "GWZ_MODELS"), ("providers", "GWZ_PROVIDERS")])
def test_more_names_than_the_budget_allows_are_refused(kind, variable):
    (sentence,) = problems(Settings.load, {variable: "a,b,c", f"GWZ_MAX_{kind.upper()}": "2"})
    assert (
        sentence
        == f"{variable} has 3 {kind}, more than max_{kind} allows (2): raise GWZ_MAX_{kind.upper()} or name fewer"
    )
    assert len(getattr(Settings.load({variable: "a,b", f"GWZ_MAX_{kind.upper()}": "2"}), kind)) == 2


SECRET = "s3cr3t"


def test_no_text_of_settings_shows_a_secret():
    settings = Settings(metrics_token=SECRET, loki_token=SECRET, loki_url=f"http://user:{SECRET}@loki:3100")
    assert SECRET not in repr(settings) + str(settings) + f"{settings}"
    assert "metrics_token='[redacted]'" in repr(settings)
    assert "loki_url='http://[redacted]@loki:3100'" in repr(settings)
    assert "loki_token=None" in repr(Settings())


@pytest.mark.parametrize(
    "environ",
    [
        {"GWZ_METRICS_TOKEN": f"{SECRET} {SECRET}"},
        {"GWZ_LOKI_TOKEN": f"{SECRET}é"},
        {"GWZ_LOKI_URL": f"user:{SECRET}@loki:3100"},
        {"TEMPO_URL": f"http://user:{SECRET}@tempo:0"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://a:{SECRET}@b@tempo:0"},
    ],
)
def test_no_error_shows_a_secret(environ):
    (sentence,) = problems(Settings.load, environ)
    assert SECRET not in sentence
    assert next(iter(environ)) in sentence


def test_settings_can_be_compared_hashed_and_pickled():
    settings = Settings(models=("a",), metrics_token="t")
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301  # our own bytes
    assert hash(settings) == hash(dataclasses.replace(settings))
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.models = ()


calmly = options(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a shared machine stalls now and then


@calmly
@given(
    st.dictionaries(
        st.sampled_from(sorted(described())), st.none() | st.integers() | st.text() | st.floats() | st.lists(st.text())
    )
)
def test_any_arguments_make_settings_or_name_every_wrong_one(arguments):
    try:
        Settings.resolve(None, arguments)
    except SettingsError as error:
        assert all(any(name in sentence for name in arguments) for sentence in error.problems)  # noqa: PT017


@calmly
@given(st.dictionaries(st.sampled_from([v for s in described().values() for v in s.variables]), st.text()))
def test_any_environment_makes_settings_or_names_variables(environ):
    try:
        Settings.load(environ)
    except SettingsError as error:
        assert all(any(name in sentence for name in environ) for sentence in error.problems)  # noqa: PT017


def test_the_reference_page_is_what_the_code_says():
    """Drift is mended by `nox -s generate`."""
    page = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"
    assert page.read_text(encoding="utf-8") == settings_page()
