/** Reads server-sent events, as far as servers of language models use them. */

const FIELD = "data:";
const LAST = "[DONE]";

/** Yields the JSON of each event of a response; rejects where its connection ends within one. */
export async function* events(response: Response): AsyncGenerator<unknown> {
  for await (const line of lines(response)) {
    if (!line.startsWith(FIELD)) {
      continue;
    }
    const data = line.slice(FIELD.length).trim();
    if (data === LAST) {
      return;
    }
    yield JSON.parse(data);
  }
}

async function* lines(response: Response): AsyncGenerator<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) {
    return;
  }
  const decoder = new TextDecoder();
  let rest = "";
  try {
    while (true) {
      const { done, value } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      const found = rest.split(/\r?\n/);
      rest = done ? "" : (found.pop() ?? "");
      yield* found;
      if (done) {
        return;
      }
    }
  } finally {
    reader.releaseLock();
  }
}
