import { describe, expect, it } from 'vitest';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import { isBacked } from '#shared/judge/stage-backing.ts';

const MADE_UP = 'webgpu/apple/m9';
const by = (numericClass: string, isMeasured = false) => ({ numericClass, isMeasured });

describe('the rows of a primary', () => {
  it('are not backed by two keys of a class that they made up, however many agree', () => {
    expect(isBacked(MADE_UP, [by(MADE_UP), by(MADE_UP)])).toBe(false);
    expect(isBacked('int16/ffffffffffffffff', [by('int16/ffffffffffffffff')])).toBe(false);
  });

  it('are backed by an exact one, or one that was compared with theirs', () => {
    expect(isBacked(MADE_UP, [by(ENGINE_CLASS)])).toBe(true);
    expect(isBacked(MADE_UP, [by(MADE_UP), by(RUNTIME_CLASS)])).toBe(true);
    expect(isBacked('webgpu/google/swiftshader', [by('webgpu/google/swiftshader', true)])).toBe(true);
  });

  it('of an exact class are backed by anybody who agrees, and by nobody else', () => {
    expect(isBacked(ENGINE_CLASS, [by(MADE_UP)])).toBe(true);
    expect(isBacked(ENGINE_CLASS, [])).toBe(false);
  });
});
