/**
 * What every client's program does with its checks: each is run against BASE, and comes out as a line of JSON on standard
 * output. A check that returns works; one that ends with a refusal of the API naming what was asked for is refused by name;
 * all else differs.
 */

/** How long one check may take. */
const LIMIT_MS = 90_000;
/** Codes with which the API refuses what it does not serve. */
const REFUSALS = new Set(['unsupported_parameter', 'unknown_parameter', 'unknown_url', 'invalid_value']);

export const BASE = process.env.BASE;
export const MODEL = process.env.MODEL;
export const QUESTION = 'What is the capital of France?';
export const ANSWER = 'The capital of France is Paris.';

/** Fails a check with what was found in place of what was expected. */
export function expect(isSo, found) {
  if (!isSo) throw new Error(`found ${typeof found === 'string' ? found : JSON.stringify(found)}`.slice(0, 200));
}

export function equal(found, expected) {
  expect(JSON.stringify(found) === JSON.stringify(expected), found);
}

/** The error that `promise` must end with. */
export async function failure(promise) {
  const error = await promise.then(
    () => null,
    (thrown) => thrown,
  );
  expect(error !== null, 'no error');
  return error;
}

/** Runs the checks of `topics`, in order: `{ topic: { feature: async () => … } }`. */
export async function run(client, topics) {
  for (const [topic, checks] of Object.entries(topics)) {
    for (const [feature, check] of Object.entries(checks)) {
      const found = await outcomeOf(check);
      process.stdout.write(`${JSON.stringify({ client, topic, feature, ...found })}\n`);
    }
  }
  // Some clients keep connections and timers.
  process.exit(0);
}

async function outcomeOf(check) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${LIMIT_MS / 1000} s`)), LIMIT_MS);
  });
  try {
    await Promise.race([check(), late]);
    return { result: 'works', why: '' };
  } catch (error) {
    const refusal = refusalIn(error);
    if (refusal !== null) return { result: 'refused by name', why: refusal };
    return {
      result: 'differs',
      why: String(error?.message ?? error)
        .replaceAll(/\s+/g, ' ')
        .slice(0, 200),
    };
  } finally {
    clearTimeout(timer);
  }
}

/** The errors of the API in what a client threw, however deep it has wrapped them. */
function* errorsIn(error, depth = 0) {
  if (typeof error !== 'object' || error === null || depth > 4) return;
  if (typeof error.code === 'string') yield error;
  const inner = [error.error, error.cause, error.lastError, error.data, parsed(error.responseBody)];
  for (const each of inner) yield* errorsIn(each, depth + 1);
}

/** The parameter that an error names. */
export function paramOf(error) {
  for (const { param } of errorsIn(error)) if (typeof param === 'string') return param;
  return null;
}

function refusalIn(error) {
  for (const { code, param, message } of errorsIn(error)) {
    if (code === 'unknown_url') return /URL: (\S+ \S+?)\.(?: |$)/.exec(message)?.[1] ?? 'URL';
    if (REFUSALS.has(code) && typeof param === 'string') return param;
  }
  return null;
}

function parsed(text) {
  try {
    return typeof text === 'string' ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}
