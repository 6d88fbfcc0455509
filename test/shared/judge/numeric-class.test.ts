import { describe, expect, it } from 'vitest';
import {
  dependsOnRuns,
  describeNumericClass,
  describeNumericClassInFull,
  ENGINE_CLASS,
  haveEqualBits,
  isExactClass,
  isExactPair,
  isOfEngineFormat,
  limitsClass,
  RUNTIME_CLASS,
} from '#shared/judge/numeric-class.ts';

const GPU = 'webgpu/nvidia/ampere';
const OTHER_ENGINE = 'int16/ffffffffffffffff';
const strangers = [GPU, 'webgpu', OTHER_ENGINE, 'int16', `${ENGINE_CLASS}0`, ` ${ENGINE_CLASS}`, 'WASM', 'wasm/4', ''];

describe('a numeric class', () => {
  it('is exact if it is the engine’s or the runtime’s, letter for letter', () => {
    expect([ENGINE_CLASS, RUNTIME_CLASS].every(isExactClass)).toBe(true);
    expect(strangers.filter(isExactClass)).toEqual([]);
  });

  it('makes an exact pair with itself only', () => {
    expect(isExactPair(ENGINE_CLASS, ENGINE_CLASS)).toBe(true);
    expect(isExactPair(RUNTIME_CLASS, RUNTIME_CLASS)).toBe(true);
    expect(isExactPair(ENGINE_CLASS, RUNTIME_CLASS)).toBe(false);
    expect(strangers.some((each) => isExactPair(each, each) || isExactPair(each, ENGINE_CLASS))).toBe(false);
  });

  it('has limits of its own, but for an engine’s, which has those of its rows’ format', () => {
    expect([ENGINE_CLASS, OTHER_ENGINE, 'int16'].map(limitsClass)).toEqual(['int16', 'int16', 'int16']);
    const others = [RUNTIME_CLASS, GPU, 'int160/ff', 'webgpu/int16', 'INT16/ff', ''];
    expect(others.map(limitsClass)).toEqual(others);
    expect(others.filter(isOfEngineFormat)).toEqual([]);
  });

  it('depends on runs if it is the runtime’s', () => {
    expect([ENGINE_CLASS, RUNTIME_CLASS].map(dependsOnRuns)).toEqual([false, true]);
  });

  it('leaves no room for a difference: the engine’s ever, the runtime’s in equal runs, any other never', () => {
    const both = (one: string) => [true, false].map((areRunsEqual) => haveEqualBits(one, one, areRunsEqual));
    expect(both(ENGINE_CLASS)).toEqual([true, true]);
    expect(both(RUNTIME_CLASS)).toEqual([true, false]);
    for (const stranger of strangers) expect(both(stranger)).toEqual([false, false]);
    expect(haveEqualBits(ENGINE_CLASS, RUNTIME_CLASS, true)).toBe(false);
  });
});

describe('the words for a numeric class', () => {
  it('name the device where it is known', () => {
    expect([RUNTIME_CLASS, 'webgpu', GPU].map(describeNumericClass)).toEqual([
      'WASM',
      'WebGPU',
      'WebGPU · nvidia/ampere',
    ]);
  });

  it('tell the engine from another one without a digest, which is for details', () => {
    expect([ENGINE_CLASS, OTHER_ENGINE].map(describeNumericClass)).toEqual([
      'CPU · exact engine',
      'CPU · another engine',
    ]);
    const [, digest] = ENGINE_CLASS.split('/');
    expect([ENGINE_CLASS, OTHER_ENGINE, GPU, RUNTIME_CLASS].map(describeNumericClassInFull)).toEqual([
      `CPU · exact engine ${digest}`,
      'CPU · another engine ffffffffffffffff',
      'WebGPU · nvidia/ampere',
      'WASM',
    ]);
  });

  it('are its own where nobody knows it', () => {
    expect(describeNumericClass('abacus/wood')).toBe('abacus/wood');
  });
});
