import { describe, expect, it } from 'vitest';
import { fromHex, toHex, utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import { cosignedAt } from '#shared/log/cosignature.ts';
import { consistencyProof, inclusionProof, isConsistent, isIncluded, leafHash, treeRoot } from '#shared/log/merkle.ts';
import { formatNote, formatVerifierKey, isSignedBy, parseNote, parseVerifierKey } from '#shared/log/signed-note.ts';
import { formatTlogProof, parseTlogProof } from '#shared/log/tlog-proof.ts';
import { formatAddCheckpoint, parseAddCheckpoint, refusalOfGrowth, refusalOfSender } from '#shared/log/witness.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { treeOf } from '../../support/signed-notes.ts';
import vector from '../../vectors/log.json' with { type: 'json' };

const entries = Array.from({ length: vector.count }, (_, i) => utf8(`entry ${i}`));
const read = treeOf(entries);
const rootOf = (size: number): Uint8Array<ArrayBuffer> => treeRoot(size, read);
const logKey = parseVerifierKey(vector.logKey);
const witnessKey = parseVerifierKey(vector.witnessKey);
const note = parseNote(vector.note);
const hashesOf = ({ hashes }: { readonly hashes: string }): Uint8Array<ArrayBuffer>[] =>
  hashes.split(' ').flatMap((hash) => (hash === '' ? [] : [fromHex(hash)]));

describe('trees computed without Chorus', () => {
  it('have the same roots', () => {
    for (const [size, root] of Object.entries(vector.roots)) expect(toHex(rootOf(Number(size)))).toBe(root);
  });

  it('have the same proofs of entries, which hold with nothing of them changed', () => {
    for (const proof of vector.inclusion) {
      const { index, size } = proof;
      const [leaf, hashes, root] = [leafHash(entries[index]!), hashesOf(proof), rootOf(size)];
      expect(inclusionProof(index, size, read)).toEqual(hashes);
      expect(isIncluded(leaf, index, size, hashes, root)).toBe(true);
      expect(isIncluded(leafHash(utf8('other')), index, size, hashes, root)).toBe(false);
      expect(isIncluded(leaf, index ^ 1, size, hashes, root)).toBe(false);
      expect(isIncluded(leaf, index, size, [...hashes, leaf], root)).toBe(false);
      expect(isIncluded(leaf, index, size, hashes, rootOf(size - 1))).toBe(false);
      hashes.forEach((_, at) => expect(isIncluded(leaf, index, size, spoilt(hashes, at), root)).toBe(false));
    }
  });

  it('have the same proofs of growth, which hold with nothing of them changed', () => {
    for (const proof of vector.consistency) {
      const [from, to, hashes] = [rootOf(proof.old), rootOf(proof.new), hashesOf(proof)];
      expect(consistencyProof(proof.old, proof.new, read)).toEqual(hashes);
      expect(isConsistent([proof.old, from], [proof.new, to], hashes)).toBe(true);
      expect(isConsistent([proof.old, to], [proof.new, to], hashes)).toBe(false);
      expect(isConsistent([proof.old, from], [proof.new, from], hashes)).toBe(false);
      expect(isConsistent([proof.old, from], [proof.new, to], [...hashes, from])).toBe(false);
      hashes.forEach((_, at) =>
        expect(isConsistent([proof.old, from], [proof.new, to], spoilt(hashes, at))).toBe(false),
      );
    }
  });
});

describe('notes written without Chorus', () => {
  it('are a checkpoint that log and witness signed, read and written the same', async () => {
    expect([formatVerifierKey(logKey), formatVerifierKey(witnessKey)]).toEqual([vector.logKey, vector.witnessKey]);
    expect(formatNote(note)).toBe(vector.note);
    expect(parseCheckpoint(note.text)).toEqual({ origin: logKey.name, size: vector.count, root: rootOf(vector.count) });
    expect(await isSignedBy(note, logKey, verify)).toBe(true);
    expect(await cosignedAt(note, witnessKey, verify)).toBe(vector.cosignedAt);
  });

  it.each([
    ['another origin', 'log.example/vector\n', 'log.example/other\n'],
    ['another size', '\n300\n', '\n301\n'],
    ['another root', /\n[A-Za-z0-9+/]{43}=\n/, `\n${'A'.repeat(43)}=\n`],
    ['another line', /=\n\n/, '=\nmore\n\n'],
  ])('hold for neither with %s', async (_, what, by) => {
    const changed = parseNote(vector.note.replace(what, by));
    expect(changed.text).not.toBe(note.text);
    expect(await codeOfAsync(isSignedBy(changed, logKey, verify))).toBe('bad-signature');
    expect(await codeOfAsync(cosignedAt(changed, witnessKey, verify))).toBe('bad-signature');
  });

  it('hold for neither with any byte of their signatures changed', async () => {
    const [signed, cosigned] = note.signatures;
    for (const each of [signed!, cosigned!]) {
      for (let at = 0; at < each.signature.length; at++) {
        const signature = each.signature.map((byte, i) => (i === at ? byte ^ 1 : byte));
        const changed = { ...note, signatures: [{ ...each, signature }] };
        const seen = each === signed ? isSignedBy(changed, logKey, verify) : cosignedAt(changed, witnessKey, verify);
        expect(await codeOfAsync(seen)).toBe('bad-signature');
      }
    }
  });

  it('are a proof of an entry, read and written the same', () => {
    const { index, text } = vector.proof;
    const proof = parseTlogProof(text);
    expect(proof).toMatchObject({ index, checkpoint: vector.note, extra: utf8('extra') });
    expect(formatTlogProof(proof)).toBe(text);
    expect(isIncluded(leafHash(entries[index]!), index, vector.count, proof.hashes, rootOf(vector.count))).toBe(true);
  });

  it('are a request that a witness takes, and does not with one thing changed', async () => {
    const { old, oldRoot, text } = vector.request;
    const known = { size: old, root: fromHex(oldRoot) };
    const request = parseAddCheckpoint(text);
    expect(formatAddCheckpoint(request.oldSize, request.proof, formatNote(request.note))).toBe(text);
    expect(await refusalOfSender(request, () => [logKey], verify)).toBeNull();
    expect(refusalOfGrowth(known, request)).toBeNull();
    expect(await refusalOfSender(request, () => [], verify)).toMatchObject({ status: 404 });
    expect(await refusalOfSender(request, () => [witnessKey], verify)).toMatchObject({ status: 403 });
    expect(await refusalOfSender({ ...request, oldSize: 301 }, () => [logKey], verify)).toMatchObject({ status: 400 });
    expect(refusalOfGrowth({ ...known, size: old + 1 }, request)).toMatchObject({ status: 409, size: old + 1 });
    expect(refusalOfGrowth({ ...known, root: rootOf(old + 1) }, request)).toMatchObject({ status: 422 });
    request.proof.forEach((_, at) =>
      expect(refusalOfGrowth(known, { ...request, proof: spoilt(request.proof, at) })).toMatchObject({ status: 422 }),
    );
  });
});

/** With one bit of one hash changed. */
function spoilt(hashes: readonly Uint8Array<ArrayBuffer>[], at: number): Uint8Array<ArrayBuffer>[] {
  return hashes.map((hash, i) => (i === at ? hash.map((byte, j) => (j === 9 ? byte ^ 1 : byte)) : hash));
}
