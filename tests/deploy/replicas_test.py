"""Two servers behind nginx, by the files in deploy/; one of them is killed under load."""

import contextlib
import dataclasses
import inspect
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import httpx
import pytest
import yaml

from hrm_jax.serving import metrics
from tests.experiments.conftest import ROOT
from tests.experiments.servers import running, save
from tests.infill_server import free_port

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
CONFIGURATION = (ROOT / "deploy" / "nginx.conf").read_text()
UPSTREAM = re.compile(r"server (server-\d):8080 ")
ANSWERED_BY = "X-Answered-By"
CLIENTS_OF_EACH = 4


def configuration(folder: pathlib.Path, port: int, urls: list[str]) -> str:
    """The shipped one, with other addresses and folders."""
    addresses = iter(urls)
    text, replaced = UPSTREAM.subn(
        lambda _: f"server {next(addresses).removeprefix('http://')} ", CONFIGURATION
    )
    assert replaced == len(urls)
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}")
    text = text.replace("proxy_pass", f"add_header {ANSWERED_BY} $upstream_addr; proxy_pass")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    return f"pid {folder}/pid;\n" + text.replace("http {\n", "http {\n" + folders)


@contextlib.contextmanager
def nginx(folder: pathlib.Path, urls: list[str]):
    port = free_port()
    path = folder / "nginx.conf"
    path.write_text(configuration(folder, port, urls))
    log = folder / "log"
    command = [str(NGINX), "-p", str(folder), "-e", str(log), "-c", str(path)]
    with subprocess.Popen([*command, "-g", "daemon off;"]) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                with contextlib.suppress(httpx.ConnectError):
                    httpx.get(f"http://127.0.0.1:{port}/health")
                    break
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def authorization(person: int) -> dict[str, str]:
    return {"Authorization": f"Bearer {person}"}


def people_of(proxy: str, url: str) -> list[int]:
    """Those whom nginx sends to a server.

    Which they are depends on the servers' ports: it may be none of the first eight.
    """
    sent = []
    for person in range(100):
        reply = httpx.get(f"{proxy}/health", headers=authorization(person))
        if f"http://{reply.headers[ANSWERED_BY]}" == url:
            sent.append(person)
            if len(sent) == CLIENTS_OF_EACH:
                return sent
    raise AssertionError(f"of 100 people {len(sent)} are sent to {url}")


def prompt(number: int) -> dict:
    return {"prompt": "ab" * (1 + number % 5), "n_predict": 90, "temperature": 0, "stream": True}


def ask(client: httpx.Client, number: int) -> str:
    """The text of a stream; raises httpx.HTTPError where it is refused or cut."""
    text = ""
    with client.stream("POST", "/completion", json=prompt(number)) as reply:
        reply.raise_for_status()
        for line in reply.iter_lines():
            if line:
                part = json.loads(line.removeprefix("data: "))
                text += part["content"]
        if not part["stop"]:
            raise httpx.RemoteProtocolError("the stream was cut")
    return text


@dataclasses.dataclass(frozen=True)
class Asked:
    begin: float
    end: float
    is_whole: bool


class Client(threading.Thread):
    """Asks again and again, as one person whose requests find the same server."""

    def __init__(self, url: str, person: int, expected: list[str]):
        super().__init__()
        self.url = url
        self.person = person
        self.expected = expected
        self.asked: list[Asked] = []
        self.wrong: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        headers = authorization(self.person)
        with httpx.Client(base_url=self.url, headers=headers, timeout=60) as client:
            for number in itertools.count(self.person):
                if self.over.is_set():
                    return
                begin = time.monotonic()
                text = None
                with contextlib.suppress(httpx.HTTPError):
                    text = ask(client, number)
                self.asked.append(Asked(begin, time.monotonic(), text is not None))
                if text not in (None, self.expected[number % 5]):
                    self.wrong.append(str(text))


def wait_for(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
def test_of_a_killed_server_only_the_requests_in_flight_fail(tmp_path):
    save(tmp_path)
    with (
        running(tmp_path, "--port=0", "--nowarm") as (_, url),
        running(tmp_path, "--port=0", "--nowarm") as (process, killed_url),
        nginx(tmp_path, [url, killed_url]) as proxy,
    ):
        expected = []
        for one in (url, killed_url):
            with httpx.Client(base_url=one, timeout=60) as client:
                expected.append([ask(client, number) for number in range(5)])
        assert expected[0] == expected[1]
        people = [*people_of(proxy, url), *people_of(proxy, killed_url)]
        clients = [Client(proxy, person, expected[0]) for person in people]
        for client in clients:
            client.start()
        try:
            wait_for(lambda: all(len(client.asked) >= 3 for client in clients))
            killed = time.monotonic()
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            gone = time.monotonic()
            counts = [len(client.asked) for client in clients]
            wait_for(
                lambda: all(
                    len(client.asked) >= count + 3
                    for client, count in zip(clients, counts, strict=True)
                )
            )
        finally:
            for client in clients:
                client.over.set()
            for client in clients:
                client.join()
    assert not any(client.wrong for client in clients)
    failed = [one for client in clients for one in client.asked if not one.is_whole]
    assert failed, "no stream was in flight at the server that was killed"
    for one in failed:
        assert one.begin < gone, "a request after the end of a server failed"
        assert one.end > killed, "a request failed while both servers ran"
    # Of each client, one request at most: that in flight.
    assert all(sum(not one.is_whole for one in client.asked) <= 1 for client in clients)


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
def test_other_hosts_and_large_bodies_are_refused_before_a_server_is_asked(tmp_path):
    nobody = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    with nginx(tmp_path, nobody) as proxy:
        assert httpx.get(proxy, headers={"Host": "evil.example"}).status_code == 421
        assert httpx.post(proxy, content=b" " * (9 << 20)).status_code == 413
        assert httpx.get(f"{proxy}/health").status_code == 502


def test_the_files_name_each_other_as_they_are():
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    servers = {name for name in compose["services"] if name.startswith("server-")}
    assert set(UPSTREAM.findall(CONFIGURATION)) == servers
    assert set(compose["services"]["nginx"]["depends_on"]) == servers
    manifests = {
        one["kind"]: one
        for name in ("server", "scaling")
        for one in yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / f"{name}.yaml").read_text())
    }
    deployment = manifests["Deployment"]
    target = manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    pod = deployment["spec"]["template"]
    assert manifests["Service"]["spec"]["selector"] == pod["metadata"]["labels"]
    claims = [one.get("persistentVolumeClaim") for one in pod["spec"]["volumes"]]
    assert {"claimName": manifests["PersistentVolumeClaim"]["metadata"]["name"]} in claims
    container = pod["spec"]["containers"][0]
    names = [one.removeprefix("--allow_host=") for one in container["args"] if "_host=" in one]
    # By the service's name come clients, and by the pod's address who reads /metrics.
    assert manifests["Service"]["metadata"]["name"] in names
    [address] = container["env"]
    assert f"$({address['name']})" in names
    assert address["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    [metric] = manifests["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] in inspect.getsource(metrics)
