import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { Outcome } from '#shared/judge/finding.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { AttestationPredicate } from '#shared/receipt/evidence/attestation.ts';
import { contradictionOf } from '#shared/receipt/evidence/contradiction.ts';

const shadowId = 'b'.repeat(64) as PeerId;
const runs = { sha256: '0'.repeat(64) };

/** The record that a replica signs of a session of 32 positions, with these outputs at 16 and 32. */
function attested(numericClass: string, ...outputs: readonly [string, string]): AttestationPredicate {
  const [half, whole] = outputs.map((digit) => digit.repeat(64));
  return {
    stage: 0,
    numericClass,
    runs,
    outputs: [
      { end: 16, sha256: half },
      { end: 32, sha256: whole },
    ],
  } as Partial<AttestationPredicate> as AttestationPredicate;
}

function found(end: number, outcome: Outcome, isExact: boolean) {
  const findings = [{ shadow: shadowId, outcome, isExact }];
  return { id: shadowId, spans: [{ end, stages: [{ stage: 0, findings }] }] };
}

const agreed = found(32, 'agreed', false);

describe('the findings on a shadow', () => {
  it('contradict signed outputs that differ, where the same bits were found', () => {
    const [primary, shadow] = [attested('webgpu', 'a', 'a'), attested('webgpu', 'a', 'c')];
    expect(contradictionOf(primary, shadow, found(32, 'agreed', true))).toContain('the same bits before position 32');
    expect(contradictionOf(primary, primary, found(32, 'agreed', true))).toBeNull();
  });

  it('contradict nothing that was signed of later positions', () => {
    const [primary, shadow] = [attested('wasm', 'a', 'a'), attested('wasm', 'a', 'c')];
    expect(contradictionOf(primary, shadow, found(16, 'agreed', true))).toBeNull();
  });

  it('leave no room for a difference between two of the engine, however they ran', () => {
    const shadow = attested(ENGINE_CLASS, 'a', 'c');
    const primary = { ...attested(ENGINE_CLASS, 'a', 'a'), runs: { sha256: '1'.repeat(64) } };
    expect(contradictionOf(primary, shadow, agreed)).toContain('where CPU · exact engine leaves no room');
    expect(contradictionOf(attested(ENGINE_CLASS, 'a', 'a'), shadow, agreed)).toContain('leaves no room');
    expect(contradictionOf(primary, shadow, found(16, 'agreed', true))).toBeNull();
    expect(contradictionOf(primary, shadow, found(32, 'rejected', false))).toBeNull();
    for (const other of ['wasm', 'webgpu', 'int16/ffffffffffffffff']) {
      expect(contradictionOf({ ...primary, numericClass: other }, shadow, agreed)).toBeNull();
      expect(contradictionOf(shadow, { ...primary, numericClass: other }, agreed)).toBeNull();
    }
  });

  it('leave room for a difference unless both are of the runtime’s class and ran alike', () => {
    const shadow = attested('wasm', 'a', 'c');
    expect(contradictionOf(attested('wasm', 'a', 'a'), shadow, agreed)).toContain('leaves no room');
    expect(contradictionOf(attested('webgpu', 'a', 'a'), shadow, agreed)).toBeNull();
    expect(contradictionOf(shadow, attested('webgpu', 'a', 'a'), agreed)).toBeNull();
    const otherRuns = { ...attested('wasm', 'a', 'a'), runs: { sha256: '1'.repeat(64) } };
    expect(contradictionOf(otherRuns, shadow, agreed)).toBeNull();
    expect(contradictionOf(attested('wasm', 'a', 'a'), shadow, found(32, 'suspect', false))).toBeNull();
  });
});
