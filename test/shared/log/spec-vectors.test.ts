import { describe, expect, it } from 'vitest';
import { fromHex, toHex, utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { checkpointText, parseCheckpoint } from '#shared/log/checkpoint.ts';
import { cosignedAt, cosignedBytes } from '#shared/log/cosignature.ts';
import { consistencyProof, inclusionProof, isConsistent, isIncluded, leafHash, treeRoot } from '#shared/log/merkle.ts';
import { evaluatePolicy, parsePolicy } from '#shared/log/policy.ts';
import {
  formatNote,
  formatSignature,
  formatVerifierKey,
  isSignedBy,
  keyIdOf,
  parseNote,
  parseSignature,
  parseVerifierKey,
} from '#shared/log/signed-note.ts';
import { widthAt } from '#shared/log/tile-hashes.ts';
import { hashesAtLevel, parseTilePath, tilePath, TILE_WIDTH } from '#shared/log/tile-path.ts';
import { formatTlogProof, parseTlogProof } from '#shared/log/tlog-proof.ts';
import {
  EMPTY_HEAD,
  formatAddCheckpoint,
  parseAddCheckpoint,
  refusalOfGrowth,
  refusalOfSender,
} from '#shared/log/witness.ts';
import { codeOf, codeOfAsync } from '../../support/code-of.ts';
import { treeOf } from '../../support/signed-notes.ts';
import { specJson, specKey, specText } from '../../support/spec-vector.ts';

/** One thing of an example changed. */
function change(text: string, what: string | RegExp, by: string): string {
  const changed = text.replace(what, by);
  expect(changed).not.toBe(text);
  return changed;
}

describe('a log of another implementation', () => {
  const [vkey, note] = [specKey('foreign-log-key.txt'), specText('foreign-log-checkpoint.txt')];
  const key = parseVerifierKey(vkey);

  it('has a key that is read and written the same', () => {
    expect(formatVerifierKey(key)).toBe(vkey);
    expect(toHex(keyIdOf(key))).toBe('c0787ff4');
  });

  it('has a checkpoint whose signature holds, and does not with any character changed', async () => {
    const parsed = parseNote(note);
    expect(formatNote(parsed)).toBe(note);
    expect(parseCheckpoint(parsed.text)).toMatchObject({ origin: key.name, size: 1 });
    expect(await isSignedBy(parsed, key, verify)).toBe(true);
    const body = parsed.text;
    for (let i = 0; i < body.length; i++) {
      const text = body.slice(0, i) + (body[i] === 'A' ? 'B' : 'A') + body.slice(i + 1);
      expect(await codeOfAsync(isSignedBy({ ...parsed, text }, key, verify))).toBe('bad-signature');
    }
  });

  it('is accepted by a policy, and by a witness', async () => {
    const policy = parsePolicy(`log ${vkey} https://geomys.org/witness/test-log\nquorum none\n`);
    expect((await evaluatePolicy(policy, parseNote(note), verify)).isSatisfied).toBe(true);
    const request = parseAddCheckpoint(`old 0\n\n${note}`);
    expect(await refusalOfSender(request, () => [key], verify)).toBeNull();
    expect(refusalOfGrowth(EMPTY_HEAD, request)).toBeNull();
  });
});

describe('signed-note', () => {
  const example = specText('signed-note.txt');

  it('has an example that is read and written the same', () => {
    const note = parseNote(example);
    expect(note.text.endsWith('\n\ned è subito sera.\n')).toBe(true);
    expect(note.signatures[0]!.signature).toHaveLength(64);
    expect(formatNote(note)).toBe(example);
  });

  it.each([
    ['another dash', '— q', '- q'],
    ['no name', 'quasimodo.example/salvatore', ''],
    ['a name with a plus', 'quasimodo.', 'quasimodo+'],
    ['a name with a space', 'quasimodo.', 'quasimodo '],
    ['a signature that is not base64', 'NnugSz', 'Nnug*z'],
    ['a signature that is cut off', /NnugSz.*=/, 'NnugSw=='],
    ['no empty line before its signatures', 'sera.\n\n', 'sera.\n'],
    ['no last line feed', /\n$/, ''],
    ['a control character', 'sole:', 'sole:\u0007'],
  ])('has an example that is refused with %s', (_, what, by) => {
    // Its text has an empty line too: then that one parts text and signatures.
    expect(codeOf(() => parseNote(change(example, what, by)))).toBe('bad-message');
  });

  it.each([
    ['signed-note', 'signed-note-key.txt', 'signed-note-by-key.txt'],
    ['Go’s sumdb/note', 'go-note-key.txt', 'go-note.txt'],
  ])('has a key and a note by it, in %s', async (_, keyFile, noteFile) => {
    const [vkey, text] = [specKey(keyFile), specText(noteFile)];
    const [key, note] = [parseVerifierKey(vkey), parseNote(text)];
    expect(formatVerifierKey(key)).toBe(vkey);
    expect(formatNote(note)).toBe(text);
    expect(await isSignedBy(note, key, verify)).toBe(true);
    // One field wrong each.
    const signature = note.signatures[0]!;
    const flipped = signature.signature.map((byte, i) => (i === 40 ? byte ^ 1 : byte));
    const wrong = { ...note, signatures: [{ ...signature, signature: flipped }] };
    expect(await codeOfAsync(isSignedBy(wrong, key, verify))).toBe('bad-signature');
    expect(await codeOfAsync(isSignedBy({ ...note, text: `${note.text}\n` }, key, verify))).toBe('bad-signature');
    const unknown = [
      { ...signature, name: 'other' },
      { ...signature, keyId: fromHex('00000000') },
    ];
    expect(await isSignedBy({ ...note, signatures: unknown }, key, verify)).toBe(false);
    for (const [what, by] of [
      [/^[^+]*/, 'other'],
      [/\+.{8}\+/, '+00000000+'],
      [/.{4}$/, ''],
      [/\+A/, '+B'],
    ] as const) {
      expect(codeOf(() => parseVerifierKey(change(vkey, what, by)))).toBe('bad-message');
    }
  });
});

describe('tlog-checkpoint', () => {
  const example = specText('tlog-checkpoint.txt');
  const { text } = parseNote(example);

  it('has an example that is read and written the same', () => {
    const { origin, size, root } = parseCheckpoint(text);
    expect([origin, size]).toEqual(['example.com/behind-the-sofa', 20_852_163]);
    expect(checkpointText({ origin, size, root })).toBe(text);
    expect(formatNote(parseNote(example))).toBe(example);
  });

  it.each([
    ['no origin', 'example.com/behind-the-sofa', ''],
    ['a size that begins with zero', '20852163', '020852163'],
    ['a size that is none', '20852163', '2085216x'],
    ['no size', '20852163\n', ''],
    ['a root that is too short', 'CsUY', ''],
    ['a root with spare bits', '2I=', '2J='],
    ['an empty line more', 'q2I=\n', 'q2I=\n\n'],
  ])('has an example that is refused with %s', (_, what, by) => {
    expect(codeOf(() => parseCheckpoint(change(text, what, by)))).toBe('bad-message');
  });
});

describe('tlog-cosignature', () => {
  const example = specText('tlog-cosignature.txt');
  const note = parseNote(example);
  const line = note.signatures[1]!;

  it('has an example whose message is the one it spells out', () => {
    expect(formatNote(note)).toBe(example);
    expect(line.signature).toHaveLength(72);
    const seconds = Number(new DataView(line.signature.buffer).getBigUint64(line.signature.byteOffset));
    const message = cosignedBytes(note.text, seconds);
    expect(new TextDecoder().decode(message)).toBe(specText('tlog-cosignature-message.txt'));
  });

  it('has an example by a key that is not published, so that it says nothing', async () => {
    const policy = parsePolicy(`witness w ${formatVerifierKey({ ...anyWitness, name: line.name })}\nquorum none\n`);
    expect((await evaluatePolicy(policy, note, verify)).cosigners).toEqual([]);
  });

  it('is refused where the example’s signature is said to be by a known key', async () => {
    const key = { ...anyWitness, name: line.name };
    const claimed = { ...line, keyId: keyIdOf(key) };
    expect(await codeOfAsync(cosignedAt({ ...note, signatures: [claimed] }, key, verify))).toBe('bad-signature');
  });
  const anyWitness = { name: '', type: 4, publicKey: parseVerifierKey(specKey('signed-note-key.txt')).publicKey };
});

describe('tlog-witness', () => {
  const response = specText('tlog-witness-response.txt');

  it('has an answer whose lines are read and written the same', () => {
    const lines = response.trimEnd().split('\n').map(parseSignature);
    expect(lines.map(({ name }) => name)).toEqual(['witness.example/w1', 'witness.example/w1', 'witness.example/w2']);
    expect(lines.every(({ signature }) => signature.length === 72)).toBe(true);
    expect(lines.map(formatSignature).join('')).toBe(response);
  });

  it.each([
    ['another dash', '—', '-'],
    ['no name', 'witness.example/w1 ', ' '],
    ['a signature that is not base64', 'CMp+', 'CM*+'],
  ])('has an answer that is refused with %s', (_, what, by) => {
    expect(codeOf(() => parseSignature(change(response.split('\n')[0]!, what, by)))).toBe('bad-message');
  });

  it('has a request that is read and written the same', () => {
    const example = specText('tlog-witness-request.txt');
    const { oldSize, proof, note } = parseAddCheckpoint(example);
    expect(formatAddCheckpoint(oldSize, proof, formatNote(note))).toBe(example);
  });
});

describe('tlog-tiles', () => {
  const { paths, trees } = specJson('tlog-tiles.json') as {
    paths: { index: number; path: string }[];
    trees: { size: number; full: Record<string, number>; partial: Record<string, number> }[];
  };

  it('spells the index of its example', () => {
    for (const { index, path } of paths) {
      expect(tilePath({ level: 0, index, width: TILE_WIDTH })).toBe(`tile/0/${path}`);
      expect(parseTilePath(`tile/0/${path}`)).toEqual({ level: 0, index, width: TILE_WIDTH });
      for (const wrong of [path.replace('x', ''), path.replace('/067', '/67'), path.replace('/067', '/x067')]) {
        expect(parseTilePath(`tile/0/${wrong}`)).toBeNull();
      }
    }
  });

  it('has trees of so many full tiles and so wide partial ones', () => {
    for (const { size, full, partial } of trees) {
      for (let level = 0; level < 5; level++) {
        const [whole, width] = [full[level] ?? 0, partial[level] ?? 0];
        expect(hashesAtLevel(size, level)).toBe(whole * TILE_WIDTH + width);
        if (whole > 0) expect(widthAt(level, whole - 1, size)).toBe(TILE_WIDTH);
        expect([widthAt(level, whole, size), widthAt(level, whole + 1, size)]).toEqual([width, 0]);
      }
    }
  });
});

describe('tlog-proof', () => {
  const example = specText('tlog-proof.txt');

  it('has an example that is read and written the same', () => {
    const proof = parseTlogProof(example);
    expect(proof.index).toBe(73894);
    expect(new TextDecoder().decode(proof.extra!)).toContain('age-v1.2.1-darwin-arm64.tar.gz');
    expect(proof.hashes).toHaveLength(5);
    expect(formatTlogProof(proof)).toBe(example);
  });

  it('has an example whose checkpoint is refused as it stands there, with its signatures cut short', () => {
    const { checkpoint } = parseTlogProof(example);
    expect(checkpoint.startsWith('example.com/fancylog\n109482\n')).toBe(true);
    expect(codeOf(() => parseNote(checkpoint))).toBe('bad-message');
  });

  it.each([
    ['another name', '@v1', '@v2'],
    ['extra data that is not base64', 'extra YWdl', 'extra YW*l'],
    ['extra data after its index', /(extra .*\n)(index .*\n)/, '$2$1'],
    ['no index', 'index 73894\n', ''],
    ['an index that begins with zero', '73894', '073894'],
    ['an index that is none', '73894', '-73894'],
    ['a hash that is too short', 'gSKy', ''],
    ['a hash with spare bits', 'dPlQ=', 'dPlR='],
    ['a line that is no hash', 'gSKy', 'hash gSKy'],
  ])('has an example that is refused with %s', (_, what, by) => {
    expect(codeOf(() => parseTlogProof(change(example, what, by)))).toBe('bad-message');
  });
});

describe('RFC 6962', () => {
  const { entries, roots } = specJson('rfc6962-trees.json') as { entries: string[]; roots: string[] };
  const leaves = entries.map((entry) => fromHex(entry));
  const read = treeOf(leaves);

  it('has the roots that implementations share', () => {
    expect(roots).toHaveLength(entries.length + 1);
    roots.forEach((root, size) => expect(toHex(treeRoot(size, read))).toBe(root));
    expect(toHex(leafHash(utf8('')))).toBe(roots[1]);
  });

  it('proves each entry and each smaller tree to these roots, and no other entry or root', () => {
    for (let size = 1; size < roots.length; size++) {
      const root = fromHex(roots[size]!);
      const other = fromHex(roots[size - 1]!);
      leaves.slice(0, size).forEach((leaf, index) => {
        const proof = inclusionProof(index, size, read);
        expect(isIncluded(leafHash(leaf), index, size, proof, root)).toBe(true);
        expect(isIncluded(leafHash(utf8('other')), index, size, proof, root)).toBe(false);
        expect(isIncluded(leafHash(leaf), index, size, proof, other)).toBe(false);
      });
      for (let old = 0; old < size; old++) {
        const proof = consistencyProof(old, size, read);
        expect(isConsistent([old, fromHex(roots[old]!)], [size, root], proof)).toBe(true);
        expect(isConsistent([old, root], [size, root], proof)).toBe(false);
      }
    }
  });
});
