"""A run without a model: it trains until it is told to stop. Started by tests as a process."""

import json
import os
import signal
import socket
import sys
import time

flags = dict(argument.lstrip("-").partition("=")[::2] for argument in sys.argv[1:])
folder = flags["run"]
if flags.get("preset") == "fast":
    sys.exit("error: rate: expected patience")
print("begins", json.dumps(flags), flush=True)
stops = []
signal.signal(signal.SIGTERM, lambda *_: stops.append(True))


def tell(state):
    fields = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "state": state,
        "started_seconds": began,
    }
    with open(f"{folder}/process.json.tmp", "w", encoding="utf-8") as file:
        json.dump(fields, file)
    os.replace(f"{folder}/process.json.tmp", f"{folder}/process.json")


with open(f"{folder}/.lock", "w", encoding="utf-8"):
    began = time.time()
    with open(f"{folder}/config.json", "w", encoding="utf-8") as file:
        json.dump({"loop": {"steps": 10}}, file)
    tell("running")
    while not stops:
        time.sleep(0.01)
    tell("stopped")
