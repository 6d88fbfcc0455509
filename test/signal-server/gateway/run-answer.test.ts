import { describe, expect, it } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import type { Prompt } from '../../../signal-server/gateway/answer-request.ts';
import { planAnswer } from '../../../signal-server/gateway/run-answer.ts';
import { smallManifest } from '../../support/small-manifest.ts';

describe('planAnswer', () => {
  const manifest = smallManifest();
  const tooLong = 'x'.repeat(128 * manifest.config.maxPositions + 1);
  const prompts: [string, Prompt][] = [
    ['text', { type: 'text', text: tooLong }],
    ['messages', { type: 'messages', messages: [{ role: 'user', content: tooLong }] }],
  ];

  it.each(prompts)('refuses %s that cannot fit without a look at it', (_what, prompt) => {
    const read = (): never => {
      throw new Error('the text was read');
    };
    const text = {
      encode: read,
      encodeChat: read,
      renderChat: read,
      encodeRendered: read,
      decode: read,
      createWriter: read,
    };
    const model = { name: 'small', digest: 'a'.repeat(64) as Digest, createdSeconds: 0, manifest, text };
    const sampling = { temperature: 0, topP: 1, seed: null };
    const options = { stream: false, includeUsage: false, stop: [], maxNewTokens: 1, release: 'checked' } as const;
    const request = { model: 'small', prompt, sampling, ...options };
    expect(() => planAnswer(model, request)).toThrow(/too few for a prompt of \d+ characters/);
  });
});
