"""What code inside a sandbox can do to the host, and for how long: nothing, and not long."""

import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import pytest

from hrm_jax.evaluation.sandbox import isolation, processes
from hrm_jax.evaluation.sandbox.base import Job, Mount, SandboxUnavailable
from hrm_jax.evaluation.sandbox.isolation import find_sandbox
from hrm_jax.evaluation.sandbox.limits import MEBIBYTE, Limits

LIMITS = Limits(cpu_seconds=3, wall_seconds=20.0, memory_bytes=256 * MEBIBYTE)


def shell(sandbox, script, *mounts, text=b"", **limits):
    job = Job(("/bin/bash", "-c", script), LIMITS if not limits else Limits(**limits), mounts)
    return processes.run(sandbox, job, text)


def is_running(marker):
    """Whether any process of the host has a text in its command line."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker in path.read_bytes().decode(errors="replace"):
                return True
        except OSError:  # it ended meanwhile
            continue
    return False


def wait_until_gone(marker):
    deadline = time.monotonic() + 10
    while is_running(marker):
        assert time.monotonic() < deadline, f"{marker} is still running"
        time.sleep(0.05)


def test_a_command_reads_writes_and_ends(sandbox):
    outcome = shell(sandbox, "cat; echo wrong >&2; exit 3", text=b"hello" * 50_000)
    assert (outcome.status, outcome.stopped) == (3, "")
    assert outcome.stdout == b"hello" * 50_000
    assert outcome.stderr == b"wrong\n"


def test_it_is_nobody_and_has_nothing(sandbox):
    outcome = shell(sandbox, "grep -i -e ^cap -e ^nonewprivs /proc/self/status; env; id -u")
    said = outcome.stdout.decode()
    assert {line.split()[1] for line in said.splitlines() if line.startswith("Cap")} == {"0" * 16}
    assert "NoNewPrivs:\t1" in said
    assert "HOME=" not in said
    inherited = {name for name in os.environ if f"\n{name}=" in said}
    assert inherited <= {"PATH", "LANG", "PWD", "SHLVL", "_"}
    if os.geteuid() == 0:
        assert int(said.splitlines()[-1]) >= 61_000


@pytest.mark.parametrize("place", ["/", "/usr/", "/etc/", "/dev/", "/proc/", "/box/"])
def test_it_writes_nowhere_but_to_scratch(sandbox, tmp_path, place):
    (tmp_path / "box").mkdir()
    mount = Mount(str(tmp_path / "box"), "/box")
    outcome = shell(sandbox, f"echo x > /tmp/x && cat /tmp/x && echo x > {place}x", mount)
    assert outcome.stdout == b"x\n"
    assert outcome.status != 0
    assert not list((tmp_path / "box").iterdir())
    assert not pathlib.Path(place, "x").exists()


def test_scratch_is_private_and_bounded(sandbox):
    limits = {"scratch_bytes": MEBIBYTE, "file_bytes": 64 * MEBIBYTE}
    outcome = shell(sandbox, "head -c 3000000 /dev/zero > /tmp/x; stat -c %s /tmp/x", **limits)
    assert b"No space left" in outcome.stderr
    assert int(outcome.stdout) <= MEBIBYTE
    assert shell(sandbox, "ls -A /tmp /dev/shm | grep x").status == 1


def test_files_are_bounded(sandbox):
    script = "trap '' XFSZ; head -c 3000000 /dev/zero > /tmp/x; stat -c %s /tmp/x"
    outcome = shell(sandbox, script, file_bytes=MEBIBYTE)
    assert int(outcome.stdout) == MEBIBYTE


def test_it_reads_nothing_of_the_host(sandbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    secret.chmod(0o644)
    here = pathlib.Path(__file__).resolve()
    for path in (secret, here, "/etc/passwd", "/etc/shadow", "/root", "/home", "/var", "/sys"):
        outcome = shell(sandbox, f"cat {path} || ls {path}")
        assert outcome.status != 0, path
        assert outcome.stdout == b"", path


def test_it_sees_no_process_but_its_own(sandbox):
    outcome = shell(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert sys.executable.encode() not in outcome.stdout
    assert str(os.getpid()) not in shell(sandbox, "echo /proc/[0-9]*").stdout.decode().split("/")


def test_signals_stay_inside(sandbox):
    neighbour = subprocess.Popen(["sleep", "60"])
    try:
        pids = f"{neighbour.pid} {os.getpid()}"
        outcome = shell(sandbox, f"kill -9 {pids}; kill -9 1; kill -9 -1; kill -9 $PPID; echo done")
        assert neighbour.poll() is None
        assert outcome.status != 0 or outcome.stdout == b"done\n"
    finally:
        neighbour.kill()
        neighbour.wait()


def test_there_is_no_network(sandbox):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        outcome = shell(sandbox, f"echo hello > /dev/tcp/127.0.0.1/{port}")
        assert outcome.status != 0
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    interfaces = shell(sandbox, "cat /proc/net/dev").stdout.decode()
    assert [line.split(":")[0].strip() for line in interfaces.splitlines()[2:]] == ["lo"]


def test_a_fork_bomb_dies_with_its_sandbox(sandbox):
    marker = f"bomb-{os.getpid()}-{sandbox.name}"
    # exec, as the shell may find no process left for what it waits for.
    bomb = f": {marker}; f() {{ f | f & }}; for i in 1 2 3 4 5 6 7 8; do f & done; exec sleep 60"
    outcome = shell(sandbox, bomb, wall_seconds=2.0, processes=24)
    assert outcome.stopped == "time"
    wait_until_gone(marker)


def test_the_number_of_processes_is_bounded(sandbox):
    script = "for i in $(seq 40); do sleep 5 & done; echo /proc/[0-9]* | wc -w"
    outcome = shell(sandbox, script, wall_seconds=3.0, processes=10)
    assert b"Resource temporarily unavailable" in outcome.stderr


def test_what_it_leaves_behind_dies_with_it(sandbox):
    marker = f"left-{os.getpid()}-{sandbox.name}"
    script = f"setsid bash -c ': {marker}; sleep 100' </dev/null >/dev/null 2>&1 & echo started"
    outcome = shell(sandbox, script)
    assert (outcome.status, outcome.stdout) == (0, b"started\n")
    wait_until_gone(marker)


def test_endless_output_is_cut_short(sandbox):
    outcome = shell(sandbox, "yes", wall_seconds=20.0, output_bytes=10_000)
    assert outcome.stopped == "output"
    assert outcome.seconds < 10
    assert 10_000 < len(outcome.stdout) < 2 * MEBIBYTE


def test_endless_errors_are_cut_short(sandbox):
    assert shell(sandbox, "yes >&2", output_bytes=10_000).stopped == "output"


def test_one_process_gets_no_more_memory_than_it_may(sandbox):
    outcome = shell(sandbox, "x=$(head -c 400000000 /dev/zero | tr '\\0' x); echo ${#x}")
    assert b"400000000" not in outcome.stdout
    assert outcome.status != 0 or outcome.stopped


def test_all_processes_together_get_no_more_memory_than_one(sandbox):
    each = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); sleep 20"
    outcome = shell(
        sandbox,
        f"for i in 1 2 3 4 5 6; do ({each}) & done; wait",
        memory_bytes=256 * MEBIBYTE,
        address_space=False,
    )
    assert outcome.stopped == "memory"


def test_idling_and_computing_both_end(sandbox):
    assert shell(sandbox, "sleep 60", wall_seconds=0.5).stopped == "time"
    outcome = shell(sandbox, "while :; do :; done", cpu_seconds=1)
    assert outcome.status == processes.OUT_OF_TIME
    assert outcome.seconds < 15


def test_it_has_no_file_of_its_parent(sandbox, tmp_path):
    with open(tmp_path / "open", "w") as file:
        os.set_inheritable(file.fileno(), True)
        outcome = shell(sandbox, "ls -l /proc/self/fd")
        assert b"open" not in outcome.stdout


def test_it_dies_with_the_thread_that_watches_it(sandbox):
    marker = f"orphan-{os.getpid()}-{sandbox.name}"
    code = (
        "from hrm_jax.evaluation.sandbox import processes, isolation\n"
        "from hrm_jax.evaluation.sandbox.base import Job\n"
        f"sandbox = isolation.SANDBOXES[{isolation.SANDBOXES.index(sandbox)}]\n"
        f"job = Job(('/bin/bash', '-c', ': {marker}; sleep 100; exit'))\n"
        "processes.start(sandbox, job)\n"
        "print('started', flush=True)\n"
        "import time; time.sleep(100)\n"
    )
    root = pathlib.Path(__file__).resolve().parents[4]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root, text=True
    ) as watcher:
        assert watcher.stdout.readline() == "started\n"
        time.sleep(0.5)
        watcher.kill()
    wait_until_gone(f": {marker}; sleep")


def test_a_mount_may_be_writable(sandbox, tmp_path):
    box = tmp_path / "a box"
    box.mkdir()
    box.chmod(0o777)
    outcome = shell(sandbox, "echo x > /deep/box/x", Mount(str(box), "/deep/box", writable=True))
    assert outcome.status == 0, outcome.stderr
    assert (box / "x").read_text() == "x\n"


def test_several_run_at_once(sandbox):
    outcomes = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(shell(sandbox, "sleep 0.2; echo x")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.stdout for outcome in outcomes] == [b"x\n"] * 4


class Broken:
    """A sandbox whose command says that it cannot."""

    name = "broken"

    def wrap(self, job):
        return ["/bin/sh", "-c", "echo no namespaces here >&2; exit 1"]


class Absent:
    """A sandbox that is not installed."""

    name = "absent"

    def wrap(self, job):
        return ["/no/such/program", *job.argv]


def test_without_walls_nothing_is_run():
    with pytest.raises(SandboxUnavailable) as raised:
        find_sandbox([Broken(), Absent()])
    message = str(raised.value)
    assert "broken: no namespaces here" in message
    assert "absent: " in message
    assert "install bubblewrap" in message


def test_the_first_that_works_is_taken(sandbox):
    assert find_sandbox([Broken(), Absent(), sandbox]) is sandbox
