import { ChorusError } from '#shared/errors.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import { textOf } from '#shared/text/prompt.ts';
import { StopStrings } from '#shared/text/stop-strings.ts';
import { TOY_VOCABULARY } from './toy-model.ts';

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN';

function encode(text: string): number[] {
  return [...text].map((letter) => {
    const token = LETTERS.indexOf(letter);
    if (token === -1) throw new ChorusError('bad-message', `the toy has no token for ${letter}`);
    return token;
  });
}

function decode(tokens: readonly number[]): string {
  return tokens.map((token) => LETTERS[token % TOY_VOCABULARY]).join('');
}

function chatPrompt(): never {
  throw new ChorusError('unsupported', 'the toy has no chat template');
}

/** One letter for each token of the toy. */
export const toyText: ModelText = {
  chatPrompt,
  textPrompt: (text) => ({ pieces: [{ text, isMarker: false }], isRendered: false }),
  encodePrompt: (prompt) => encode(textOf(prompt)),
  encode,
  decode,
  createWriter(stop = []) {
    const stops = new StopStrings(stop);
    return {
      push: (token) => stops.push(decode([token])),
      end: () => stops.end(),
      get isStopped() {
        return stops.isStopped;
      },
    };
  },
};
