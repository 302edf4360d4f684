"""The process of one contestant: answers requests, one JSON object a line, from standard input.

Requests and what they return:
  {"do": "call", "function": "module:name", "arguments": {}}: the function's JSON result;
  {"do": "build", "function": "module:name", "arguments": {}}: null. The function returns the
    contestant, `run(steps)`, which returns when that many steps have finished;
  {"do": "run", "steps": 3}: the fields of `alternate.Sample`.

A reply is {"result": ...}, or {"error": traceback} where the request failed.
"""

import importlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO


def resolve(path: str) -> Callable[..., Any]:
    """Returns the function that "module:name" names, importing its module."""
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


def sample(run: Callable[[int], None], steps: int) -> dict[str, Any]:
    """Times `steps` steps of a contestant, and counts the page faults they cause."""
    # Minor faults: pages that the kernel had to map, without reading from a disk.
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    begin = time.perf_counter()
    run(steps)
    seconds = time.perf_counter() - begin
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # ru_maxrss is in bytes on macOS and in KiB on Linux.
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": seconds,
        "steps": steps,
        "page_faults": usage.ru_minflt - faults,
        "peak_rss_bytes": usage.ru_maxrss * unit,
    }


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answers requests until the input ends."""
    contestant: Callable[[int], None] | None = None
    for line in requests:
        request = json.loads(line)
        result = None
        try:
            if request["do"] == "run":
                if contestant is None:
                    raise RuntimeError("run before build: send a build request first")
                result = sample(contestant, request["steps"])
            else:
                result = resolve(request["function"])(**request["arguments"])
                if request["do"] == "build":
                    contestant = result
                    result = None
            reply = {"result": result}
        except Exception:  # whatever a contestant raises is the caller's to see
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    # What libraries print must not mix with the replies: it goes to stderr.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, channel)
