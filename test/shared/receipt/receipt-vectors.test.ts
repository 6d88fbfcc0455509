import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { parseThresholds } from '#shared/judge/thresholds.ts';
import { verdictOf, verifyVector, type VectorFile } from '../../support/receipt-vectors.ts';

const read = (name: string): string => readFileSync(`test/vectors/receipts/${name}.json`, 'utf8');
const thresholds = read('thresholds');
const calibrations = [{ sha256: digestOf(utf8(thresholds)), thresholds: parseThresholds(JSON.parse(thresholds)) }];

describe.each(['good', 'bad'] as const)('the %s receipts for verifiers of any language', (kind) => {
  const { given, vectors } = JSON.parse(read(kind)) as VectorFile;

  it('have names of their own, and hold or do not', () => {
    expect(new Set(vectors.map(({ name }) => name)).size).toBe(vectors.length);
    for (const { name, valid, failed } of vectors) {
      expect([name, valid, failed.length === 0]).toEqual([name, kind === 'good', kind === 'good']);
    }
  });

  it.each(vectors.map((vector) => [vector.name, vector] as const))('come out as they say: %s', async (_, vector) => {
    const { valid, tier, failed, open } = vector;
    expect(verdictOf(await verifyVector(given, vector, calibrations))).toEqual({ valid, tier, failed, open });
  });
});
