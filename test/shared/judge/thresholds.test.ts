import { describe, expect, test } from 'vitest';
import {
  CAUTIOUS,
  convictionLimits,
  formerThresholdFor,
  pairKey,
  parseThresholds,
  thresholdFor,
  type MeasuredPair,
} from '#shared/judge/thresholds.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import thresholds from '../../../shared/judge/thresholds.json' with { type: 'json' };

const limits = (scale: number) => ({ median: scale, p95: 2 * scale, max: 4 * scale, bias: scale });
const measured: MeasuredPair = {
  pair: 'wasm + webgpu/maker/model',
  kind: 'hidden',
  chunks: 400,
  positions: 12_800,
  quantiles: { p50: limits(1), p95: limits(2), p99: limits(3), p999: limits(4), max: limits(5) },
  accept: limits(8),
  reject: limits(40),
  tokenGap: 0,
  weakestAttack: { name: 'a layer left out', median: 80 },
  gap: 10,
  isRefused: false,
  date: '2026-01-31',
  command: 'npm run calibrate',
};
const size = { hiddenSize: 256, layers: 8 };
const file = (pair: object) => ({ format: 'chorus-thresholds/1', largest: size, pairs: [{ ...measured, ...pair }] });

describe('thresholds', () => {
  test('are those that were measured of a pair, whichever class is named first', () => {
    const pairs = parseThresholds(file({}));
    const found = thresholdFor('webgpu/maker/model', 'wasm', 'hidden', size, pairs);
    expect(found).toEqual(thresholdFor('wasm', 'webgpu/maker/model', 'hidden', size, pairs));
    expect(found).toMatchObject({ isMeasured: true, isRefused: false, accept: limits(8), reject: limits(40) });
  });

  test('are cautious for a pair, or a kind of output, that nobody measured', () => {
    const pairs = parseThresholds(file({}));
    const hidden = thresholdFor('wasm', 'webgpu/other', 'hidden', size, pairs);
    expect(hidden).toMatchObject({ isMeasured: false, accept: { median: 1e-3 }, reject: { median: 8e-3 } });
    const logits = thresholdFor('wasm', 'webgpu/maker/model', 'logits', size, pairs);
    expect(logits).toMatchObject({ isMeasured: false, accept: { median: 1e-3 }, reject: { median: 3.6e-3 } });
    expect(thresholdFor('b', 'a', 'logits', size)).toMatchObject({ pair: 'a + b', kind: 'logits' });
    expect(pairKey('wasm', 'wasm')).toBe('wasm + wasm');
  });

  test('of an engine belong to the format of its rows, whichever module it is', () => {
    const pairs = parseThresholds(file({ pair: 'int16 + webgpu/maker/model' }));
    for (const engine of [ENGINE_CLASS, 'int16/ffffffffffffffff']) {
      const found = thresholdFor('webgpu/maker/model', engine, 'hidden', size, pairs);
      expect(found).toMatchObject({ pair: 'int16 + webgpu/maker/model', isMeasured: true, accept: limits(8) });
    }
  });

  test('are cautious for engines of two modules, which nobody measures', () => {
    const found = thresholdFor(ENGINE_CLASS, 'int16/ffffffffffffffff', 'hidden', size);
    expect(found).toMatchObject({ pair: 'int16 + int16', isMeasured: false, accept: { median: 1e-3 } });
  });

  test.each([
    ['wider', { hiddenSize: 257, layers: 8 }],
    ['deeper', { hiddenSize: 256, layers: 9 }],
  ])('are cautious for a model that is %s than any that was measured', (_, larger) => {
    const pairs = parseThresholds(file({}));
    const found = thresholdFor('webgpu/maker/model', 'wasm', 'hidden', larger, pairs);
    expect(found).toMatchObject({ isMeasured: false, accept: { median: 1e-3 }, reject: { median: 8e-3 } });
  });

  test.each(['hidden', 'logits'] as const)(
    'of %s for any class are within a third of the weakest cheaper lie',
    (kind) => {
      const { accept, reject } = CAUTIOUS[kind];
      // Only those of mixed formats are made of lies that save anything.
      const mixed = parseThresholds(thresholds).pairs.filter(
        (pair) => pair.kind === kind && pair.pair.includes('int16'),
      );
      for (const name of ['median', 'p95', 'max', 'bias'] as const) {
        // Rejected is the geometric mean of what is accepted and of the lie.
        const lies = mixed.map((pair) => pair.reject[name] ** 2 / pair.accept[name]);
        expect(Math.max(accept[name], reject[name])).toBeLessThanOrEqual(Math.min(...lies) / 3);
      }
      const rowsOf8Bits = { hidden: 0.024, logits: 0.011 };
      expect(reject.median).toBeLessThanOrEqual(rowsOf8Bits[kind] / 3);
    },
  );

  test('were others for receipts of the sampler before', () => {
    const before = formerThresholdFor('webgpu/other', 'wasm', 'logits', size);
    expect(before).toMatchObject({ isMeasured: false, reject: { median: 2e-2 }, tokenGap: 0.1 });
    expect(formerThresholdFor(ENGINE_CLASS, 'wasm', 'logits', size)).toEqual(
      thresholdFor(ENGINE_CLASS, 'wasm', 'logits', size),
    );
  });

  test('that suspend a key are never tighter than those for any class', () => {
    const tight = thresholdFor(
      'webgpu/maker/model',
      'wasm',
      'hidden',
      size,
      parseThresholds(file({ reject: limits(1e-3) })),
    );
    expect(convictionLimits(tight).reject).toEqual({ median: 2e-2, p95: 1e-1, max: 4e-1, bias: 2e-2 });
    const loose = thresholdFor('webgpu/maker/model', 'wasm', 'hidden', size, parseThresholds(file({})));
    expect(convictionLimits(loose)).toEqual(loose);
  });

  test('in the package have their form', () => {
    expect(() => parseThresholds(thresholds)).not.toThrow();
  });

  test.each([
    ['another format', { ...file({}), format: 'chorus-thresholds/2' }],
    ['a limit below zero', file({ accept: limits(-1) })],
    ['a pair that is not refused though its gap is too small', file({ gap: 2.9 })],
    ['a pair that is refused though its gap is large enough', file({ isRefused: true })],
    ['no chunks', file({ chunks: 0 })],
    ['a date that is none', file({ date: 'today' })],
    ['something more', file({ more: 1 })],
  ])('with %s are not read', (_, value) => {
    expect(() => parseThresholds(value)).toThrow();
  });
});
