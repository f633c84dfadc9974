"""`railway -- verify` is content with what is shipped, and sees each mistake that was made in production before."""

import re
import shutil
from pathlib import Path

import pytest

from gwz_stack.cli import main
from gwz_stack.errors import StackError
from gwz_stack.findings import Finding
from gwz_stack.railway import load, verify
from gwz_stack.versions import STACK

PROJECT = "railway/project.toml"
PRIVATE = "${{loki.RAILWAY_PRIVATE_DOMAIN}}:3100"
# (what went wrong, file, what stands there, what stood there then, the finding's id, a part of its sentence)
MISTAKES = [
    ("railway.toml was an empty file", "loki/railway.toml", r"(?s).*", "", "toml-empty", "It says nothing"),
    ("a key of another tool", "loki/railway.toml", "healthcheckPath", "healthCheckPath", "toml-key", "healthCheckPath"),
    ("a table of another tool", "loki/railway.toml", r"\[deploy\]", "[service]", "toml-key", "service"),
    ("another check in one place", "loki/railway.toml", r"\Z", "[environments.x.deploy]\n", "toml-environments", "nothing here"),
    ("the wrong Dockerfile", "loki/railway.toml", "stack/loki/D", "stack/tempo/D", "toml-build", "stack/loki/Dockerfile"),
    ("a change that is not deployed", "loki/railway.toml", '"/stack/loki/\\*\\*"', "", "toml-watch", "stack/loki/loki.yml"),
    ("a health check that is always content", "tempo/railway.toml", '"/ready"', '"/"', "health-path", "asks /,"),
    ("PORT of another server", PROJECT, 'PORT = "3100"', 'PORT = "3200"', "port", "PORT is 3200"),
    ("no PORT", PROJECT, 'PORT = "3100"\n', "", "port", "PORT is None"),
    ("killed while it writes", "tempo/railway.toml", "drainingSeconds = 30", "", "draining", "killed 0 s after SIGTERM"),
    ("two copies on one volume", "loki/railway.toml", "overlapSeconds = 0", "overlapSeconds = 20", "volume-shared", "Two"),
    ("data beside the volume", PROJECT, 'volume = "/loki"', 'volume = "/data"', "volume", "what it keeps at /loki"),
    ("no volume", PROJECT, 'volume = "/var/tempo"\n', "", "volume", "at None"),
    ("a volume that root owns", PROJECT, '(PORT = "3100"\n)RAILWAY_RUN_UID = "0"', r"\1", "volume-owner", "10001"),
    ("push ports open to everybody", PROJECT, 'volume = "/loki"', 'volume = "/loki"\npublic = true', "public", "a domain"),
    ("the gate behind the door", PROJECT, r"public = true\n\n\[services.gate.v", "\n[services.gate.v", "public", "no domain"),
    ("a name of Docker Compose", PROJECT, re.escape(PRIVATE), "loki:3100", "private-name", "LOKI_TARGET is loki:3100"),
    ("a private name by hand", PROJECT, re.escape(PRIVATE), "loki.railway.internal:3100", "private-name", "loki.railway"),
    ("a default that only Compose has", PROJECT, "LOKI_TARGET = .*\n", "", "private-name", "Without LOKI_TARGET"),
    ("the public domain inside", PROJECT, re.escape(PRIVATE), "loki-production.up.railway.app:443", "public-name", "443"),
    ("a scheme inside a target", PROJECT, 'LOKI_TARGET = "', 'LOKI_TARGET = "http://', "scheme", "has no scheme"),
    ("port 80 instead of the server's", PROJECT, "DOMAIN}}:3100", "DOMAIN}}:80", "port", "loki on port 80"),
    ("no port at all", PROJECT, "DOMAIN}}:3100", "DOMAIN}}", "port", "loki on port None"),
    ("Tempo's ports mixed up", PROJECT, "DOMAIN}}:4318", "DOMAIN}}:3200", "port", "speaks otlp-http on 4318"),
    ("a service that was renamed", PROJECT, r"\$\{\{loki\.", "${{loki-prod.", "reference", "loki-prod's RAILWAY_PRIVATE"),
    ("a shared variable that nobody drew", PROJECT, '    "GATE_STAGING_TOKEN",\n', "", "reference", "shared's GATE_STAGING"),
    ("a reference to a domain that is not there", PROJECT, "loki.RAILWAY_PRIVATE", "loki.RAILWAY_PUBLIC", "reference", "loki's"),
    ("a default, which Railway does not know", PROJECT, re.escape(PRIVATE), "${LOKI:-loki:3100}", "expansion", "LOKI_TARGET"),
    ("a placeholder that was never replaced", PROJECT, "LOKI_TARGET", "FASTAPI_TARGET", "variable-unknown", "FASTAPI_TARGET"),
    ("the token's file is missing", PROJECT, "GATEWAYZ_STAGING_TOKEN = .*\n", "", "variable-missing", "GATEWAYZ_STAGING_TOKEN"),
    ("a committed token", PROJECT, r"\$\{\{shared.GATE_STAGING_TOKEN\}\}", "gw_live_x", "secret", "GATE_STAGING_TOKEN is written"),
    ("a committed password", PROJECT, r"\$\{\{shared.REDIS_PASSWORD\}\}", "of-a-human", "secret", "REDIS_PASSWORD is written"),
    ("a committed web hook", PROJECT, "GRAFANA_USER = ", 'GWZ_ALERT_SLACK_URL = "https://h"\nGRAFANA_USER = ', "secret", "SLACK"),
    ("Tempo traces itself", PROJECT, "PROMETHEUS_URL", 'OTEL_EXPORTER_OTLP_ENDPOINT = "x"\nPROMETHEUS_URL', "self-tracing", "OTEL"),
    ("an unpinned image", "tempo/Dockerfile", r"tempo:[\d.]+", "tempo:latest", "image", "grafana/tempo:latest is no exact"),
    ("a root container", "loki/Dockerfile", "USER 10001", "USER root", "root", "runs as root"),
    ("an entrypoint that is not used", "prometheus/Dockerfile", "ENTRYPOINT .*", "", "entrypoint", "Nothing checks"),
    ("rules that are not in the image", "prometheus/Dockerfile", "COPY stack/prometheus/rules.*\n", "", "image-incomplete", "gwz-http"),
    ("OTLP without an address", "tempo/tempo.yml", "endpoint: 0.0.0.0:4318", "endpoint: localhost:4318", "listener", "4318"),
    ("the gate on IPv4 only", "gate/nginx.conf", r"\[::\]:14318 ipv6only=off", "0.0.0.0:14318", "listener", "14318"),
    ("the frontend at the HTTP port", "tempo/tempo.yml", "127.0.0.1:9096", "127.0.0.1:3200", "frontend", "127.0.0.1:3200"),
    ("provisioning again and again", "provision/railway.toml", '"NEVER"', '"ALWAYS"', "one-shot", "again and again"),
    ("no provisioning", "provision/Dockerfile", "gwz-provision apply", "gwz-provision plan", "one-shot", "does not run"),
    ("nobody asks the panels", "provision/Dockerfile", " && exec gwz-provision doctor", "", "doctor", "Nothing asks"),
]  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the stack's folder, to plant mistakes in."""
    return Path(shutil.copytree(STACK, tmp_path / "stack", ignore=shutil.ignore_patterns("src", "tests", "go.*")))


def findings(stack: Path) -> list[Finding]:
    return verify(load(stack))


def test_what_is_shipped_has_no_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert findings(STACK) == []
    assert main(["railway", "verify"]) == 0
    assert capsys.readouterr().out.startswith("Nothing is wrong with prometheus, loki, tempo, grafana, ")


@pytest.mark.parametrize("mistake", MISTAKES, ids=[one[0] for one in MISTAKES])
def test_a_mistake_is_seen(copy: Path, mistake: tuple[str, ...]) -> None:
    _, file, right, wrong, wanted, said = mistake
    text = (copy / file).read_text()
    changed = re.sub(right, wrong, text, count=1)
    assert changed != text
    (copy / file).write_text(changed)
    found = findings(copy)
    assert any(one.id == wanted and said in one.sentence for one in found), [*map(str, found)]
    assert all(one.cure and one.subject for one in found)


def test_findings_are_told_and_end_with_8(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / PROJECT).write_text((copy / PROJECT).read_text().replace('PORT = "3100"', 'PORT = "80"'))
    monkeypatch.setattr("gwz_stack.cli.STACK", copy)
    assert main(["railway", "verify"]) == 8
    out, err = capsys.readouterr()
    assert out.startswith(
        "port project.toml loki: PORT is 80, where Railway asks for its health, but it speaks HTTP on 3100."
    )
    assert err == "1 findings.\n"


def test_a_file_that_is_no_toml_is_named(copy: Path) -> None:
    (copy / "loki" / "railway.toml").write_text("[build")
    with pytest.raises(StackError, match=r"loki/railway\.toml cannot be read"):
        load(copy)


def test_no_service_for_provisioning_is_seen(copy: Path) -> None:
    text = (copy / PROJECT).read_text()
    (copy / PROJECT).write_text(text[: text.index("[services.provision.variables]")])
    assert [one.id for one in findings(copy)] == ["one-shot"]
