import { describe, expect, it } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import { planAnswer } from '../../../signal-server/gateway/answer-plan.ts';
import type { PromptWish } from '../../../signal-server/gateway/answer-request.ts';
import { ApiError } from '../../../signal-server/http/api-error.ts';
import { smallManifest } from '../../support/small-manifest.ts';
import { wrenGatewayText } from '../../support/wren-text.ts';

const manifest = smallManifest();
const { maxPositions, vocabularySize } = manifest.config;
const model = { name: 'small', digest: 'a'.repeat(64) as Digest, createdSeconds: 0, manifest, text: wrenGatewayText };
const tokens = (count: number): PromptWish => ({
  param: 'prompt',
  prompt: { type: 'tokens', tokens: Array.from({ length: count }, () => 5) },
});
const length = (asked: number | null, usual: number | null = null) => ({ asked, usual, param: 'max_tokens' });

async function refusal(wish: PromptWish, wanted = length(null)) {
  const error: unknown = await planAnswer(model, wish, wanted).catch((thrown: unknown) => thrown);
  if (!(error instanceof ApiError)) throw error;
  return { ...error.body.error, status: error.status };
}

describe('planAnswer', () => {
  const tooLong = 'x'.repeat(128 * maxPositions + 1);
  const prompts: [string, PromptWish][] = [
    ['text', { param: 'prompt', prompt: { type: 'text', text: tooLong, hasMarkers: false } }],
    ['messages', { param: 'messages', prompt: { type: 'messages', messages: [{ role: 'user', content: tooLong }] } }],
    [
      'a name',
      { param: 'messages', prompt: { type: 'messages', messages: [{ role: 'user', content: '', name: tooLong }] } },
    ],
  ];

  it.each(prompts)('refuses %s that cannot fit without a look at it', async (_what, wish) => {
    const read = (): never => {
      throw new Error('the text was read');
    };
    const text = { encode: read, encodePrompt: read, decode: read, createWriter: read };
    await expect(planAnswer({ ...model, text }, wish, length(1))).rejects.toThrow(/too few for a prompt of \d+ char/);
  });

  it('says of a prompt that leaves no room that it is too long', async () => {
    expect(await refusal(tokens(maxPositions))).toMatchObject({ code: 'context_length_exceeded', param: 'prompt' });
  });

  it('says of an answer that is longer than the room that it is what is too long', async () => {
    const { param, message, code } = await refusal(tokens(10), length(maxPositions));
    expect([param, code]).toEqual(['max_tokens', 'context_length_exceeded']);
    expect(message).toContain(`${maxPositions - 10} are left`);
  });

  it('gives an answer of which nothing was said the room there is', async () => {
    const plans = [
      await planAnswer(model, tokens(10), length(null)),
      await planAnswer(model, tokens(maxPositions - 3), length(null, 16)),
      await planAnswer(model, tokens(10), length(null, 16)),
    ];
    expect(plans.map(({ maxNewTokens }) => maxNewTokens)).toEqual([maxPositions - 10, 3, 16]);
  });

  it('refuses ids that the model does not know', async () => {
    const wish = { param: 'prompt[1]', prompt: { type: 'tokens' as const, tokens: [1, vocabularySize] } };
    expect(await refusal(wish)).toMatchObject({ status: 400, param: 'prompt[1]', code: 'invalid_value' });
  });
});
