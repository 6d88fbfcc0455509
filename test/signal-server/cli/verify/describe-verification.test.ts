import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { describeReplay } from '../../../../signal-server/cli/verify/describe-verification.ts';

const tokens = { compared: 2, equal: 2, undrawn: 0, largestGap: 0, limit: 1, beyond: 0 };
const textOf = (found: { readonly isSpelt: boolean | null; readonly goesOn: boolean }) =>
  describeReplay({ outputs: [], tokens, isValid: true, isPrompted: null, ...found }).filter((line) =>
    line.startsWith('  text:'),
  );

describe('what a replay says', () => {
  it.each([
    [{ isSpelt: true, goesOn: false }, ['  text: the tokens spell the answer']],
    [{ isSpelt: true, goesOn: true }, ['  text: the tokens begin with the answer, and go on after it']],
    [{ isSpelt: false, goesOn: false }, ['  text: the tokens DO NOT spell the answer']],
    [{ isSpelt: null, goesOn: false }, []],
  ])('of the text is fit for %j', (found, lines) => {
    expect(textOf(found)).toEqual(lines);
  });

  it('steers no terminal by what a receipt calls its classes', () => {
    const reason = 'bits of \u001b[2J depend on the device';
    const output = { stage: 0, replica: 'a'.repeat(64) as PeerId, chunk: 0, outcome: 'not-compared' as const, reason };
    const lines = describeReplay({
      outputs: [output],
      tokens,
      isValid: true,
      isSpelt: null,
      goesOn: false,
      isPrompted: null,
    });
    expect(lines.join('\n')).toContain('bits of \ufffd[2J depend');
  });
});
