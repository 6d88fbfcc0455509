import { describe, expect, test } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import {
  commitBytes,
  parseCommit,
  parseReveal,
  parseSealedReveal,
  revealBytes,
} from '#shared/judge/statement-codec.ts';
import type { Commit, Reveal } from '#shared/judge/statement.ts';
import { MAX_CHECKS, MAX_POSITIONS, MAX_STAGES } from '#shared/limits.ts';
import { codeOf } from '../../support/code-of.ts';

const digest = (value: number) => new Uint8Array(32).fill(value);
const span = {
  session: '0f'.repeat(16) as SessionId,
  opening: new Uint8Array(16).fill(10),
  epoch: 4_000_000_000,
  index: 7,
  start: 33,
  end: 64,
  stage: 2,
};
const commit: Commit = {
  ...span,
  inputFrom: digest(1),
  inputTo: digest(2),
  outputFrom: digest(3),
  outputTo: digest(4),
  shapes: digest(5),
};
const input = new Uint8Array(31 * 64).fill(6);
const output = new Uint8Array(31 * 64).fill(7);
const reveal: Reveal = { ...span, seed: digest(8), input, output };

const wrongSpans: [string, Partial<typeof span>][] = [
  ['number 0', { index: 0 }],
  ['a number no session has', { index: MAX_CHECKS + 1 }],
  ['no positions', { start: 33, end: 33 }],
  ['an end before its start', { start: 33, end: 32 }],
  ['two chunks', { start: 31, end: 33 }],
  ['positions beyond the longest session', { start: MAX_POSITIONS, end: MAX_POSITIONS + 1 }],
  ['a stage that no route has', { stage: MAX_STAGES + 1 }],
];

describe('a commit', () => {
  test('is read as it was written', () => {
    expect(parseCommit(commitBytes(commit))).toEqual(commit);
  });

  test.each(wrongSpans)('of %s is refused', (_, change) => {
    expect(codeOf(() => parseCommit(commitBytes({ ...commit, ...change })))).toBe('bad-message');
  });

  test('is refused one byte shorter, one byte longer, and as another kind of statement', () => {
    const bytes = commitBytes(commit);
    expect(codeOf(() => parseCommit(bytes.slice(0, -1)))).toBe('bad-message');
    expect(codeOf(() => parseCommit(Uint8Array.of(...bytes, 0)))).toBe('bad-message');
    expect(codeOf(() => parseCommit(revealBytes(reveal)))).toBe('bad-message');
    expect(codeOf(() => parseSealedReveal(bytes))).toBe('bad-message');
    const other = bytes.slice();
    other[14] = '2'.charCodeAt(0);
    expect(codeOf(() => parseCommit(other))).toBe('bad-message');
  });

  test.each([15, 17])('with an opening of %i bytes is not written', (length) => {
    expect(codeOf(() => commitBytes({ ...commit, opening: new Uint8Array(length) }))).toBe('bad-message');
    // Nor where the next field makes up for it.
    const shapes = new Uint8Array(48 - length);
    expect(codeOf(() => commitBytes({ ...commit, opening: new Uint8Array(length), shapes }))).toBe('bad-message');
    expect(codeOf(() => revealBytes({ ...reveal, opening: new Uint8Array(length) }))).toBe('bad-message');
  });

  test('with a chain of a wrong size is not written', () => {
    expect(codeOf(() => commitBytes({ ...commit, shapes: new Uint8Array(31) }))).toBe('bad-message');
  });

  test('has other bytes for every field', () => {
    const changes: Partial<Commit>[] = [
      { session: '1f'.repeat(16) as SessionId },
      { opening: new Uint8Array(16).fill(11) },
      ...(['epoch', 'index', 'start', 'end', 'stage'] as const).map((field) => ({ [field]: commit[field] + 1 })),
      ...(['inputFrom', 'inputTo', 'outputFrom', 'outputTo', 'shapes'] as const).map((field) => ({
        [field]: digest(9),
      })),
    ];
    const all = changes.map((change) => commitBytes({ ...commit, ...change }).join());
    expect(new Set([...all, commitBytes(commit).join()]).size).toBe(changes.length + 1);
  });
});

describe('a reveal', () => {
  test('is read as it was written, from tokens too and with logits', () => {
    expect(parseReveal(revealBytes(reveal), input, output)).toEqual(reveal);
    const head = { ...reveal, input: new Uint8Array(0), output: new Uint8Array(516) };
    expect(parseReveal(revealBytes(head), head.input, head.output)).toEqual(head);
  });

  test.each(wrongSpans)('of %s is refused', (_, change) => {
    expect(codeOf(() => parseSealedReveal(revealBytes({ ...reveal, ...change })))).toBe('bad-message');
  });

  test.each([
    ['input', output, output],
    ['output', input, input],
  ])('with another %s than was signed is refused', (_, shownInput, shownOutput) => {
    expect(codeOf(() => parseReveal(revealBytes(reveal), shownInput, shownOutput))).toBe('digest-mismatch');
  });

  test.each([
    ['an input sketch of one row too few', { input: input.slice(64) }],
    ['more output than the logits of a chunk', { output: new Uint8Array(33 * 516) }],
    ['half a number', { output: output.slice(2) }],
  ])('with %s is refused', (_, change) => {
    const wrong = { ...reveal, ...change };
    expect(codeOf(() => parseReveal(revealBytes(wrong), wrong.input, wrong.output))).toBe('bad-message');
  });
});
