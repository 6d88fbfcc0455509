import { describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import type { Claim } from '#shared/credit/claim.ts';
import { agreedPositions } from '#shared/credit/judge-claims.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import { readF32 } from '#shared/judge/sketch.ts';
import { idOf, leaseOf } from '../../support/leases.ts';
import { claimOf, digestFor, sketchesOf } from '../../support/claims.ts';

const [primary, shadow] = [idOf('1'), idOf('2')];
const SIZE = { hiddenSize: 64, layers: 8 };
const { route } = leaseOf({
  requester: idOf('a'),
  stages: [[primary, shadow]],
  ranges: [{ start: 0, end: 4, embedding: true, head: false }],
});
const honest = claimOf(route, 0, { id: shadow });
const OTHER = digestFor('other');
const WEBGPU = 'webgpu/google/swiftshader';

interface Side extends Partial<Claim> {
  readonly name?: string;
}

const side = ({ name = RUNTIME_CLASS, ...change }: Side) => ({
  claim: { ...honest, ...change, numericClass: digestOf(utf8(name)) },
  numericClass: name,
});
const agreed = (one: Side, other: Side = {}) => agreedPositions(side(one), side(other), SIZE);
/** Each row off by this share, in alternating directions. */
const off = (share: number): Uint8Array<ArrayBuffer> => {
  const values = readF32(sketchesOf(32)).map((value, i) => value * (1 + (i % 2 ? share : -share)));
  return new Uint8Array(values.buffer);
};

describe('two claims of one stage', () => {
  it('agree in all positions where their outputs are equal', () => {
    expect(agreed({})).toEqual({ start: 0, end: 40 });
    expect(agreed({ name: ENGINE_CLASS, from: 32, sketch: sketchesOf(1) }, { name: WEBGPU })).toEqual({
      start: 0,
      end: 40,
    });
  });

  it.each<[string, Side]>([
    ['positions', { positions: 41 }],
    ['input', { input: OTHER }],
  ])('agree in nothing where their %s differ, whatever else is equal', (_, change) => {
    expect(agreed(change)).toBeNull();
  });

  it('of the engine must have equal outputs, however close their sketches are', () => {
    const engine = { name: ENGINE_CLASS };
    expect(agreed({ ...engine, output: OTHER }, engine)).toBeNull();
    expect(agreed({ ...engine, output: OTHER, runs: OTHER }, engine)).toBeNull();
  });

  it('of the runtime must, where their runs were equal, and are held to limits where they were not', () => {
    expect(agreed({ output: OTHER })).toBeNull();
    expect(agreed({ output: OTHER, runs: OTHER })).toEqual({ start: 0, end: 40 });
  });

  it('agree, in the positions that are sketched, where the sketches lie within what their classes may differ by', () => {
    const one = { name: ENGINE_CLASS, output: OTHER, from: 8 };
    expect(agreed({ ...one, sketch: off(3e-4) }, { from: 8 })).toEqual({ start: 8, end: 40 });
    expect(agreed({ ...one, sketch: off(3e-3) }, { from: 8 })).toBeNull();
  });

  it('of logits have limits of their own', () => {
    const range = { ...honest.range, end: 8, head: true };
    const one = { name: ENGINE_CLASS, output: OTHER, range };
    expect(agreed({ ...one, sketch: off(1e-4) }, { range })).toEqual({ start: 0, end: 40 });
    expect(agreed({ ...one, sketch: off(3e-4) }, { range })).toBeNull();
  });

  it.each<[string, Side]>([
    ['another seed', { seed: OTHER }],
    ['other positions', { from: 1 }],
    ['fewer sketches', { sketch: sketchesOf(31) }],
    ['sketches of twice the size', { sketch: sketchesOf(32, 2) }],
    ['sketches that are no numbers', { sketch: sketchesOf(32, NaN) }],
    ['sketches of nothing', { sketch: sketchesOf(32, 0) }],
  ])('whose outputs differ agree in nothing with %s', (_, change) => {
    expect(agreed({ name: WEBGPU, output: OTHER })).toEqual({ start: 0, end: 40 });
    expect(agreed({ name: WEBGPU, output: OTHER, ...change })).toBeNull();
    expect(agreed({ name: WEBGPU, output: OTHER }, change)).toBeNull();
  });

  it('that differ and have no sketches agree in nothing', () => {
    const none = { sketch: new Uint8Array() };
    expect(agreed({ name: WEBGPU, output: OTHER, ...none }, none)).toBeNull();
  });

  it('may not differ by much in a single row', () => {
    const values = readF32(sketchesOf(32));
    for (let i = 0; i < 16; i++) values[i]! *= 1.01;
    expect(agreed({ name: WEBGPU, output: OTHER, sketch: new Uint8Array(values.buffer) })).toBeNull();
  });
});
