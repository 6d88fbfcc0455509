import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { checkpointText } from '#shared/log/checkpoint.ts';
import { leafHash } from '#shared/log/merkle.ts';
import { evaluatePolicy, parsePolicy } from '#shared/log/policy.ts';
import { formatVerifierKey } from '#shared/log/signed-note.ts';
import { codeOf, codeOfAsync } from '../../support/code-of.ts';
import { cosignatureOf, logKeyOf, signatureOf, witnessKeyOf } from '../../support/signed-notes.ts';
import { specText } from '../../support/spec-vector.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const identities = await makeIdentities(9);
const origin = 'log.example/chorus';
const log = identities[0]!;
const names = ['X1', 'X2', 'X3', 'Y1', 'Y2', 'Y3'] as const;
const witnesses = names.map((name, i) => ({ name, identity: identities[i + 1]!, keyName: `witness.example/${name}` }));
const [x1, , , y1] = witnesses as [Witness, Witness, Witness, Witness];
type Witness = (typeof witnesses)[number];

const logLine = `log ${formatVerifierKey(logKeyOf(log, origin))} https://log.example/chorus`;
const vkeyOf = ({ identity, keyName }: Witness) => formatVerifierKey(witnessKeyOf(identity, keyName));
const lineOf = (witness: Witness) => `witness ${witness.name} ${vkeyOf(witness)}`;

/** The example of the specification, which leaves the keys out. */
const keys = [logLine.replace('log ', ''), ...witnesses.map(vkeyOf)];
const example = specText('tlog-policy.txt').replaceAll('<vkey>', () => keys.shift()!);

const text = checkpointText({ origin, size: 5, root: leafHash(utf8('root')) });

async function noteBy(signers: readonly Witness[], isLogged = true) {
  const cosigned = await Promise.all(
    signers.map(({ identity, keyName }, i) => cosignatureOf(identity, keyName, text, 1_700_000_000 + i)),
  );
  return { text, signatures: [...(isLogged ? [await signatureOf(log, origin, text)] : []), ...cosigned] };
}

describe('a policy', () => {
  it('asks of the example of the specification two of X and one of Y, whoever they are', async () => {
    const policy = parsePolicy(example);
    const notes = await noteBy(witnesses);
    const [logged, ...cosigned] = notes.signatures;
    await fc.assert(
      fc.asyncProperty(fc.subarray([0, 1, 2, 3, 4, 5]), async (chosen) => {
        const note = { text, signatures: [logged!, ...chosen.map((i) => cosigned[i]!)] };
        const verdict = await evaluatePolicy(policy, note, verify);
        const isEnough = chosen.filter((i) => i < 3).length >= 2 && chosen.some((i) => i >= 3);
        expect(verdict.isSatisfied).toBe(isEnough);
        expect(verdict.log?.key.name).toBe(origin);
        expect(verdict.cosigners.map(({ name }) => name)).toEqual(chosen.map((i) => names[i]));
      }),
      { numRuns: 64 },
    );
  });

  it('tells when each witness cosigned', async () => {
    const { cosigners } = await evaluatePolicy(parsePolicy(example), await noteBy([x1, y1]), verify);
    expect(cosigners).toEqual([
      { name: 'X1', timeSeconds: 1_700_000_000 },
      { name: 'Y1', timeSeconds: 1_700_000_001 },
    ]);
  });

  it('is not met without the log, also by all witnesses', async () => {
    const verdict = await evaluatePolicy(parsePolicy(example), await noteBy(witnesses, false), verify);
    expect(verdict).toMatchObject({ isSatisfied: false, hasQuorum: true, log: null });
  });

  it('without logs leaves the log to the caller', async () => {
    const policy = parsePolicy(`${lineOf(x1)}\nquorum X1\n`);
    expect((await evaluatePolicy(policy, await noteBy([x1], false), verify)).isSatisfied).toBe(true);
    expect((await evaluatePolicy(policy, await noteBy([y1]), verify)).isSatisfied).toBe(false);
  });

  it('may ask for no cosignature', async () => {
    const policy = parsePolicy(`${logLine}\nquorum none`);
    expect((await evaluatePolicy(policy, await noteBy([]), verify)).isSatisfied).toBe(true);
    expect((await evaluatePolicy(policy, await noteBy([], false), verify)).isSatisfied).toBe(false);
  });

  it('does not take the key of one log for the origin of another', async () => {
    const policy = parsePolicy(`log ${formatVerifierKey(logKeyOf(log, 'other.example'))}\nquorum none\n`);
    const note = { text, signatures: [await signatureOf(log, 'other.example', text)] };
    expect((await evaluatePolicy(policy, note, verify)).isSatisfied).toBe(false);
  });

  it('is not judged for a note with a wrong signature by a listed key', async () => {
    const forged = await noteBy([{ ...x1, identity: y1.identity }]);
    const claimed = forged.signatures.map((each) =>
      each.name === x1.keyName ? { ...each, keyId: utf8('....').slice() } : each,
    );
    const real = await noteBy([x1]);
    const swapped = { text, signatures: [...real.signatures.slice(0, 1), real.signatures[1]!] };
    swapped.signatures[1] = { ...swapped.signatures[1]!, signature: forged.signatures[1]!.signature };
    expect(await codeOfAsync(evaluatePolicy(parsePolicy(example), swapped, verify))).toBe('bad-signature');
    const unknown = await evaluatePolicy(parsePolicy(example), { text, signatures: claimed }, verify);
    expect(unknown.cosigners).toEqual([]);
  });

  it('may have comments, tabs, spaces and names beyond ASCII', () => {
    const policy = parsePolicy(`\t# café\n \twitness\tK\u212a  ${vkeyOf(x1)}\t \n\nquorum K\u212a \n`);
    expect(policy.quorum).toMatchObject({ name: 'K\u212a' });
    expect(codeOf(() => parsePolicy(`witness K ${vkeyOf(x1)}\nquorum \u212a\n`))).toBe('bad-message');
  });

  it('reads 32 logs, witnesses and groups', () => {
    const lines = witnesses.map(lineOf);
    for (let i = 0; i < 32; i++) lines.push(`group g${i} all ${i === 0 ? names.join(' ') : `g${i - 1}`}`);
    expect(parsePolicy([...lines, 'quorum g31'].join('\n')).witnesses).toHaveLength(6);
  });

  it.each([
    ['no quorum', 'quorum X-and-Y\n', ''],
    ['two quorums', 'quorum X-and-Y', 'quorum X-and-Y\nquorum X-and-Y'],
    ['a quorum that is not defined', 'quorum X-and-Y', 'quorum Z'],
    ['a quorum of two names', 'quorum X-and-Y', 'quorum X1 Y1'],
    ['a quorum of none', 'quorum X-and-Y', 'quorum'],
    ['a quorum before its group', 'group X-and-Y', 'quorum X-and-Y\ngroup X-and-Y'],
    ['an unknown line', 'quorum X-and-Y', 'quorum X-and-Y\nwitnesses 2'],
    ['a line in capitals', 'quorum', 'QUORUM'],
    ['a control character', 'quorum X', 'quorum\u000bX'],
    ['a carriage return', 'X-and-Y\n', 'X-and-Y\r\n'],
    ['another kind of space', 'quorum X', 'quorum\u00a0X'],
    ['a group with a name twice', 'group Y-witnesses', 'group X-witnesses'],
    ['a group named as a witness', 'group Y-witnesses', 'group X1'],
    ['a group named none', 'group Y-witnesses', 'group none'],
    ['a witness named none', 'witness X1', 'witness none'],
    ['none as a member', 'any Y1 Y2', 'any none Y2'],
    ['a member that is not defined', 'any Y1', 'any Z1'],
    ['a group in itself', 'all X-witnesses', 'all X-and-Y'],
    ['a member of two groups', 'any Y1', 'any X1'],
    ['a member named twice', '2 X1 X2', '2 X1 X1'],
    ['no members', 'any Y1 Y2 Y3', 'any'],
    ['a threshold of zero', '2 X1', '0 X1'],
    ['a threshold above its members', '2 X1', '4 X1'],
    ['a threshold that begins with zero', '2 X1', '02 X1'],
    ['a threshold that is a word', '2 X1', 'most X1'],
    ['a log with a third item', 'chorus\n', 'chorus more\n'],
    ['a log twice', logLine, `${logLine}\nlog ${formatVerifierKey(logKeyOf(log, 'other.example'))}`],
    ['a log with the key of a witness', logLine, `log ${vkeyOf(x1)}`],
    ['a log without key', logLine, 'log'],
    ['a witness without key', lineOf(x1), 'witness X1'],
    ['a witness with a fourth item', lineOf(x1), `${lineOf(x1)} url more`],
    ['a witness with the key of a log', vkeyOf(x1), formatVerifierKey(logKeyOf(x1.identity, 'x'))],
    ['the key of a witness twice', vkeyOf(x1), formatVerifierKey(witnessKeyOf(y1.identity, 'other.example'))],
    ['a damaged key', vkeyOf(x1), vkeyOf(x1).replace(/\+.{8}\+/, '+00000000+')],
  ])('is refused with %s', (_, what, by) => {
    expect(example).toContain(what);
    expect(codeOf(() => parsePolicy(example.replace(what, by)))).toBe('bad-message');
  });

  it('is refused if it is too long, and says which line is wrong', () => {
    expect(codeOf(() => parsePolicy('#'.repeat(70_000)))).toBe('too-large');
    expect(codeOf(() => parsePolicy('\n'.repeat(2_000)))).toBe('too-large');
    expect(() => parsePolicy('\n\nquorum Z')).toThrow('line 3 of the policy: Z is not defined before');
  });
});
