/** Speaks to the server, by fetch alone. */

import type { Chunk } from "./chunks";
import { events } from "./events";
import type { Around } from "./window";

/** A hole in a document, as the server fills it. */
export interface Hole {
  readonly prefix: string;
  readonly suffix: string;
  readonly context: readonly Chunk[];
  /** The document's path within its project, and the project's name; empty where they are not told. */
  readonly filename: string;
  readonly project: string;
}

/** How a hole is filled. */
export interface Filling {
  readonly maxTokens: number;
  /** Time after the first token, after which a text ends with its line; 0 for any. */
  readonly maxMilliseconds: number;
  /** Whether a text ends with its first line. */
  readonly oneLine: boolean;
  /** 0 for the likeliest text. */
  readonly temperature: number;
  readonly seed: number;
}

/** What is known of code that was to be verified. */
export interface Verdict {
  readonly text: string;
  readonly verified: boolean;
  readonly failed: string | null;
  readonly attempts: number;
  readonly seconds: number;
}

/** What is to be verified, and by what. */
export type Wanted =
  | { readonly kind: "docstring"; readonly prompt: string }
  | { readonly kind: "tests"; readonly instruction: string; readonly tests: string };

/** How much may be spent on verified code. */
export interface VerifyBudget {
  readonly attempts: number;
  readonly seconds: number;
  readonly maxTokens: number;
}

const ABSENT = 404;
const FAILED = 500;

/** The server does not answer at all. */
export class ServerAway extends Error {}

/** The server refuses; the message is its own. */
export class ServerRefused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** A server that speaks llama.cpp's and OpenAI's protocols. */
export class Server {
  private chooses = true;

  /**
   * @param url its root, without `/v1`.
   * @param key sent with each request; undefined for none.
   */
  constructor(
    private readonly url: string,
    private readonly key: string | undefined,
  ) {}

  /** Checks that it answers; rejects with ServerAway or ServerRefused. */
  async check(signal: AbortSignal): Promise<void> {
    await this.ask("/health", undefined, signal);
    // Probes need no key, all else does.
    await this.ask("/v1/models", undefined, signal);
  }

  /** Yields the parts of what fills a hole. Leaving it early, or the signal, ends the request. */
  async *fill(hole: Hole, filling: Filling, signal: AbortSignal): AsyncGenerator<string> {
    const ended = new AbortController();
    try {
      const body = {
        ...holeFields(hole),
        n_predict: filling.maxTokens,
        t_max_predict_ms: filling.maxMilliseconds,
        stop: filling.oneLine ? ["\n"] : [],
        temperature: filling.temperature,
        seed: filling.seed,
        stream: true,
      };
      const either = AbortSignal.any([signal, ended.signal]);
      const response = await this.ask("/infill", body, either);
      for await (const event of events(response)) {
        const part = event as { content?: string; stop?: boolean; error?: Refusal };
        if (part.error !== undefined) {
          // The server failed within a stream, whose status was told before.
          throw new ServerRefused(part.error.code ?? FAILED, part.error.message ?? "");
        }
        yield part.content ?? "";
        if (part.stop === true) {
          return;
        }
      }
    } finally {
      ended.abort();
    }
  }

  /**
   * Lets the server choose parts of files for a place, of a number of characters at most; undefined
   * where it cannot, as llama.cpp's.
   */
  async choose(
    around: Around,
    files: readonly Chunk[],
    characters: number,
    signal: AbortSignal,
  ): Promise<readonly Chunk[] | undefined> {
    if (!this.chooses) {
      return undefined;
    }
    const { prefix, suffix } = around;
    const asked = { input_prefix: prefix, input_suffix: suffix, input_extra: files, characters };
    try {
      const response = await this.ask("/context", asked, signal);
      return ((await response.json()) as { input_extra: Chunk[] }).input_extra;
    } catch (error) {
      if (error instanceof ServerRefused && error.status === ABSENT) {
        this.chooses = false;
        return undefined;
      }
      throw error;
    }
  }

  /** Lets the server read what stands around a hole, so that it is known when it is filled. */
  async read(hole: Hole, signal: AbortSignal): Promise<void> {
    const response = await this.ask("/infill", { ...holeFields(hole), n_predict: 0 }, signal);
    await response.arrayBuffer();
  }

  /** Asks for code that passes tests. */
  async verify(wanted: Wanted, budget: VerifyBudget, signal: AbortSignal): Promise<Verdict> {
    const isDocstring = wanted.kind === "docstring";
    const asked = isDocstring
      ? { prompt: wanted.prompt }
      : { messages: [{ role: "user", content: wanted.instruction }] };
    const tests = isDocstring ? { doctests: true } : { tests: wanted.tests };
    const { attempts, seconds, maxTokens } = budget;
    const body = { ...asked, max_tokens: maxTokens, verify: { ...tests, attempts, seconds } };
    const path = isDocstring ? "/v1/completions" : "/v1/chat/completions";
    const response = await this.ask(path, body, signal);
    const answer = (await response.json()) as Answer;
    const choice = answer.choices[0];
    return {
      text: choice?.text ?? choice?.message?.content ?? "",
      // Anything but the server's plain word is no verdict.
      verified: answer.verified === true,
      failed: answer.failed ?? null,
      attempts: answer.attempts ?? 0,
      seconds: answer.seconds ?? 0,
    };
  }

  private async ask(path: string, body: unknown, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = {};
    if (this.key !== undefined) {
      headers["Authorization"] = `Bearer ${this.key}`;
    }
    const init: RequestInit = { headers, signal };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      init.method = "POST";
      init.body = JSON.stringify(body, whole);
    }
    let response: Response;
    try {
      response = await fetch(this.url.replace(/\/+$/, "") + path, init);
    } catch (error) {
      signal.throwIfAborted();
      throw new ServerAway(String(error));
    }
    if (!response.ok) {
      throw new ServerRefused(response.status, await messageOf(response));
    }
    return response;
  }
}

interface Answer {
  readonly choices: readonly { text?: string; message?: { content?: string } }[];
  readonly verified?: boolean;
  readonly failed?: string | null;
  readonly attempts?: number;
  readonly seconds?: number;
}

interface Refusal {
  readonly code?: number;
  readonly message?: string;
}

/** Returns a value without halves of pairs: where text was cut there may be one, and UTF-8 has none. */
function whole(_: string, value: unknown): unknown {
  return typeof value === "string" ? value.toWellFormed() : value;
}

function holeFields(hole: Hole): object {
  return {
    input_prefix: hole.prefix,
    input_suffix: hole.suffix,
    input_extra: hole.context,
    filename: hole.filename,
    project: hole.project,
  };
}

/** Returns what a refusal says, in OpenAI's form or another. */
async function messageOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const found = JSON.parse(text) as { error?: Refusal };
    return found.error?.message ?? text;
  } catch {
    return text;
  }
}
