import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { digestOf } from '#shared/crypto/identity.ts';
import { CALIBRATION } from '#shared/judge/thresholds.ts';

describe('the calibration in use', () => {
  it('is named by the digest of its file, which anybody can compute', () => {
    expect(CALIBRATION.sha256).toBe(digestOf(new Uint8Array(readFileSync('shared/judge/thresholds.json'))));
  });
});
