import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { describeReplay } from '../../../../signal-server/cli/verify/describe-replay.ts';

const tokens = { compared: 2, equal: 2, undrawn: 0, largestGap: 0, limit: 1, beyond: 0, firstBeyond: null };
const of = { ranges: [], positions: 40, promptTokens: 38 };
const textOf = (found: { readonly isSpelt: boolean | null; readonly goesOn: boolean }) =>
  describeReplay({ outputs: [], tokens, of, isValid: true, isPrompted: null, ...found }).filter((line) =>
    line.startsWith('  text:'),
  );

describe('what a replay says', () => {
  it.each([
    [{ isSpelt: true, goesOn: false }, ['  text: the tokens spell the answer']],
    [{ isSpelt: true, goesOn: true }, ['  text: the tokens begin with the answer, and go on after it']],
    [{ isSpelt: false, goesOn: false }, ['  text: the tokens DO NOT spell the answer']],
    [{ isSpelt: null, goesOn: false, isPrompted: null }, []],
  ])('of the text is fit for %j', (found, lines) => {
    expect(textOf(found)).toEqual(lines);
  });

  it('steers no terminal by what a receipt calls its classes', () => {
    const reason = 'bits of \u001b[2J depend on the device';
    const place = { stage: 0, replica: 'a'.repeat(64) as PeerId, role: 'primary' as const, chunk: 0 };
    const outputs = [{ ...place, outcome: 'not-compared' as const, reason }];
    const lines = describeReplay({
      outputs,
      tokens,
      of,
      isValid: true,
      isSpelt: null,
      goesOn: false,
      isPrompted: null,
    });
    expect(lines.join('\n')).toContain('bits of \ufffd[2J depend');
  });
});
