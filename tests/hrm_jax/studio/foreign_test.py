import asyncio
import json
import math
import time

import pytest
import tensorboardX

from hrm_jax.studio.folders import Runs, UnknownRun
from hrm_jax.studio.foreign import ForeignLogs
from hrm_jax.studio.protection import Pass
from hrm_jax.studio.studio import Studio
from hrm_jax.studio.watching import Watching


def write_events(folder, steps, name="loss", **options):
    with tensorboardX.SummaryWriter(str(folder), **options) as writer:
        for step in steps:
            writer.add_scalar(name, 1.0 / (step + 1), step, walltime=1e9 + step)


def read(logs):
    return logs.read(time.monotonic() + 5)


def test_event_files_and_csv_of_a_folder_are_one_run(tmp_path):
    write_events(tmp_path / "runs" / "other", range(5))
    folder = tmp_path / "runs" / "other"
    (folder / "eval.csv").write_text("step,accuracy\n4,0.5\n")
    watched = Watching(Runs(tmp_path / "runs"), {}).get("other")
    summary = watched.summary()
    assert summary["latest"] == {"eval/accuracy": 0.5, "scalars/loss": pytest.approx(0.2)}
    assert (summary["step"], summary["updated"], summary["experiment"]) == (4, 1e9 + 4, "")
    curves, share = watched.read_curves()
    assert share == 1
    assert curves.by_name["scalars/loss"].points().steps.tolist() == [0, 1, 2, 3, 4]


def test_our_own_event_files_are_not_read_twice(tmp_path, write_run, runs):
    folder = write_run("a", [{"step": 1, "loss": 1.0}])
    write_events(folder, range(5))
    watched = Watching(runs, {}).get("a")
    assert not watched.is_foreign
    assert sorted(watched.read_curves()[0].by_name) == ["train/loss"]


def test_a_run_that_goes_back_replaces_what_came_after(tmp_path):
    write_events(tmp_path, range(6), filename_suffix=".1")
    logs = ForeignLogs(tmp_path)
    read(logs)
    assert logs.generation == 0
    write_events(tmp_path, range(3, 5), filename_suffix=".2", purge_step=3)
    read(logs)
    assert logs.generation == 1
    assert logs.curves.by_name["scalars/loss"].points().steps.tolist() == [0, 1, 2, 3, 4]
    write_events(tmp_path, [2], filename_suffix=".3")  # which says nothing of it
    read(logs)
    assert logs.generation == 2
    assert logs.curves.by_name["scalars/loss"].points().steps.tolist() == [0, 1, 2]


def test_links_and_pipes_are_not_read_and_time_is_kept(tmp_path):
    (tmp_path / "secret").write_text("step,key\n1,42\n")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").symlink_to(tmp_path / "secret")
    (tmp_path / "logs" / "b.csv").write_text("step,x\n1,nan\n")
    logs = ForeignLogs(tmp_path / "logs")
    assert logs.read(time.monotonic() - 1) < 1
    assert not logs.curves.by_name
    read(logs)
    assert list(logs.curves.by_name) == ["b/x"]
    assert math.isnan(logs.curves.latest()["b/x"].value)
    gone = ForeignLogs(tmp_path / "none")
    assert read(gone) == 1


def test_logs_within_logs_and_deep_ones_are_found(tmp_path):
    root = tmp_path / "logs"
    for place in ("", "fit", "fit/now/train", "fit/now/train/too/deep"):
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / "a.csv").write_text("step,x\n1,2\n")
    (root / "fit" / "ours").mkdir()
    (root / "fit" / "ours" / "metrics.jsonl").write_text("")
    (root / "fit" / "ours" / "inner").mkdir()
    (root / "fit" / "ours" / "inner" / "a.csv").write_text("step,x\n")
    runs = Runs(tmp_path / "runs", {"(logs)": root})
    names = ["(logs)", "(logs)/fit", "(logs)/fit/now/train", "(logs)/fit/ours"]
    assert runs.names() == names
    assert Watching(runs, {}).summaries().keys() == set(names)
    assert runs.find("(logs)/fit/now/train") == root / "fit/now/train"
    with pytest.raises(UnknownRun):
        runs.find("(logs)/fit/now/train/too/deep")


def lines_of_csv(folder, steps):
    return "log.csv", [b"step,loss\n", *(b"%d,%d\n" % (step, step) for step in steps)]


def records_of_events(folder, steps):
    with tensorboardX.SummaryWriter(str(folder)) as writer:
        for step in steps:
            writer.add_scalar("loss", float(step), step)
    (path,) = folder.iterdir()
    content = path.read_bytes()
    records = []
    while content:
        # Length (8 bytes), its checksum, what is recorded, its checksum.
        end = 16 + int.from_bytes(content[:8], "little")
        records.append(content[:end])
        content = content[end:]
    return path.name, records


@pytest.mark.parametrize(
    ("pieces_of", "metric"),
    [(records_of_events, "scalars/loss"), (lines_of_csv, "log/loss")],
)
def test_what_other_code_writes_is_told_within_a_second(tmp_path, pieces_of, metric):
    name, (head, *pieces) = pieces_of(tmp_path / "written", range(5))
    path = tmp_path / "elsewhere" / "a" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(head)
    runs = Runs(tmp_path / "runs", {"(elsewhere)": tmp_path / "elsewhere"})
    studio = Studio(runs, {}, Pass("c", "v"))
    delays = []

    async def until(events, step):
        async for event in events:
            told = json.loads(event.partition("data: ")[2]).get("runs", {})
            if told.get("(elsewhere)/a", {}).get("latest") == {metric: step}:
                return

    async def look():
        looking = asyncio.create_task(studio.live.look_on())
        events = studio.live.events()
        for step, piece in enumerate(pieces[-5:]):
            await asyncio.sleep(0.1 * step)  # at other moments of its turns
            begun = time.monotonic()
            with open(path, "ab") as file:
                file.write(piece)
            await asyncio.wait_for(until(events, step), timeout=20)
            delays.append(time.monotonic() - begun)
        looking.cancel()
        await events.aclose()

    asyncio.run(look())
    # The first waits for imports; and one turn of the machine's may be slow.
    assert sorted(delays[1:])[2] < 1
