import { describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { checkpointText, parseCheckpoint } from '#shared/log/checkpoint.ts';
import { cosignature, cosignedAt, cosignedBytes } from '#shared/log/cosignature.ts';
import { leafHash } from '#shared/log/merkle.ts';
import {
  COSIGNATURE,
  ED25519,
  formatNote,
  formatVerifierKey,
  isSignedBy,
  keyIdOf,
  parseNote,
  parseVerifierKey,
  type NoteKey,
} from '#shared/log/signed-note.ts';
import { decodeEntries, encodeEntries, parseTilePath, tilePath } from '#shared/log/tile-path.ts';
import { formatTlogProof, parseTlogProof } from '#shared/log/tlog-proof.ts';
import { codeOf, codeOfAsync } from '../../support/code-of.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const [log, witness, stranger] = (await makeIdentities(3)) as [Signer, Signer, Signer];
type Signer = Awaited<ReturnType<typeof makeIdentities>>[number];

const logKey: NoteKey = { name: 'log.example/chorus', type: ED25519, publicKey: log.publicKey };
const witnessKey: NoteKey = { name: 'witness.example/w1', type: COSIGNATURE, publicKey: witness.publicKey };
const root = leafHash(utf8('root'));
const text = checkpointText({ origin: logKey.name, size: 20852163, root });

async function signedBy(signer: Signer, key: NoteKey) {
  return { name: key.name, keyId: keyIdOf(key), signature: await signer.sign(utf8(text)) };
}

async function cosignedBy(signer: Signer, timeSeconds: number) {
  return cosignature(witnessKey, timeSeconds, await signer.sign(cosignedBytes(text, timeSeconds)));
}

describe('a signed note', () => {
  it('comes back as it was written, whatever empty lines its text has', async () => {
    const note = { text: 'one\n\ntwo\n', signatures: [await signedBy(log, logKey), await cosignedBy(witness, 5)] };
    expect(parseNote(formatNote(note))).toEqual(note);
  });

  it('is signed by a key that signed it, and by no other', async () => {
    const note = { text, signatures: [await signedBy(log, logKey)] };
    expect(await isSignedBy(note, logKey, verify)).toBe(true);
    expect(await isSignedBy(note, { ...logKey, name: 'other.example' }, verify)).toBe(false);
    expect(await isSignedBy(note, { ...logKey, publicKey: stranger.publicKey }, verify)).toBe(false);
  });

  it('is refused whole where a known key’s signature is wrong', async () => {
    const forged = { text, signatures: [await signedBy(stranger, logKey)] };
    expect(await codeOfAsync(isSignedBy(forged, logKey, verify))).toBe('bad-signature');
    const changed = { text: text.replace('20852163', '20852164'), signatures: [await signedBy(log, logKey)] };
    expect(await codeOfAsync(isSignedBy(changed, logKey, verify))).toBe('bad-signature');
  });

  it.each([
    ['nothing', ''],
    ['no signature', 'text\n'],
    ['no last line feed', 'text\n\n— a AAAAAAA='],
    ['a control character', 'te\txt\n\n— a AAAAAAA=\n'],
    ['a carriage return', 'text\r\n\n— a AAAAAAA=\n'],
    ['half a character', 'text\ud800\n\n— a AAAAAAA=\n'],
    ['another dash', 'text\n\n- a AAAAAAA=\n'],
    ['a name with a plus', 'text\n\n— a+b AAAAAAA=\n'],
    ['no name', 'text\n\n—  AAAAAAA=\n'],
    ['a signature that is all key id', 'text\n\n— a AAAAAA==\n'],
    ['base64 with spare bits', 'text\n\n— a AAAAAAB=\n'],
    ['a text that does not end its line', '\n\n— a AAAAAAA=\n'],
  ])('is refused with %s', (_, note) => {
    expect(codeOf(() => parseNote(note))).toBe('bad-message');
  });

  it('is refused if it is too long', () => {
    expect(codeOf(() => parseNote('x'.repeat(70_000)))).toBe('too-large');
  });
});

describe('a verifier key', () => {
  it('comes back as it was written', () => {
    for (const key of [logKey, witnessKey]) expect(parseVerifierKey(formatVerifierKey(key))).toEqual(key);
  });

  it('is refused with one thing wrong', () => {
    const line = formatVerifierKey(logKey);
    const [name, id, bytes] = line.split('+', 2).concat(line.split('+').slice(2).join('+')) as [string, string, string];
    for (const wrong of [
      `${name}x+${id}+${bytes}`,
      `${name}+${id.replace(/./, (digit) => (digit === '0' ? '1' : '0'))}+${bytes}`,
      `${name}+${id}+${bytes.slice(0, -4)}`,
      `+${id}+${bytes}`,
      formatVerifierKey({ ...logKey, type: 2 }),
    ]) {
      expect(codeOf(() => parseVerifierKey(wrong))).toBe('bad-message');
    }
  });
});

describe('a checkpoint', () => {
  it('comes back as it was written, also with extension lines', () => {
    expect(parseCheckpoint(text)).toEqual({ origin: logKey.name, size: 20852163, root });
    expect(parseCheckpoint(`${text}more\n`)).toEqual({ origin: logKey.name, size: 20852163, root });
  });

  it.each([
    ['no origin', text.replace(logKey.name, '')],
    ['a size that begins with zero', text.replace('2085', '02085')],
    ['a negative size', text.replace('2085', '-2085')],
    ['a size beyond what numbers hold', text.replace('20852163', '9007199254740993')],
    ['a short root', text.replace(/.{4}\n$/, '\n')],
    ['no last line feed', text.slice(0, -1)],
    ['an empty extension line', `${text}\nmore\n`],
  ])('is refused with %s', (_, wrong) => {
    expect(codeOf(() => parseCheckpoint(wrong))).toBe('bad-message');
  });
});

describe('a cosignature', () => {
  it('tells when its witness saw the checkpoint', async () => {
    const note = { text, signatures: [await signedBy(log, logKey), await cosignedBy(witness, 1_700_000_000)] };
    expect(await cosignedAt(note, witnessKey, verify)).toBe(1_700_000_000);
    expect(await cosignedAt({ text, signatures: [] }, witnessKey, verify)).toBeNull();
  });

  it('is refused with another time, another signer or another length', async () => {
    const good = await cosignedBy(witness, 1_700_000_000);
    const later = good.signature.slice();
    later[7]! ^= 1;
    for (const signature of [later, (await cosignedBy(stranger, 5)).signature, good.signature.slice(0, -1)]) {
      const note = { text, signatures: [{ ...good, signature }] };
      expect(await codeOfAsync(cosignedAt(note, witnessKey, verify))).toBe('bad-signature');
    }
  });
});

describe('a tile’s path', () => {
  it.each([
    [{ level: 0, index: 0, width: 256 }, 'tile/0/000'],
    [{ level: 1, index: 1234067, width: 256 }, 'tile/1/x001/x234/067'],
    [{ level: 0, index: 273, width: 112 }, 'tile/0/273.p/112'],
    [{ level: 'entries', index: 1000, width: 1 }, 'tile/entries/x001/000.p/1'],
  ] as const)('of %o is %s', (tile, path) => {
    expect(tilePath(tile)).toBe(path);
    expect(parseTilePath(path)).toEqual(tile);
  });

  it.each([
    'tile/0/0',
    'tile/0/x000/001',
    'tile/00/000',
    'tile/64/000',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0/000.p/01',
    'tile/0/../000',
    'tile/data/000',
    '/tile/0/000',
  ])('is not %s', (path) => {
    expect(parseTilePath(path)).toBeNull();
  });
});

describe('a bundle of entries', () => {
  it('comes back as it was written', () => {
    const entries = [utf8('one'), new Uint8Array(0), new Uint8Array(65_535).fill(7)];
    expect(decodeEntries(encodeEntries(entries))).toEqual(entries);
  });

  it('is refused where it is cut off, too full or an entry too long', () => {
    const whole = encodeEntries([utf8('one')]);
    expect(codeOf(() => decodeEntries(whole.slice(0, -1)))).toBe('bad-message');
    expect(codeOf(() => decodeEntries(whole.slice(0, 1)))).toBe('bad-message');
    expect(codeOf(() => decodeEntries(new Uint8Array(2 * 257)))).toBe('bad-message');
    expect(codeOf(() => encodeEntries([new Uint8Array(65_536)]))).toBe('too-large');
  });
});

describe('a log proof', () => {
  const proof = {
    extra: utf8('extra'),
    index: 73894,
    hashes: [root, leafHash(utf8('x'))],
    checkpoint: `${text}\n— a AAAAAAA=\n`,
  };

  it('comes back as it was written, with and without its extra data', () => {
    for (const extra of [proof.extra, null]) {
      expect(parseTlogProof(formatTlogProof({ ...proof, extra }))).toEqual({ ...proof, extra });
    }
    expect(parseTlogProof(formatTlogProof({ ...proof, hashes: [], index: 0 }))).toEqual({
      ...proof,
      hashes: [],
      index: 0,
    });
  });

  it.each([
    ['another name', 'proof@v1', 'proof@v2'],
    ['no index', 'index 73894\n', ''],
    ['an index that begins with zero', 'index 73894', 'index 073894'],
    ['an index that is none', 'index 73894', 'index -1'],
    ['extra data that is not base64', /extra \S+/, 'extra *'],
    ['a short hash', /\n\S{43}=\n/, '\nAAAA\n'],
  ])('is refused with %s', (_, what, by) => {
    expect(codeOf(() => parseTlogProof(formatTlogProof(proof).replace(what, by)))).toBe('bad-message');
  });
});
