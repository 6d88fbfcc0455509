import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { Rows } from '#shared/rows/rows.ts';
import type { ServedStage } from '../../worker/served-stage.ts';
import { candidateRowBytes } from '../../worker/top-candidates.ts';
import { type ImportedWren, importWren } from '../support/imported-wren.ts';
import { loadRuntimeStage } from '../support/runtime-stage.ts';

const a = 'a'.repeat(32) as SessionId;
const b = 'b'.repeat(32) as SessionId;
const c = 'c'.repeat(32) as SessionId;
const first: StageRange = { start: 0, end: 3, embedding: true, head: false };
const last: StageRange = { start: 3, end: 8, embedding: false, head: true };
const prompt = [1, 44, 930, 7, 1201, 88, 5, 300, 2000, 17];

function tokenRows(tokens: readonly number[], start: number): Rows {
  return { kind: 'tokens', start, count: tokens.length, bytes: new Uint8Array(Uint32Array.from(tokens).buffer) };
}

let wren: ImportedWren;

beforeAll(async () => {
  wren = await importWren();
}, 120_000);

async function load(range: StageRange): Promise<ServedStage> {
  return loadRuntimeStage(wren, range, 2);
}

describe('a first stage', () => {
  let stage: ServedStage;

  beforeEach(async () => {
    stage = await load(first);
  });

  afterEach(() => stage.release());

  const run = async (session: SessionId, tokens: readonly number[], start: number): Promise<Rows> =>
    (await stage.run({ session, input: tokenRows(tokens, start), logitsFrom: 0 })).output;

  test('answers with one half-precision row for each position', async () => {
    await stage.open(a, 64);
    const rows = await run(a, prompt, 0);
    expect(rows).toMatchObject({ kind: 'hidden', start: 0, count: prompt.length });
    expect(rows.bytes).toHaveLength(prompt.length * 256 * 2);
  });

  test('keeps sessions apart: interleaved runs give the bytes of runs alone', async () => {
    await stage.open(a, 64);
    const alone = [await run(a, prompt, 0), await run(a, [9], 10), await run(a, [11], 11)];
    await stage.close(a);
    await stage.open(a, 64);
    await stage.open(b, 64);
    const together: Rows[] = [];
    together.push(await run(a, prompt, 0));
    await run(b, [3, 2, 1], 0);
    together.push(await run(a, [9], 10));
    await run(b, [4], 3);
    together.push(await run(a, [11], 11));
    expect(together).toEqual(alone);
  });

  test('after a cut, the same rows give the same bytes again', async () => {
    await stage.open(a, 64);
    await run(a, prompt, 0);
    const before = [await run(a, [9], 10), await run(a, [11], 11)];
    await stage.cut(a, 10);
    await run(a, [1999, 12, 13], 10);
    await stage.cut(a, 10);
    expect([await run(a, [9], 10), await run(a, [11], 11)]).toEqual(before);
    await stage.cut(a, 0);
    await run(a, prompt, 0);
    expect(await run(a, [9], 10)).toEqual(before[0]);
  });

  test('refuses a doubled run and a run ahead of its KV, and goes on after them', async () => {
    await stage.open(a, 64);
    await run(a, prompt, 0);
    await expect(run(a, prompt, 0)).rejects.toMatchObject({ code: 'gap' });
    await expect(run(a, [5], 11)).rejects.toMatchObject({ code: 'gap' });
    await expect(run(a, [5], 10)).resolves.toMatchObject({ start: 10 });
  });

  test('runs that wait are served in order', async () => {
    await stage.open(a, 64);
    const runs = [run(a, prompt, 0), run(a, [9], 10), stage.cut(a, 10), run(a, [9], 10)];
    const [, before, , after] = await Promise.all(runs);
    expect(after).toEqual(before);
  });

  test('refuses rows beyond its room', async () => {
    await stage.open(a, prompt.length);
    await run(a, prompt, 0);
    await expect(run(a, [5], 10)).rejects.toMatchObject({ code: 'too-long' });
    await expect(stage.open(b, wren.manifest.config.maxPositions + 1)).rejects.toMatchObject({ code: 'too-long' });
  });

  test('holds no more sessions than it was made for, until one is closed', async () => {
    await stage.open(a, 64);
    await stage.open(b, 64);
    await expect(stage.open(c, 64)).rejects.toMatchObject({ code: 'out-of-memory' });
    await stage.close(a);
    await stage.open(c, 64);
    await expect(run(a, [1], 0)).rejects.toMatchObject({ code: 'unknown-session' });
  });

  test('refuses a session that is open, and a cut behind the end of its KV', async () => {
    await stage.open(a, 64);
    await expect(stage.open(a, 64)).rejects.toMatchObject({ code: 'bad-message' });
    await expect(stage.cut(a, 1)).rejects.toMatchObject({ code: 'gap' });
  });

  test('refuses a token outside the vocabulary', async () => {
    await stage.open(a, 64);
    await expect(run(a, [2048], 0)).rejects.toMatchObject({ code: 'bad-message' });
  });

  test('refuses rows of another size than their count', async () => {
    await stage.open(a, 64);
    const input = { ...tokenRows([1, 2], 0), count: 3 };
    await expect(stage.run({ session: a, input, logitsFrom: 0 })).rejects.toMatchObject({ code: 'bad-message' });
  });

  test('refuses hidden rows', async () => {
    await stage.open(a, 64);
    const input: Rows = { kind: 'hidden', start: 0, count: 1, bytes: new Uint8Array(512) };
    await expect(stage.run({ session: a, input, logitsFrom: 0 })).rejects.toMatchObject({ code: 'bad-message' });
  });

  test('says where the time went', async () => {
    await stage.open(a, 64);
    const runs = [1, 2].map((token, start) =>
      stage.run({ session: a, input: tokenRows([token], start), logitsFrom: 0 }),
    );
    const [one, two] = (await Promise.all(runs)).map(({ timings }) => timings);
    expect(one?.runUs).toBeGreaterThan(0);
    expect(one?.decodeUs).toBeGreaterThanOrEqual(0);
    expect(one?.encodeUs).toBeGreaterThanOrEqual(0);
    // The second waited for the whole of the first.
    expect(two?.queueUs).toBeGreaterThanOrEqual(one?.runUs ?? Infinity);
  });

  test('says how much memory it holds: weights as floats, and KV of all sessions', () => {
    const { config } = wren.manifest;
    const kvBytes = 3 * 2 * config.kvHeads * config.headSize * config.maxPositions * 4;
    const layerWeights = 2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 640;
    expect(stage.memoryBytes).toBeGreaterThan(2 * kvBytes + 3 * layerWeights * 4);
    expect(stage.memoryBytes).toBeLessThan(2 * kvBytes + 2 * (3 * layerWeights * 4 + 2048 * 256 * 4));
  });
});

describe('a last stage', () => {
  let stage: ServedStage;
  const hidden = (count: number, start: number): Rows => ({
    kind: 'hidden',
    start,
    count,
    bytes: new Uint8Array(Uint16Array.from({ length: count * 256 }, (_, i) => 0x3000 + ((i * 7919) % 0x800)).buffer),
  });

  beforeEach(async () => {
    stage = await load(last);
    await stage.open(a, 64);
  });

  afterEach(() => stage.release());

  test('answers with candidates for the positions asked for', async () => {
    const { output } = await stage.run({ session: a, input: hidden(5, 0), logitsFrom: 3 });
    expect(output).toMatchObject({ kind: 'logits', start: 3, count: 2 });
    expect(output.bytes).toHaveLength(2 * candidateRowBytes(2048));
  });

  test('gives the candidates of one position whatever else was asked for', async () => {
    const all = await stage.run({ session: a, input: hidden(5, 0), logitsFrom: 0 });
    await stage.cut(a, 0);
    const one = await stage.run({ session: a, input: hidden(5, 0), logitsFrom: 4 });
    const ids = ({ output }: typeof one, row: number): number[] => {
      const view = new DataView(output.bytes.buffer, row * candidateRowBytes(2048));
      return Array.from({ length: 8 }, (_, i) => view.getUint32(4 + 8 * i, true));
    };
    expect(ids(one, 0)).toEqual(ids(all, 4));
  });

  test('fills its KV without an answer where none is asked for', async () => {
    const { output } = await stage.run({ session: a, input: hidden(5, 0), logitsFrom: 99 });
    expect(output).toMatchObject({ kind: 'logits', count: 0 });
    expect(output.bytes).toHaveLength(0);
    const next = await stage.run({ session: a, input: hidden(1, 5), logitsFrom: 5 });
    expect(next.output).toMatchObject({ start: 5, count: 1 });
  });

  test('refuses tokens', async () => {
    const request = { session: a, input: tokenRows([1], 0), logitsFrom: 0 };
    await expect(stage.run(request)).rejects.toMatchObject({ code: 'bad-message' });
  });
});

test('a stage with just the head holds no KV, and one with just the embedding passes rows on', async () => {
  const embedding = await load({ start: 0, end: 0, embedding: true, head: false });
  const head = await load({ start: 8, end: 8, embedding: false, head: true });
  for (const stage of [embedding, head]) await stage.open(a, 64);
  const rows = await embedding.run({ session: a, input: tokenRows(prompt, 0), logitsFrom: 0 });
  expect(rows.output).toMatchObject({ kind: 'hidden', count: prompt.length });
  const logits = await head.run({ session: a, input: rows.output, logitsFrom: 9 });
  expect(logits.output).toMatchObject({ kind: 'logits', start: 9, count: 1 });
  const none = await head.run({ session: a, input: { ...rows.output, start: 10 }, logitsFrom: 99 });
  expect(none.output).toMatchObject({ kind: 'logits', count: 0 });
  for (const stage of [embedding, head]) await stage.release();
});
