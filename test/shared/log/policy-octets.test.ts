import { describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '#shared/bytes.ts';
import { parsePolicy, policyText } from '#shared/log/policy.ts';
import { formatVerifierKey } from '#shared/log/signed-note.ts';
import { makePeople } from '../../support/receipts.ts';
import { witnessKeyOf } from '../../support/signed-notes.ts';

const people = await makePeople();
const [one, two] = people.witnesses.map((each, i) => formatVerifierKey(witnessKeyOf(each, `witness.example/${i}`)));
const [latin, other] = [Uint8Array.of(0x63, 0x61, 0x66, 0xe9), Uint8Array.of(0x63, 0x61, 0x66, 0xe8)];
const file = (...parts: readonly (string | Uint8Array<ArrayBuffer>)[]) =>
  concatBytes(...parts.map((part) => (typeof part === 'string' ? utf8(part) : part)));

describe('a policy file of other octets than UTF-8', () => {
  it('has them in names and comments, each octet for itself', () => {
    const bytes = file('# ', latin, '\nwitness ', latin, ` ${one}\nwitness `, other, ` ${two}\nquorum `, latin, '\n');
    const { quorum, witnesses } = parsePolicy(policyText(bytes));
    expect(witnesses).toHaveLength(2);
    expect(quorum).toBe(witnesses[0]);
    expect(witnesses[0]!.name).not.toBe(witnesses[1]!.name);
  });

  it('is the text that it is where it is UTF-8', () => {
    const text = `# café\nwitness café ${one}\t\nquorum café\n`;
    expect(policyText(utf8(text))).toBe(text);
  });

  it('names nothing by a character that looks the same', () => {
    const text = policyText(file(`witness K ${one}\nquorum \u212a\n`));
    expect(() => parsePolicy(text)).toThrow('is not defined before');
  });
});
