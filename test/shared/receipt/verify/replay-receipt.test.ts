import { describe, expect, it } from 'vitest';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { parseStatement } from '#shared/receipt/read-receipt.ts';
import { replayReceipt, type ReplayOptions } from '#shared/receipt/verify/replay-receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import type { StageCompute } from '#shared/rows/compute.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import { codeOfAsync } from '../../../support/code-of.ts';
import { playAnswer, type Play, type Played } from '../../../support/played-answer.ts';
import { realClock } from '../../../support/real-clock.ts';
import { makePeople, OTHER_CLASS } from '../../../support/receipts.ts';
import { TOY_LAYERS, ToyCompute, toyManifest, toyManifestBytes } from '../../../support/toy-model.ts';

const people = await makePeople();
const encode = (text: string) => [...text].map((letter) => letter.charCodeAt(0) % 39);
const decode = (tokens: readonly number[]) => tokens.map((token) => String.fromCharCode(97 + (token % 26))).join('');
/** A letter for each token. */
const text: ModelText = {
  encodeChat: () => [],
  renderChat: () => '',
  encodeRendered: encode,
  encode,
  decode,
  createWriter: () => ({ push: (token) => decode([token]), isStopped: false, end: () => '' }),
};

const stageOf = (range: StageRange) => {
  const compute = new ToyCompute(range, realClock);
  compute.runMs = 0;
  return compute;
};
const play: Play = {
  manifest: toyManifest,
  manifestBytes: toyManifestBytes,
  ranges: [
    { start: 0, end: 3, embedding: true, head: false },
    { start: 3, end: TOY_LAYERS, embedding: false, head: true },
  ],
  openStage: async (range) => stageOf(range),
  text,
  prompt: 'a prompt of forty letters, more or less!',
  count: 40,
};

function replay({ receipt, tokens, salt }: Played, more: Partial<ReplayOptions> = {}) {
  const { predicate } = parseStatement(receipt);
  const { manifest, openStage } = play;
  return replayReceipt({ predicate, manifest, tokens, salt, chunks: 'all', openStage, ...more });
}

/** Stage 1 adds one to the last byte of a row of hidden values, or of the log-sum-exp. */
async function wrongStage(range: StageRange): Promise<StageCompute> {
  const compute = stageOf(range);
  if (range.head) {
    compute.tamper = (output) => {
      const bytes = output.bytes.slice();
      if (bytes.length > 0) bytes[0]! ^= 1;
      return { ...output, bytes };
    };
  }
  return compute;
}

describe('an answer computed again', () => {
  it('is equal bit for bit to what the primaries signed, and draws the same tokens', async () => {
    const played = await playAnswer(people, play);
    expect((await verifyReceipt({ receipt: played.receipt, verify })).isValid).toBe(true);
    const report = await replay(played);
    const primaries = people.replicas.filter((_, i) => i % 2 === 0).map(({ id }) => id);
    const compared = report.outputs.filter(({ outcome }) => outcome === 'equal');
    expect(compared.map(({ stage, chunk }) => [stage, chunk])).toEqual(
      [0, 1].flatMap((stage) => [0, 1, 2].map((chunk) => [stage, chunk])),
    );
    expect(compared.every(({ replica }) => primaries.includes(replica))).toBe(true);
    // Shadows compute in chunks what primaries computed token by token.
    expect(new Set(report.outputs.filter(({ outcome }) => outcome !== 'equal').map(({ reason }) => reason))).toEqual(
      new Set(['it computed in other runs than those of the receipt']),
    );
    expect(report.tokens).toMatchObject({ compared: 40, equal: 40, largestGap: 0 });
    expect(report.isValid).toBe(true);
  });

  it('is equal also where a cut went into a run', async () => {
    const played = await playAnswer(people, { ...play, withdrawn: [1, 2, 3, 4] });
    const { predicate } = parseStatement(played.receipt);
    expect(predicate.runs[1]!.start).toBeLessThan(predicate.runs[0]!.start + predicate.runs[0]!.count);
    expect((await verifyReceipt({ receipt: played.receipt, verify })).isValid).toBe(true);
    const report = await replay(played);
    expect([report.isValid, report.outputs.filter(({ outcome }) => outcome === 'equal').length]).toEqual([true, 6]);
  });

  it('is compared in the chunks that were chosen, and computed up to these', async () => {
    const played = await playAnswer(people, play);
    const computes: ToyCompute[] = [];
    const openStage = async (range: StageRange) => {
      const compute = stageOf(range);
      computes.push(compute);
      return compute;
    };
    const { outputs, tokens } = await replay(played, { chunks: [1, 1], openStage });
    expect(outputs.filter(({ outcome }) => outcome === 'equal').map(({ stage, chunk }) => [stage, chunk])).toEqual([
      [0, 1],
      [1, 1],
    ]);
    expect(computes.map(({ positions }) => positions)).toEqual([64, 64]);
    expect(tokens.compared).toBe(64 - 39);
  });

  it('is found where a stage gave something else', async () => {
    const report = await replay(await playAnswer(people, { ...play, openStage: wrongStage }));
    const wrong = report.outputs.filter(({ outcome }) => outcome === 'differs');
    expect([report.isValid, wrong.map(({ stage, chunk }) => [stage, chunk])]).toEqual([
      false,
      [
        [1, 1],
        [1, 2],
      ],
    ]);
  });

  it('says nothing of bits that depend on a device, but does of the tokens', async () => {
    const report = await replay(await playAnswer(people, { ...play, numericClass: OTHER_CLASS }));
    expect(new Set(report.outputs.map(({ outcome }) => outcome))).toEqual(new Set(['not-compared']));
    expect(report.tokens.equal).toBe(40);
  });

  it('does not hold where the answer was fed instead of drawn', async () => {
    const played = await playAnswer(people, { ...play, numericClass: OTHER_CLASS });
    const { predicate } = parseStatement(played.receipt);
    const runs = [{ start: 0, count: predicate.positions, logits: 1, times: 1 }];
    const { isValid, tokens } = await replay(played, { predicate: { ...predicate, runs } });
    expect([isValid, tokens.compared, tokens.undrawn]).toEqual([false, 1, 39]);
  });

  it('does not hold where nothing could be compared', async () => {
    const played = await playAnswer(people, { ...play, numericClass: OTHER_CLASS });
    const { isValid, tokens } = await replay(played, { chunks: [0] });
    expect([isValid, tokens.compared]).toEqual([false, 0]);
  });

  it('needs the tokens and chunks of the receipt', async () => {
    const played = await playAnswer(people, play);
    expect(await codeOfAsync(replay(played, { tokens: played.tokens.slice(1) }))).toBe('bad-message');
    expect(await codeOfAsync(replay(played, { salt: new Uint8Array(32) }))).toBe('bad-message');
    for (const chunks of [[3], [], [-1], [0.5]])
      expect(await codeOfAsync(replay(played, { chunks }))).toBe('bad-message');
  });
});
