"""Files to deploy the gateway with. No engine of containers is run; what they say is checked."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from outthink.cli.app import OUTTHINK
from outthink.gateway.settings import Limits

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def parsed(name):
    return yaml.safe_load((DEPLOY / name).read_text())


def instructions():
    """Of the Containerfile, by name."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    told = {}
    for line in lines:
        name, _, rest = line.partition(" ")
        told.setdefault(name, []).append(rest.strip())
    return told


def options(words):
    """The options of a command line, which has to be one of this program."""
    command = OUTTHINK.get_command(None, words[0])
    return command.make_context(words[0], list(words[1:])).params


def test_the_image_runs_the_gateway_as_nobody_special_and_says_whether_it_lives():
    told = instructions()
    assert told["USER"] == ["10001"] and "--uid 10001" in told["RUN"][0]
    assert json.loads(told["ENTRYPOINT"][0]) == ["outthink"]
    given = options(json.loads(told["CMD"][0]))
    assert (given["host"], given["port"], given["keys"]) == (
        "0.0.0.0",
        int(told["EXPOSE"][0]),
        Path(told["VOLUME"][0]) / "keys.json",
    )
    check = json.loads(told["HEALTHCHECK"][0].partition("CMD ")[2])
    assert "http://127.0.0.1:8080/healthz" in check[-1]
    compile(check[-1], "check", "exec")


def test_the_image_is_made_of_what_is_there():
    told = instructions()
    for line in told["COPY"]:
        for name in shlex.split(line)[:-1]:
            assert (ROOT / name).exists()
    extras = re.search(r"/build\[(.*)\]", told["RUN"][0])[1].split(",")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= known["optional-dependencies"].keys()


def test_the_composition_has_a_gateway_in_front_of_a_model():
    told = parsed("compose.yaml")
    gateway, model = told["services"]["gateway"], told["services"]["model"]
    given = options(gateway["command"])
    assert given["model"] == "http://model:8000"
    assert gateway["depends_on"] == {"model": {"condition": "service_healthy"}}
    assert ":8000/health" in model["healthcheck"]["test"][-1]
    assert (DEPLOY / gateway["build"]["context"] / gateway["build"]["dockerfile"]).exists()
    assert float(gateway["stop_grace_period"].removesuffix("s")) > Limits().grace_s
    [place] = gateway["volumes"]
    volume, _, folder = place.partition(":")
    assert volume in told["volumes"] and str(given["keys"]).startswith(folder)
    [published] = gateway["ports"]
    assert published.endswith(f":{given['port']}")


def test_envoy_knows_the_gateway_and_never_sends_a_request_twice():
    told = parsed("envoy.yaml")["static_resources"]
    [cluster] = told["clusters"]
    [filters] = told["listeners"][0]["filter_chains"]
    manager = filters["filters"][0]["typed_config"]
    [host] = manager["route_config"]["virtual_hosts"]
    [route] = host["routes"]
    assert route["route"] == {"cluster": cluster["name"], "timeout": "0s"}
    assert cluster["health_checks"][0]["http_health_check"]["path"] == "/readyz"


def test_nginx_sends_streams_as_they_are_made():
    text = (DEPLOY / "nginx.conf").read_text()
    assert "proxy_buffering off;" in text and "proxy_next_upstream off;" in text
    assert f"client_max_body_size {Limits().body_bytes >> 20}m;" in text


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_nginx_takes_its_configuration(tmp_path):
    # Its own folders and its log are root's.
    folders = "".join(f"{name}_temp_path {tmp_path}/{name}; " for name in _FOLDERS)
    text = (
        (DEPLOY / "nginx.conf").read_text().replace("http {", f"http {{ access_log off; {folders}")
    )
    (tmp_path / "nginx.conf").write_text(text)
    own = ["-p", str(tmp_path), "-e", "stderr", "-g", f"pid {tmp_path}/pid;"]
    subprocess.run(["nginx", "-t", "-c", "nginx.conf", *own], check=True)


_FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
