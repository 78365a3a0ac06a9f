/** The one place that talks to the node, apart from the event streams in `stream.ts`. */

export class ApiError extends Error {
  readonly status: number;
  readonly help: string | null;

  constructor(status: number, message: string, help: string | null) {
    super(message);
    this.status = status;
    this.help = help;
  }
}

interface ErrorBody {
  error?: { message?: string; help?: string | null };
}

/** Asks the node. Fails with an `ApiError` that has the node's own words, status 0 when the node did not answer. */
export async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  let answer: Response;
  try {
    // The header shows the node that a script of its own page asks; a foreign page could not send it.
    answer = await fetch(path, { ...init, headers: { ...init.headers, 'x-flotilla': '1', accept: 'application/json' } });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    throw new ApiError(0, 'the node does not answer', 'See whether it runs: flotilla ps');
  }
  const text = await answer.text();
  let body: unknown = null;
  try {
    body = text === '' ? null : JSON.parse(text);
  } catch {
    throw new ApiError(answer.status, 'the answer is not JSON', null);
  }
  if (!answer.ok) {
    const detail = (body as ErrorBody | null)?.error;
    throw new ApiError(answer.status, detail?.message ?? answer.statusText, detail?.help ?? null);
  }
  return body as T;
}

export function send<T = unknown>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
  const content = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  return ask<T>(path, { method, ...content });
}

/** A path with its parts escaped: `at\`/v1/services/${name}\``. */
export function at(words: TemplateStringsArray, ...values: (string | number)[]): string {
  return words.reduce((path, word, index) => path + encodeURIComponent(String(values[index - 1])) + word);
}

/** `path?a=1&b=2`; what is empty is left out, lists are repeated. */
export function withQuery(path: string, query: Record<string, string | number | boolean | string[] | null>): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== '' && one !== false) pairs.append(name, String(one));
    }
  }
  const text = pairs.toString();
  return text === '' ? path : `${path}?${text}`;
}
