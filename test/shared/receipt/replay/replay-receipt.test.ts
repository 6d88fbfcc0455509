import { describe, expect, it } from 'vitest';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import { thresholdFor } from '#shared/judge/thresholds.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { parseStatement } from '#shared/receipt/read-receipt.ts';
import { replayReceipt, type ReplayOptions } from '#shared/receipt/replay/replay-receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import type { StageCompute } from '#shared/rows/compute.ts';
import { drawInversely } from '#shared/rows/inverse-sampler.ts';
import type { Candidates } from '#shared/rows/logits-row.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import { textOf } from '#shared/text/prompt.ts';
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
  chatPrompt: () => ({ pieces: [], isRendered: true }),
  textPrompt: (whole) => ({ pieces: [{ text: whole, isMarker: false }], isRendered: false }),
  encodePrompt: (prompt) => encode(textOf(prompt)),
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

/** The stages of this machine, which compute in a class. */
const stagesOf = (numericClass: string) => async (range: StageRange) => ({ compute: stageOf(range), numericClass });

function replay({ receipt, tokens, salt }: Played, more: Partial<ReplayOptions> = {}) {
  const { predicate } = parseStatement(receipt);
  const { manifest } = play;
  const openStage = stagesOf(RUNTIME_CLASS);
  return replayReceipt({ predicate, manifest, tokens, salt, chunks: 'all', openStage, ...more });
}

/** Stage 1 flips the lowest bit of the log-sum-exp of each row. */
async function wrongStage(range: StageRange): Promise<StageCompute> {
  const compute = stageOf(range);
  if (range.head) {
    compute.tamper = (output) => {
      const bytes = output.bytes.slice();
      for (const row of splitRows(bytes, output.count)) row[0]! ^= 1;
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
      return { compute, numericClass: RUNTIME_CLASS };
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

  it('is equal bit for bit to what all of the engine signed, however they ran', async () => {
    const played = await playAnswer(people, { ...play, numericClass: ENGINE_CLASS });
    expect((await verifyReceipt({ receipt: played.receipt, verify })).isValid).toBe(true);
    const { isValid, outputs, tokens } = await replay(played, { openStage: stagesOf(ENGINE_CLASS) });
    expect([isValid, tokens.equal]).toEqual([true, 40]);
    expect(new Set(outputs.map(({ replica }) => replica)).size).toBe(4);
    expect(outputs.map(({ outcome, reason }) => [outcome, reason])).toEqual(
      new Array<string[]>(outputs.length).fill(['equal', '']),
    );
  });

  it('is found where a stage of the engine gave something else, in any run', async () => {
    const played = await playAnswer(people, { ...play, numericClass: ENGINE_CLASS, openStage: wrongStage });
    const report = await replay(played, { openStage: stagesOf(ENGINE_CLASS) });
    const wrong = report.outputs.filter(({ outcome }) => outcome === 'differs');
    expect(report.isValid).toBe(false);
    expect(wrong.map(({ stage, chunk }) => [stage, chunk])).toEqual([
      [1, 1],
      [1, 2],
      [1, 1],
      [1, 2],
    ]);
    expect(new Set(wrong.map(({ replica }) => replica)).size).toBe(2);
  });

  it.each([
    [ENGINE_CLASS, RUNTIME_CLASS, 'it computed with CPU · exact engine', 'here it was WASM'],
    [RUNTIME_CLASS, ENGINE_CLASS, 'it computed with WASM', 'here it was CPU · exact engine'],
    [RUNTIME_CLASS, OTHER_CLASS, 'it computed with WASM', 'here it was WebGPU'],
    [OTHER_CLASS, OTHER_CLASS, 'depend on the device', ''],
    ['int16/ffffffffffffffff', 'int16/ffffffffffffffff', 'depend on the device', ''],
  ])('of class %s is measured by tolerance on %s', async (theirs, own, ...reasons) => {
    const played = await playAnswer(people, { ...play, numericClass: theirs, openStage: wrongStage });
    const { outputs, tokens } = await replay(played, { openStage: stagesOf(own) });
    expect(new Set(outputs.map(({ outcome }) => outcome))).toEqual(new Set(['not-compared']));
    for (const reason of reasons) expect(outputs[0]!.reason).toContain(reason);
    expect(tokens.limit).toBe(thresholdFor(theirs, own, 'logits', toyManifest.config).tokenGap);
  });

  it('is drawn as its receipt says: receipts that name no sampler by the one before', async () => {
    const played = await playAnswer(people, { ...play, draw: drawInversely });
    const { predicate } = parseStatement(played.receipt);
    const { sampler: _, ...sampling } = predicate.request.sampling;
    const former = { ...predicate, request: { ...predicate.request, sampling } };
    expect(await replay(played, { predicate: former })).toMatchObject({
      isValid: true,
      tokens: { equal: 40, beyond: 0 },
    });
    const now = await replay(played);
    expect([now.isValid, now.tokens.beyond]).toEqual([false, 40 - now.tokens.equal]);
  });

  it('by a sampler that is not known here is refused', async () => {
    const played = await playAnswer(people, play);
    const { predicate } = parseStatement(played.receipt);
    for (const sampler of ['chorus-sample/3', 'constructor']) {
      const sampling = { ...predicate.request.sampling, sampler };
      const other = { ...predicate, request: { ...predicate.request, sampling } };
      expect(await codeOfAsync(replay(played, { predicate: other }))).toBe('bad-message');
    }
  });

  it('is held to the very tokens where bits are equal, whatever a gap would allow', async () => {
    const runnerUp = (row: Candidates) => row.tokens[1]!;
    const played = await playAnswer(people, { ...play, draw: runnerUp });
    const { tokens, isValid } = await replay(played);
    expect([tokens.limit, tokens.beyond, isValid]).toEqual([0, 40 - tokens.equal, false]);
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
