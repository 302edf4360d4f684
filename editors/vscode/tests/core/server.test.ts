import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Server, ServerAway, ServerRefused } from "../../src/core/server";

type Handler = (body: string, response: ServerResponse, request: IncomingMessage) => void;

const never = new AbortController().signal;
const chunk = { filename: "c.py", text: "d" };
const hole = { prefix: "a", suffix: "b", context: [chunk], filename: "e.py", project: "f" };
const filling = { maxTokens: 8, maxMilliseconds: 250, oneLine: true, temperature: 0, seed: 1 };

/** Calls a function with a client of a server that answers as another says. */
async function served(handler: Handler, use: (server: Server) => Promise<void>): Promise<void> {
  const listening = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      handler(Buffer.concat(parts).toString(), response, request);
    });
  });
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  const { port } = listening.address() as AddressInfo;
  try {
    await use(new Server(`http://127.0.0.1:${port.toString()}/`, "secret"));
  } finally {
    listening.closeAllConnections();
    listening.close();
  }
}

async function filled(server: Server): Promise<string> {
  let text = "";
  for await (const part of server.fill(hole, filling, never)) {
    text += part;
  }
  return text;
}

test("a hole is filled by a stream, however its bytes come", async () => {
  const stream = Buffer.from(
    'data: {"content": "ü"}\r\n\r\n: nothing\n\ndata: {"content": "x"}\n\ndata: {"content": "", "stop": true}\n\n',
  );
  const handler: Handler = (body, response, request) => {
    assert.equal(request.url, "/infill");
    assert.equal(request.headers.authorization, "Bearer secret");
    assert.equal(request.headers["content-type"], "application/json");
    assert.deepEqual(JSON.parse(body), {
      input_prefix: "a",
      input_suffix: "b",
      input_extra: [chunk],
      filename: "e.py",
      project: "f",
      n_predict: 8,
      t_max_predict_ms: 250,
      stop: ["\n"],
      temperature: 0,
      seed: 1,
      stream: true,
    });
    void (async () => {
      for (const byte of stream) {
        response.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
      response.end();
    })();
  };
  await served(handler, async (server) => {
    assert.equal(await filled(server), "üx");
  });
});

test("a stream that is left, or whose signal comes, closes its connection", async () => {
  const closed: Promise<unknown>[] = [];
  const handler: Handler = (_, response) => {
    closed.push(once(response, "close"));
    response.write('data: {"content": "x"}\n\n');
  };
  await served(handler, async (server) => {
    for await (const part of server.fill(hole, filling, never)) {
      assert.equal(part, "x");
      break;
    }
    await closed[0];
    const stopped = new AbortController();
    await assert.rejects(async () => {
      for await (const part of server.fill(hole, filling, stopped.signal)) {
        assert.equal(part, "x");
        stopped.abort();
      }
    }, /abort/i);
    await closed[1];
  });
});

test("a server that fails within a stream refuses", async () => {
  const handler: Handler = (_, response) => {
    response.write('data: {"content": "x"}\n\n');
    response.end('data: {"error": {"message": "no room", "code": 503}}\n\n');
  };
  await served(handler, async (server) => {
    await assert.rejects(filled(server), (error) => {
      assert.ok(error instanceof ServerRefused && error.status === 503);
      return error.message === "no room";
    });
  });
});

test("a pair of which half was cut off is sent as text all the same", async () => {
  const handler: Handler = (body, response) => {
    const asked = JSON.parse(body) as { input_suffix: string };
    response.end(`data: ${JSON.stringify({ content: asked.input_suffix, stop: true })}\n\n`);
  };
  await served(handler, async (server) => {
    const cut = { ...hole, suffix: "x😀".slice(0, 2) };
    const parts: string[] = [];
    for await (const part of server.fill(cut, filling, never)) {
      parts.push(part);
    }
    assert.deepEqual(parts, ["x\ufffd"]);
  });
});

test("what the server only reads asks for no text", async () => {
  const handler: Handler = (body, response) => {
    assert.equal((JSON.parse(body) as { n_predict: number }).n_predict, 0);
    response.end("{}");
  };
  await served(handler, (server) => server.read(hole, never));
});

test("code is verified only where the server says so", async () => {
  const budget = { attempts: 3, seconds: 5, maxTokens: 100 };
  for (const verified of [true, false, undefined]) {
    const handler: Handler = (body, response, request) => {
      assert.equal(request.url, "/v1/completions");
      assert.deepEqual(JSON.parse(body), {
        prompt: "p",
        max_tokens: 100,
        verify: { doctests: true, attempts: 3, seconds: 5 },
      });
      const told =
        verified === undefined ? {} : { verified, failed: "no", attempts: 2, seconds: 1 };
      response.end(JSON.stringify({ choices: [{ text: "x" }], ...told }));
    };
    await served(handler, async (server) => {
      const verdict = await server.verify({ kind: "docstring", prompt: "p" }, budget, never);
      assert.equal(verdict.verified, verified === true);
      assert.equal(verdict.text, "x");
    });
  }
});

test("tests are asked for in a conversation", async () => {
  const handler: Handler = (body, response, request) => {
    assert.equal(request.url, "/v1/chat/completions");
    const asked = JSON.parse(body) as { messages: unknown; verify: { tests: string } };
    assert.deepEqual(asked.messages, [{ role: "user", content: "i" }]);
    assert.equal(asked.verify.tests, "t");
    response.end(JSON.stringify({ choices: [{ message: { content: "y" } }], verified: true }));
  };
  await served(handler, async (server) => {
    const budget = { attempts: 3, seconds: 5, maxTokens: 100 };
    const wanted = { kind: "tests", instruction: "i", tests: "t" } as const;
    assert.equal((await server.verify(wanted, budget, never)).text, "y");
  });
});

test("a refusal says what the server says, and no server is another thing", async () => {
  const handler: Handler = (_, response) => {
    response.statusCode = 400;
    response.end('{"error": {"message": "verify: no sandbox"}}');
  };
  let gone: Server | undefined;
  await served(handler, async (server) => {
    gone = server;
    await assert.rejects(filled(server), (error) => {
      assert.ok(error instanceof ServerRefused && error.status === 400);
      return error.message === "verify: no sandbox";
    });
    await assert.rejects(server.check(never), ServerRefused);
  });
  await assert.rejects(filled(gone!), ServerAway);
  await assert.rejects(gone!.fill(hole, filling, AbortSignal.abort()).next(), /abort/i);
});

test("a server that can choose parts of files does, and another is asked once", async () => {
  const paths: (string | undefined)[] = [];
  const around = { prefix: "x", suffix: "y" };
  const choosing: Handler = (body, response) => {
    assert.deepEqual(JSON.parse(body), {
      input_prefix: "x",
      input_suffix: "y",
      input_extra: [chunk, { filename: "g.py", text: "h" }],
      characters: 50,
    });
    response.end(JSON.stringify({ input_extra: [chunk] }));
  };
  await served(choosing, async (server) => {
    const files = [chunk, { filename: "g.py", text: "h" }];
    assert.deepEqual(await server.choose(around, files, 50, never), [chunk]);
  });
  const absent: Handler = (_, response, request) => {
    paths.push(request.url);
    response.statusCode = 404;
    response.end("{}");
  };
  await served(absent, async (server) => {
    assert.equal(await server.choose(around, [chunk], 50, never), undefined);
    assert.equal(await server.choose(around, [chunk], 50, never), undefined);
  });
  assert.deepEqual(paths, ["/context"]);
  const refusing: Handler = (_, response) => {
    response.statusCode = 503;
    response.end("{}");
  };
  await served(refusing, async (server) => {
    await assert.rejects(server.choose(around, [chunk], 50, never), ServerRefused);
  });
});
