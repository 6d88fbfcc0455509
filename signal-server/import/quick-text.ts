import { Script } from 'node:vm';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { ModelText } from '#shared/text/model-text.ts';

/** What the texts below take together is some milliseconds, even for a large vocabulary. */
const LIMIT_MS = 10_000;
/** Runs of one thing with another after it: what a pattern that tries every division of a run takes for ever with. */
const RUNS = ['a', 'A', '7', ' ', '\n', '!', '_', 'é', '漢', 'a ', ' a', '1a', "'s"];
const RUN_LENGTH = 64;
const ENDS = ['b', '!', '\u0001'];

/**
 * Why nobody can chat with a model; null where everybody can. Throws `bad-model` where the model's chat template, or the pattern that its tokenizer cuts words by, does not come to an end with
 * short texts: whoever asked or held such a model would stand still.
 */
export function demandQuickText(open: () => ModelText, limitMs = LIMIT_MS): ChorusError | null {
  const tried = { what: 'its chat template', run: () => tryText(open(), (what) => (tried.what = what)) };
  try {
    // The limit of a script holds for all that is called from it.
    new Script('run()').runInNewContext({ run: tried.run }, { timeout: limitMs });
    return null;
  } catch (thrown) {
    const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? thrown.code : null;
    if (code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') return toChorusError(thrown);
    const message = `${tried.what} has not come to an end with a short text within ${limitMs / 1000} s; such a model is not taken`;
    throw new ChorusError('bad-model', message);
  }
}

function tryText(text: ModelText, say: (what: string) => void): void {
  const chat = text.chatPrompt([
    { role: 'system', content: 'Be short.' },
    { role: 'user', content: 'Hello' },
    { role: 'assistant', content: 'Hello!' },
    { role: 'user', content: 'Why do birds sing?' },
  ]);
  say('its tokenizer');
  text.encodePrompt(chat);
  for (const run of RUNS) for (const end of ENDS) text.encode(run.repeat(RUN_LENGTH) + end);
}
