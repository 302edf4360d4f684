import asyncio
import json

import pytest

pytest.importorskip("fastapi", reason="needs the extra studio")
from starlette.testclient import TestClient

from hrm_jax.serving.protection import digests
from hrm_jax.studio.app import make_app
from hrm_jax.studio.folders import Runs
from hrm_jax.studio.protection import Pass
from hrm_jax.studio.studio import Studio

BASE = "http://127.0.0.1:80"
ORIGIN = {"Origin": "http://127.0.0.1:80", "Host": "127.0.0.1:80"}


def client_of(runs, experiments, tokens=(), docs=None):
    studio = Studio(runs, experiments, Pass("studio_80", "secret", digests(tokens)))
    app = make_app(studio, ("127.0.0.1",), docs)
    return TestClient(app, base_url=BASE, headers=ORIGIN, raise_server_exceptions=False)


@pytest.fixture
def client(runs, experiments):
    found = client_of(runs, experiments)
    found.get("/")
    return found


def message(response):
    return response.json()["error"]["message"]


def test_the_page_brings_the_cookie_and_is_strict(runs, experiments):
    client = client_of(runs, experiments)
    assert client.get("/api/experiments").status_code == 401
    page = client.get("/")
    assert page.headers["set-cookie"] == "studio_80=secret; Path=/; HttpOnly; SameSite=Strict"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy
    assert client.get("/api/experiments").json()["folder"] == str(runs.root)


def test_the_page_loads_only_its_own_files_and_is_small(client):
    page = client.get("/").text
    sizes = 0
    for name in ("main.js", "style.css", "uplot.js", "uplot.css", "icon.svg"):
        assert f"/page/{name}" in page
        sizes += int(client.get(f"/page/{name}").headers["content-length"])
    assert sizes < 120_000
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize(
    "path",
    ["/watch", "/index.html", "/page/../app.py", "/page/app.py", "/page/%2e%2e/app.py",
     "/openapi.json", "/docs", "/api/none", "/page/uplot-license.txt"],
)  # fmt: skip
def test_unknown_paths_are_not_found(client, path):
    assert client.get(path).status_code == 404


def test_the_documentation_is_read_as_text_where_it_is_there(client, runs, experiments, tmp_path):
    assert client.get("/api/docs").json() == {"docs": []}
    (tmp_path / "one.md").write_text("# <b>Ünes")
    (tmp_path / "secret.txt").touch()
    with_docs = client_of(runs, experiments, docs=tmp_path)
    with_docs.get("/")
    assert with_docs.get("/api/docs").json() == {"docs": ["one.md"]}
    found = with_docs.get("/api/docs/one.md")
    assert (found.text, found.headers["content-type"]) == (
        "# <b>Ünes",
        "text/plain; charset=utf-8",
    )
    for name in ("secret.txt", "..%2Fone.md", "none.md"):
        assert with_docs.get(f"/api/docs/{name}").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Cookie": "studio_80=other"}, 401),
    ],
)
def test_requests_of_other_pages_are_refused(client, runs, headers, status):
    body = json.dumps({"name": "a", "experiment": "fake", "preset": "plain"})
    sent = {"Content-Type": "application/json", **headers}
    assert client.post("/api/start", content=body, headers=sent).status_code == status
    assert runs.names() == []


def test_where_tokens_are_needed_the_page_brings_none(runs, experiments):
    client = client_of(runs, experiments, ["right"])
    assert "set-cookie" not in client.get("/").headers
    assert client.get("/api/experiments").status_code == 401
    refused = client.post("/api/login", json={"token": "wrong"})
    assert (refused.status_code, "expected one of those in the file" in message(refused)) == (
        401,
        True,
    )
    assert client.get("/api/experiments").status_code == 401
    assert client.post("/api/login", json={"token": "right"}).status_code == 200
    assert client.get("/api/experiments").status_code == 200


@pytest.mark.parametrize("path", ["curves", "output", "config", "probes", "csv"])
@pytest.mark.parametrize("name", ["../a", "none", "/etc", ".studio"])
def test_no_name_leads_out_of_the_folder(client, path, name):
    assert client.get(f"/api/{path}", params={"run": name}).status_code == 404


def test_curves_are_thinned_cut_and_continued(client, write_run):
    write_run("<b>", [{"step": step, "loss": step % 7} for step in range(1, 101)])
    ask = lambda **p: client.get("/api/curves", params={"run": "<b>", **p}).json()  # noqa: E731
    assert ask()["names"] == ["train/loss"]
    whole = ask(curve="train/loss", points=20)["curves"]["train/loss"]
    assert whole["count"] == 100
    assert 10 < len(whole["values"]) <= 24
    assert max(whole["values"]) == 6
    part = ask(curve="train/loss:98")["curves"]["train/loss"]
    assert (part["steps"], part["values"]) == ([99, 100], [1, 2])
    zoomed = ask(curve="train/loss", first=10, last=12)["curves"]["train/loss"]
    assert zoomed["steps"] == [10, 11, 12]
    assert ask(curve="other")["curves"] == {}
    lines = client.get("/api/csv", params={"run": "<b>"}).text.splitlines()
    assert lines[0] == "curve,step,time_seconds,value"
    assert lines[1:3] == ["train/loss,1.0,1000000001.0,1.0", "train/loss,2.0,1000000002.0,2.0"]


def test_forms(client):
    found = client.get("/api/form", params={"experiment": "fake", "preset": "plain"}).json()
    assert [field["path"] for field in found["fields"]] == [
        "description",
        "loop.steps",
        "rate",
        "is_odd",
    ]
    body = {"experiment": "fake", "preset": "plain", "texts": {"loop.steps": "0"}}
    assert client.post("/api/check", json=body).json()["problems"].keys() == {"loop.steps"}
    body["texts"] = {"loop.steps": "5"}
    checked = client.post("/api/check", json=body).json()
    assert checked["command"].endswith("--preset=plain --config.loop.steps=5")
    assert checked["changed"] == ["loop.steps"]
    other = client.post("/api/check", json={**body, "experiment": "none"})
    assert (other.status_code, message(other)) == (400, ": experiment: expected one of fake")


def test_what_is_refused_says_why(client, write_run):
    write_run("there")
    body = {"experiment": "fake", "preset": "plain", "name": "there"}
    refused = client.post("/api/start", json=body)
    assert (refused.status_code, message(refused)) == (
        400, "name: there is a run 'there' already; choose another",
    )  # fmt: skip
    assert client.post("/api/start", json={**body, "more": 1}).status_code == 400
    think = client.post("/api/think", json={"experiment": "fake", "puzzle": "1"})
    assert "solve no puzzles here" in message(think)


def test_a_run_that_waits_is_shown_and_a_folder_that_cannot_be_written_told(client, runs):
    body = {"experiment": "fake", "preset": "plain", "name": "a", "queued": True}
    runs.root.parent.joinpath("runs").write_text("a file in the place of the folder")
    refused = client.post("/api/start", json=body)
    assert refused.status_code == 507
    assert "runs" in message(refused)


def test_a_run_elsewhere_is_shown_and_cannot_be_changed(runs, experiments, write_run, tmp_path):
    write_run("a", [{"step": 3, "loss": 1.0}]).rename(tmp_path / "elsewhere")
    beside = Runs(runs.root, {"(example)": tmp_path / "elsewhere"})
    client = client_of(beside, experiments)
    client.get("/")
    asked = {"run": "(example)", "curve": "train/loss"}
    assert client.get("/api/curves", params=asked).json()["curves"]["train/loss"]["values"] == [1]
    for path in ("stop", "resume", "delete", "tags"):
        body = {"name": "(example)", **({"tags": ["a"]} if path == "tags" else {})}
        refused = client.post(f"/api/{path}", json=body)
        assert (refused.status_code, "is only read here" in message(refused)) == (404, True)
    body = {"experiment": "fake", "preset": "plain", "name": "(example)/new"}
    assert client.post("/api/start", json=body).status_code == 404
    assert (tmp_path / "elsewhere" / "config.json").exists()


@pytest.mark.parametrize(
    "content",
    ['{"a":' * 900 + "1" + "}" * 900, '{"a":' + "[" * 900 + "]" * 900 + "}",
     '{"loop": {"steps": 1e400}, "seed": 1e999, "description": {"a": 1}}', '{"loop": [1]}'],
)  # fmt: skip
def test_whatever_a_folder_holds_a_run_is_shown(client, write_run, content):
    folder = write_run("a", [{"step": 1, "loss": 1}])
    for name in ("config", "size", "process", "job", "tags"):
        (folder / f"{name}.json").write_text(content)
    (folder / "probes.jsonl").write_text(content + "\n")
    for name in ("config", "curves", "probes", "output", "csv", "checkpoints"):
        assert client.get(f"/api/{name}", params={"run": "a"}).status_code == 200, name
    for name in ("resume", "stop"):
        assert client.post(f"/api/{name}", json={"name": "a"}).status_code == 400, name
    assert client.post("/api/delete", json={"name": "a"}).status_code == 200


def test_a_run_is_tagged(client, write_run):
    write_run("a", size={"parameters": 12})
    assert client.post("/api/tags", json={"name": "a", "tags": ["x", "#y"]}).status_code == 200
    refused = client.post("/api/tags", json={"name": "a", "tags": ["x y"]})
    assert (refused.status_code, "expected up to 20 words" in message(refused)) == (400, True)
    config = client.get("/api/config", params={"run": "a"})
    assert config.status_code == 200


def test_probes_are_read_as_far_as_they_are_whole(client, write_run):
    folder = write_run("a")
    lines = [
        '{"version":1,"step":1,"kind":"sudoku","puzzles":[]}',
        "{",
        '{"step":2,"kind":"other"}',
    ]
    (folder / "probes.jsonl").write_text("\n".join(lines))
    found = client.get("/api/probes", params={"run": "a"}).json()["records"]
    assert [record["step"] for record in found] == [1]


def test_pages_are_told_of_runs_that_appear_change_and_go(runs, experiments, write_run):
    studio = Studio(runs, experiments, Pass("c", "v"))

    async def watch():
        events = studio.live.events()
        told = [await anext(events)]
        folder = write_run("a", [{"step": 1, "loss": 1.0}])
        await studio.live.look()
        told.append(await anext(events))
        folder.rename(runs.root / ".gone")
        await studio.live.look()
        told.append(await anext(events))
        await events.aclose()
        return [json.loads(event.split("data: ")[1]) for event in told]

    first, appeared, gone = asyncio.run(watch())
    assert first["runs"] == {}
    assert appeared["runs"]["a"]["step"] == 1
    assert gone == {"runs": {}, "gone": ["a"]}
