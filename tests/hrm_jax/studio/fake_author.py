"""A model that writes without one: it says what it was asked, piece by piece. Started by tests."""

import json
import os
import sys

for line in sys.stdin:
    question = json.loads(line)
    if question["prompt"] == "die":
        sys.exit("error: the weights are damaged")
    told = {"flags": sys.argv[1:], "pid": os.getpid(), **question}
    for text in json.dumps(told), "!":
        print(json.dumps({"attempt": 1, "text": text}), flush=True)
    if question["prompt"] != "forever":
        print(json.dumps({"done": True, "text": json.dumps(told), "verified": False}), flush=True)
