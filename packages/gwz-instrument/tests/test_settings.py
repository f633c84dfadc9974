import pytest

from gwz_instrument import Settings, SettingsError


def test_defaults_switch_logs_and_traces_off():
    settings = Settings.load({})
    assert (settings.service_name, settings.environment) == ("gatewayz", "development")
    assert settings.loki_url is None
    assert settings.otlp_endpoint is None


def test_an_argument_beats_the_environment():
    assert Settings.load({"OTEL_SERVICE_NAME": "env"}, service_name="arg").service_name == "arg"


@pytest.mark.parametrize(
    ("environ", "setting", "value"),
    [
        ({"GWZ_LOKI_URL": "http://a:1", "LOKI_PUSH_URL": "http://b:2/loki/api/v1/push"}, "loki_url", "http://a:1"),
        ({"LOKI_PUSH_URL": "http://b:2/loki/api/v1/push", "LOKI_URL": "http://c:3"}, "loki_url", "http://b:2"),
        ({"LOKI_URL": "http://c:3"}, "loki_url", "http://c:3"),
        ({"TEMPO_OTLP_HTTP": "http://t:4318", "TEMPO_OTLP_GRPC": "http://t:4317"}, "otlp_endpoint", "http://t:4318"),
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
        ({"PROMETHEUS_URL": "http://p:9090"}, "prometheus_url", "http://p:9090"),
        ({"GWZ_PROMETHEUS_URL": "http://q:1", "PROMETHEUS_URL": "http://p:2"}, "prometheus_url", "http://q:1"),
        ({"TEMPO_URL": "http://t:3200"}, "tempo_url", "http://t:3200"),
        ({"APP_ENV": "staging", "RAILWAY_ENVIRONMENT_NAME": "production"}, "environment", "staging"),
        ({"GWZ_ENVIRONMENT": "dev", "APP_ENV": "staging"}, "environment", "dev"),
        ({"RAILWAY_ENVIRONMENT_NAME": "production"}, "environment", "production"),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.25"}, "traces_sampler_arg", 0.25),
        ({"OTEL_SERVICE_NAME": "  "}, "service_name", "gatewayz"),
    ],
)
def test_variables_are_read_in_their_order(environ, setting, value):
    assert getattr(Settings.load(environ), setting) == value


def test_stream_labels_take_the_deployed_service():
    settings = Settings.load({"OTEL_SERVICE_NAME": "gw", "GWZ_ENVIRONMENT": "prod", "RAILWAY_SERVICE_NAME": "api"})
    assert settings.stream_labels == {"app": "gw", "env": "prod", "service": "api"}
    assert Settings.load({"OTEL_SERVICE_NAME": "gw"}).stream_labels["service"] == "gw"


def test_every_fault_is_reported_at_once_with_its_cure():
    with pytest.raises(SettingsError) as caught:
        Settings.load(
            {
                "GWZ_LOKI_URL": "loki:3100",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http",
                "OTEL_TRACES_SAMPLER": "half",
                "OTEL_TRACES_SAMPLER_ARG": "a quarter",
            },
            lok_url="x",
        )
    message = str(caught.value)
    assert len(caught.value.problems) == 6
    assert "GWZ_LOKI_URL is 'loki:3100': it must be an address such as http://loki:3100" in message
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is 'http': it must be one of http/protobuf, grpc" in message
    assert "OTEL_TRACES_SAMPLER_ARG is 'a quarter': it must be a number" in message
    assert "unknown setting 'lok_url'" in message


@pytest.mark.parametrize("share", ["nan", "-0.1", "1.1"])
def test_a_share_outside_0_to_1_is_refused(share):
    with pytest.raises(SettingsError, match="from 0 to 1"):
        Settings.load({"OTEL_TRACES_SAMPLER_ARG": share})
