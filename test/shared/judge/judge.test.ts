import { describe, expect, test } from 'vitest';
import type { OutputKind } from '#shared/judge/closeness.ts';
import { judge as judgeBy, outcomeOf } from '#shared/judge/judge.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { Testimony } from '#shared/judge/statement.ts';
import { thresholdFor } from '#shared/judge/thresholds.ts';
import { decodeF16, encodeF16 } from '#shared/model/f16.ts';
import { normal } from '../../support/normal.ts';
import {
  logitsRow,
  makeChunk,
  speak,
  speakLogits,
  unsigned,
  type Chunk,
  type SpokenChunk,
} from '../../support/testimonies.ts';

const HIDDEN: OutputKind = { kind: 'hidden' };
const SIZE = { hiddenSize: 256, layers: 8 };
const CHUNKS = 50;
const GPU = 'webgpu/maker/model';

const judge = (primary: Testimony, shadow: Testimony, output: OutputKind) =>
  judgeBy(primary, shadow, output, thresholdFor(primary.numericClass, shadow.numericClass, output.kind, SIZE));
const seedOf = (i: number) => new Uint8Array(32).fill(i);

/** How many chunks of a primary that does `change` are judged how, next to an honest shadow of another class. */
function outcomes(change: (chunk: Chunk, i: number) => Float32Array<ArrayBuffer>, isMeantForSketch = false) {
  const counts = { agreed: 0, suspect: 0, rejected: 0 };
  for (let i = 0; i < CHUNKS; i++) {
    const chunk = makeChunk(i + 1);
    const options: SpokenChunk = { seed: seedOf(i) };
    const honest = speak(chunk, options);
    const changed = isMeantForSketch ? chunk.output : change(chunk, i);
    const claimed = speak({ ...chunk, output: changed }, options);
    const sketch = isMeantForSketch ? change(chunk, i) : null;
    const reveal = sketch === null ? claimed.reveal : { ...claimed.reveal, output: new Uint8Array(sketch.buffer) };
    const commit = { ...claimed.commit, outputTo: seedOf(255) };
    const { outcome } = judge(unsigned({ commit, reveal }, GPU), unsigned(honest, 'wasm'), HIDDEN);
    counts[outcome] += 1;
  }
  return counts;
}

const all = (outcome: 'agreed' | 'rejected') => ({ agreed: 0, suspect: 0, rejected: 0, [outcome]: CHUNKS });
const mixed = ({ input, output }: Chunk, share: number) =>
  output.map((value, i) => input[i]! + share * (value - input[i]!));

describe(`of ${CHUNKS} chunks`, () => {
  test('all pass whose rows were rounded to f16 on one side', () => {
    expect(outcomes(({ output }) => decodeF16(encodeF16(output)))).toEqual(all('agreed'));
  });

  test('all pass with the noise of another order of additions', () => {
    const random = normal(77);
    expect(outcomes(({ output }) => output.map((value) => value * (1 + 1e-6 * random())))).toEqual(all('agreed'));
  });

  test.each([
    ['whose input was passed through', ({ input }: Chunk) => input.slice()],
    ['with a changed sign', ({ output }: Chunk) => output.map((value) => -value)],
    ['with the update’s sign changed', (chunk: Chunk) => mixed(chunk, -1)],
    ['with an update a tenth too large', (chunk: Chunk) => mixed(chunk, 1.1)],
    ['with an update a tenth too small', (chunk: Chunk) => mixed(chunk, 0.9)],
    ['with everything doubled', ({ output }: Chunk) => output.map((value) => 2 * value)],
    ['of other rows', (_: Chunk, i: number) => makeChunk(i + 1000).output],
    [
      'pushed by a twentieth into one direction',
      ({ output }: Chunk) => output.map((v, i) => v + 0.05 * Math.sin(i % 128)),
    ],
    ['in which nothing is a number', ({ output }: Chunk) => output.map(() => NaN)],
    ['in which one row is infinite', ({ output }: Chunk) => output.map((value, i) => (i < 128 ? Infinity : value))],
  ])('none passes %s', (_, change) => {
    expect(outcomes(change)).toEqual(all('rejected'));
  });

  test('none passes with a sketch of zeros', () => {
    expect(outcomes(() => new Float32Array(32 * 16), true)).toEqual(all('rejected'));
  });

  test('none passes with the sketch of another chunk', () => {
    const other = (_: Chunk, i: number) =>
      new Float32Array(speak(makeChunk(i + 500), { seed: seedOf(i) }).reveal.output.buffer);
    expect(outcomes(other, true)).toEqual(all('rejected'));
  });

  test('none passes with the sketch of the right rows under another seed', () => {
    const other = (chunk: Chunk, i: number) =>
      new Float32Array(speak(chunk, { seed: seedOf(i + 1) }).reveal.output.buffer);
    expect(outcomes(other, true)).toEqual(all('rejected'));
  });
});

describe('the judge', () => {
  const chunk = makeChunk(1);
  const close = { ...chunk, output: chunk.output.map((value, i) => (i === 5 ? value * (1 + 1e-6) : value)) };
  const of = (spoken: Chunk, numericClass: string, options?: SpokenChunk) =>
    unsigned(speak(spoken, options), numericClass);

  test('calls equal output chains exact, whoever computed them', () => {
    const finding = judge(of(chunk, GPU), of(chunk, 'webgpu/other'), HIDDEN);
    expect(finding).toMatchObject({ outcome: 'agreed', isExact: true, shadowClass: 'webgpu/other' });
    expect(finding.closeness).toEqual({ median: 0, p95: 0, max: 0, bias: 0, norm: 1, tokenGap: 0 });
  });

  test('rejects any difference between two of WASM that ran in the same shapes', () => {
    expect(judge(of(close, 'wasm'), of(chunk, 'wasm'), HIDDEN)).toMatchObject({ outcome: 'rejected', isExact: false });
  });

  test('holds two of WASM to the limits of their pair where their shapes differ', () => {
    const decoded = of(close, 'wasm', { runs: new Array<number>(32).fill(1) });
    const finding = judge(decoded, of(chunk, 'wasm'), HIDDEN);
    expect(finding).toMatchObject({ outcome: 'agreed', isExact: false, threshold: { pair: 'wasm + wasm' } });
  });

  describe('rejects a single bit between two of the engine', () => {
    const flipped = (spoken: Chunk): Chunk => {
      const output = spoken.output.slice();
      new Uint8Array(output.buffer)[4 * 700]! ^= 1;
      return { ...spoken, output };
    };
    const runs = [[32], new Array<number>(32).fill(1), [1, 31], [31, 1]];

    test.each(runs)('whatever the runs were: %j', (...sizes) => {
      const liar = of(flipped(chunk), ENGINE_CLASS, { runs: sizes });
      const honest = of(chunk, ENGINE_CLASS);
      for (const pair of [[liar, honest] as const, [honest, liar] as const]) {
        expect(judge(...pair, HIDDEN)).toMatchObject({ outcome: 'rejected', isExact: false });
      }
      expect(judge(of(chunk, ENGINE_CLASS, { runs: sizes }), honest, HIDDEN)).toMatchObject({ isExact: true });
    });

    test('however wide the limits are', () => {
      const wide = { median: 1e6, p95: 1e6, max: 1e6, bias: 1e6 };
      const threshold = thresholdFor(ENGINE_CLASS, ENGINE_CLASS, 'hidden', SIZE);
      const limits = { ...threshold, accept: wide, reject: wide, tokenGap: 1e6 };
      const found = judgeBy(
        of(flipped(chunk), ENGINE_CLASS, { runs: [31, 1] }),
        of(chunk, ENGINE_CLASS),
        HIDDEN,
        limits,
      );
      expect(found.outcome).toBe('rejected');
    });

    test.each([
      ['the runtime', 'wasm', 'wasm'],
      ['the engine and the runtime', ENGINE_CLASS, 'wasm'],
      ['the engine and another engine', ENGINE_CLASS, 'int16/ffffffffffffffff'],
      ['another engine', 'int16/ffffffffffffffff', 'int16/ffffffffffffffff'],
    ])('where %s in other runs is measured', (_, mine, theirs) => {
      const liar = of(flipped(chunk), mine, { runs: [31, 1] });
      const finding = judge(liar, of(chunk, theirs), HIDDEN);
      expect(finding).toMatchObject({ outcome: 'agreed', isExact: false });
      expect(finding.closeness.max).toBeGreaterThan(0);
    });
  });

  test('measures the whole row where the input are tokens', () => {
    const bare = (spoken: Chunk) => {
      const { commit, reveal } = speak(spoken);
      return unsigned({ commit, reveal: { ...reveal, input: new Uint8Array(0) } }, GPU);
    };
    const doubled = { ...chunk, output: chunk.output.map((value) => 2 * value) };
    expect(judge(bare(doubled), bare(chunk), HIDDEN).closeness).toMatchObject({ median: 1, norm: 2, max: 1 });
  });

  test('rejects reveals of other sizes, and findings are made of numbers even then', () => {
    const short = of({ ...chunk, output: chunk.output.slice(128) }, GPU);
    const finding = judge(short, of(chunk, 'wasm'), HIDDEN);
    expect(finding.outcome).toBe('rejected');
    expect(Object.values(finding.closeness).every(Number.isFinite)).toBe(true);
  });
});

describe('the limits', () => {
  const threshold = thresholdFor(GPU, 'wasm', 'hidden', SIZE);
  const fine = { median: 0, p95: 0, max: 0, bias: 0, norm: 1, tokenGap: 0 };
  const outcome = (change: object, rows = 32, limits = threshold) => outcomeOf({ ...fine, ...change }, limits, rows);

  test.each(['median', 'p95', 'max', 'bias'] as const)('hold for the %s by itself', (name) => {
    expect(outcome({ [name]: threshold.accept[name] })).toBe('agreed');
    expect(outcome({ [name]: 1.01 * threshold.accept[name] })).toBe('suspect');
    expect(outcome({ [name]: threshold.reject[name] })).toBe('suspect');
    expect(outcome({ [name]: 1.01 * threshold.reject[name] })).toBe('rejected');
  });

  test('leave a fifth for the size of the update', () => {
    expect([0.8, 1.25].map((norm) => outcome({ norm }))).toEqual(['agreed', 'agreed']);
    expect([0.79, 1.26].map((norm) => outcome({ norm }))).toEqual(['rejected', 'rejected']);
  });

  test('say nothing of tokens: whose draw goes on is another question', () => {
    expect(outcome({ tokenGap: 1e6 })).toBe('agreed');
  });

  test('allow a short span what a few rows may be off by', () => {
    const bias = 2 * threshold.accept.bias;
    expect([8, 9, 32].map((rows) => outcome({ bias }, rows))).toEqual(['agreed', 'suspect', 'suspect']);
    const median = threshold.accept.p95;
    expect([7, 8].map((rows) => outcome({ median }, rows))).toEqual(['agreed', 'suspect']);
  });

  test('of a refused pair accept nothing, and still reject', () => {
    const refused = { ...threshold, isRefused: true };
    expect(outcome({}, 32, refused)).toBe('suspect');
    expect(outcome({ median: 1 }, 32, refused)).toBe('rejected');
  });
});

describe('logits', () => {
  const vocabularySize = 40;
  const chunk = makeChunk(9, 16, 4);
  const random = normal(3);
  const logits = Array.from({ length: 3 }, () => Array.from({ length: vocabularySize }, () => 2 * random()));
  const head: OutputKind = { kind: 'logits', vocabularySize, sampled: null };
  const spoken = (rows: readonly (readonly number[])[], numericClass: string) =>
    unsigned(speakLogits(chunk, rows.map(logitsRow)), numericClass);
  const judged = (rows: readonly (readonly number[])[], kind = head) =>
    judge(spoken(rows, GPU), spoken(logits, 'wasm'), kind);

  test('that are nearly the same agree', () => {
    expect(judged(logits.map((row) => row.map((logit) => logit * (1 + 1e-6)))).outcome).toBe('agreed');
  });

  test('that are all higher by the same amount are the same distribution', () => {
    const { outcome, closeness } = judged(logits.map((row) => row.map((logit) => logit + 3)));
    expect(outcome).toBe('agreed');
    expect(closeness.max).toBeLessThan(1e-5);
  });

  test.each([
    ['negated', (logit: number) => -logit],
    ['all equal', () => 1],
    ['flatter by a third', (logit: number) => logit / 1.5],
    ['of one better token', (logit: number, token: number) => (token === 7 ? logit + 4 : logit)],
  ])('that are %s are rejected', (_, change) => {
    expect(judged(logits.map((row) => row.map(change))).outcome).toBe('rejected');
  });

  test('of another number of positions are rejected', () => {
    expect(judged(logits.slice(1)).outcome).toBe('rejected');
  });

  test('that nobody asked for agree', () => {
    const none = (outputTo: number) => {
      const { commit, reveal } = speakLogits(chunk, []);
      return unsigned({ commit: { ...commit, outputTo: seedOf(outputTo) }, reveal }, GPU);
    };
    expect(judge(none(1), none(2), head)).toMatchObject({ outcome: 'agreed', isExact: false });
  });

  test('out of order are rejected, not thrown', () => {
    const testimony = spoken(logits, GPU);
    const output = testimony.reveal.statement.output.slice();
    output.copyWithin(4, 12, 20);
    const reveal = { ...testimony.reveal, statement: { ...testimony.reveal.statement, output } };
    const commit = { ...testimony.commit, statement: { ...testimony.commit.statement, outputTo: seedOf(1) } };
    expect(judge({ ...testimony, commit, reveal }, spoken(logits, 'wasm'), head).outcome).toBe('rejected');
  });

  test('from which another token would have come agree, and tell of the draw that was lost', () => {
    const sampling = { temperature: 0, topP: 1, seed: 0 };
    const best = logits.map((row) => row.indexOf(Math.max(...row)));
    const near = logits.map((row) => row.map((logit) => logit * (1 + 1e-6)));
    const drawn = (tokens: (number | null)[]) => judged(near, { ...head, sampled: { sampling, tokens } });
    expect(drawn(best)).toMatchObject({ outcome: 'agreed', closeness: { tokenGap: 0 } });
    expect(drawn(best).draws).toEqual({ drawn: 3, lost: 0, firstLost: null });
    const second = logits[2]!.indexOf([...logits[2]!].sort((a, b) => b - a)[1]!);
    const finding = drawn([null, null, second]);
    expect(finding.outcome).toBe('agreed');
    expect(finding.draws).toEqual({ drawn: 1, lost: 1, firstLost: 4 });
    expect(finding.closeness.tokenGap).toBeCloseTo(logits[2]![best[2]!]! - logits[2]![second]!, 5);
  });
});
