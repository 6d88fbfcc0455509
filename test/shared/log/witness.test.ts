import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { consistencyProof, leafHash, treeRoot } from '#shared/log/merkle.ts';
import { formatNote, parseNote, type NoteKey } from '#shared/log/signed-note.ts';
import {
  EMPTY_HEAD,
  formatAddCheckpoint,
  parseAddCheckpoint,
  refusalOfGrowth,
  refusalOfSender,
  type WitnessedHead,
} from '#shared/log/witness.ts';
import { codeOf } from '../../support/code-of.ts';
import { checkpointNote, cosignatureOf, logKeyOf, signatureOf, treeOf } from '../../support/signed-notes.ts';
import { specText } from '../../support/spec-vector.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const [log, stranger] = (await makeIdentities(2)) as [Signer, Signer];
type Signer = Awaited<ReturnType<typeof makeIdentities>>[number];
const origin = 'log.example/chorus';
const MOST = 40;
const read = treeOf(Array.from({ length: MOST }, (_, i) => utf8(`entry ${i}`)));
/** The same log up to entry 10, and another afterwards. */
const forked = treeOf(Array.from({ length: MOST }, (_, i) => utf8(i < 10 ? `entry ${i}` : `other ${i}`)));
const headAt = (size: number, tree = read): WitnessedHead => ({ size, root: treeRoot(size, tree) });
const noteAt = (size: number, tree = read) => checkpointNote(log, { origin, ...headAt(size, tree) });
const keysOf = (name: string): NoteKey[] => (name === origin ? [logKeyOf(log, origin)] : []);

async function requestOf(oldSize: number, newSize: number, tree = read) {
  return parseAddCheckpoint(
    formatAddCheckpoint(oldSize, consistencyProof(oldSize, newSize, tree), await noteAt(newSize, tree)),
  );
}

/** The request that the specification shows. */
const example = specText('tlog-witness-request.txt');

describe('a request to a witness', () => {
  it('is read as the specification shows it, and written the same', () => {
    const request = parseAddCheckpoint(example);
    expect(request).toMatchObject({ oldSize: 20852014, checkpoint: { size: 20852163 } });
    expect(request.proof).toHaveLength(4);
    expect(formatAddCheckpoint(request.oldSize, request.proof, formatNote(request.note))).toBe(example);
  });

  it('may have no hashes', async () => {
    const request = await requestOf(0, 7);
    expect(request).toMatchObject({ oldSize: 0, proof: [] });
  });

  it.each([
    ['no old size', 'old 20852014\n', ''],
    ['another word', 'old ', 'Old '],
    ['two spaces', 'old ', 'old  '],
    ['an old size that begins with zero', 'old 2', 'old 02'],
    ['a negative old size', 'old 2', 'old -2'],
    ['an old size beyond what numbers hold', 'old 20852014', 'old 9007199254740993'],
    ['a short hash', 'PlRN', ''],
    ['a hash with spare bits', 'pkaw=', 'pkax='],
    ['a carriage return', 'pkaw=\n', 'pkaw=\r\n'],
    ['no empty line', '/0=\n\n', '/0=\n'],
    ['a checkpoint without signatures', /— [^]*$/, ''],
    ['a checkpoint that is none', '20852163\n', 'many\n'],
  ])('is refused with %s', (_, what, by) => {
    expect(codeOf(() => parseAddCheckpoint(example.replace(what, by)))).toBe('bad-message');
  });

  it('has at most 63 hashes', () => {
    const [head, rest] = [example.indexOf('\n') + 1, example.indexOf('\n\n') + 1];
    const line = example.slice(head, example.indexOf('\n', head) + 1);
    const withHashes = (count: number) => example.slice(0, head) + line.repeat(count) + example.slice(rest);
    expect(parseAddCheckpoint(withHashes(63)).proof).toHaveLength(63);
    expect(codeOf(() => parseAddCheckpoint(withHashes(64)))).toBe('bad-message');
  });
});

describe('a witness', () => {
  it('takes every growth of a log it watches', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(MOST), fc.nat(MOST), async (a, b) => {
        const [oldSize, newSize] = a < b ? [a, b] : [b, a];
        const request = await requestOf(oldSize, newSize);
        expect(await refusalOfSender(request, keysOf, verify)).toBeNull();
        expect(refusalOfGrowth(headAt(oldSize), request)).toBeNull();
      }),
    );
  });

  it('takes the first head of a log, and the same one again', async () => {
    expect(refusalOfGrowth(EMPTY_HEAD, await requestOf(0, 12))).toBeNull();
    expect(refusalOfGrowth(EMPTY_HEAD, await requestOf(0, 0))).toBeNull();
    expect(refusalOfGrowth(headAt(12), await requestOf(12, 12))).toBeNull();
  });

  it('takes a checkpoint that others have signed besides', async () => {
    const request = await requestOf(0, 12);
    const { text } = request.note;
    const signatures = [
      await signatureOf(stranger, origin, text),
      await cosignatureOf(stranger, 'witness.example', text, 5),
      ...request.note.signatures,
    ];
    expect(await refusalOfSender({ ...request, note: { text, signatures } }, keysOf, verify)).toBeNull();
  });

  it.each([
    ['a log it does not watch', 404, async () => parseAddCheckpoint(example)],
    [
      'a checkpoint of a stranger',
      403,
      async () => ({
        ...(await requestOf(3, 7)),
        note: parseNote(await checkpointNote(stranger, { origin, ...headAt(7) })),
      }),
    ],
    [
      'a signature that is not over this checkpoint',
      403,
      async () => {
        const [request, other] = [await requestOf(3, 7), await noteAt(8)];
        return { ...request, note: { ...request.note, signatures: parseNote(other).signatures } };
      },
    ],
    ['an old size above the new one', 400, async () => ({ ...(await requestOf(7, 7)), oldSize: 8 })],
  ] as const)('refuses %s with %i', async (_, status, make) => {
    expect(await refusalOfSender(await make(), keysOf, verify)).toMatchObject({ status });
  });

  it.each([
    ['an old size that is not its own', 409, () => requestOf(4, 20)],
    ['an old size of zero once it knows the log', 409, () => requestOf(0, 20)],
    ['a shorter log', 409, () => requestOf(4, 5)],
    ['a fork', 422, () => requestOf(12, 20, forked)],
    ['a proof that lacks a hash', 422, async () => dropHash(await requestOf(12, 20))],
    ['a proof with a hash more', 422, async () => addHash(await requestOf(12, 20))],
    ['a proof of nothing new', 422, async () => addHash(await requestOf(12, 12))],
    ['a changed proof', 422, async () => changeHash(await requestOf(12, 20))],
  ] as const)('refuses %s with %i', async (_, status, make) => {
    const refusal = refusalOfGrowth(headAt(12), await make());
    expect(refusal).toMatchObject({ status });
    expect(refusal?.size).toBe(status === 409 ? 12 : undefined);
  });

  it('refuses a fork of the same size with 422 and no size', async () => {
    const refusal = refusalOfGrowth(headAt(12), await requestOf(12, 12, forked));
    expect([refusal?.status, refusal?.size]).toEqual([422, undefined]);
  });

  it('refuses a proof from the empty log, and an empty log that is not empty', async () => {
    expect(refusalOfGrowth(EMPTY_HEAD, addHash(await requestOf(0, 20)))).toMatchObject({ status: 422 });
    const request = parseAddCheckpoint(
      formatAddCheckpoint(0, [], await checkpointNote(log, { origin, size: 0, root: leafHash(utf8('x')) })),
    );
    expect(refusalOfGrowth(EMPTY_HEAD, request)).toMatchObject({ status: 422 });
  });

  it('cosigns at most one of two branches, whatever it is sent in whatever order', async () => {
    const step = fc.record({ size: fc.nat(MOST), isFork: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        let known = EMPTY_HEAD;
        const branches = new Set<boolean>();
        for (const { size, isFork } of steps) {
          const tree = isFork ? forked : read;
          const proof = known.size <= size ? consistencyProof(known.size, size, tree) : [];
          const request = parseAddCheckpoint(formatAddCheckpoint(known.size, proof, await noteAt(size, tree)));
          if (refusalOfGrowth(known, request) !== null) continue;
          expect(size).toBeGreaterThanOrEqual(known.size);
          known = headAt(size, tree);
          if (size > 10) branches.add(isFork);
        }
        expect(branches.size).toBeLessThanOrEqual(1);
      }),
      { numRuns: 50 },
    );
  });
});

type Request = Awaited<ReturnType<typeof requestOf>>;
const dropHash = (request: Request): Request => ({ ...request, proof: request.proof.slice(1) });
const addHash = (request: Request): Request => ({ ...request, proof: [...request.proof, leafHash(utf8('more'))] });
const changeHash = (request: Request): Request => ({
  ...request,
  proof: [leafHash(utf8('other')), ...request.proof.slice(1)],
});
