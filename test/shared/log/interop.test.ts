import { describe, expect, it } from 'vitest';
import { fromHex, toHex, utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import { leafHash } from '#shared/log/merkle.ts';
import { evaluatePolicy, parsePolicy } from '#shared/log/policy.ts';
import {
  formatNote,
  formatVerifierKey,
  isSignedBy,
  keyIdOf,
  parseNote,
  parseVerifierKey,
} from '#shared/log/signed-note.ts';
import { hashesAtLevel } from '#shared/log/tile-path.ts';
import { widthAt } from '#shared/log/tile-hashes.ts';
import { formatTlogProof, parseTlogProof } from '#shared/log/tlog-proof.ts';
import { refusalOfGrowth, refusalOfSender, EMPTY_HEAD, parseAddCheckpoint } from '#shared/log/witness.ts';

/** A log of another implementation, which its authors publish so that witnesses can be tested with it. */
const foreign = {
  vkey: 'geomys.org/witness/test-log+c0787ff4+AeMb5VOzy60PTGdGmLPxOKGAa0jNyDGsgv2rnprGju1t',
  note: `geomys.org/witness/test-log
1
BCml5C32yqMcl0gjTrcSOeNVx59oPnSdytBzDGBO5k0=

— geomys.org/witness/test-log wHh/9BPsoBNr2x0Ol3qPBYasIN0HI2ZiBg5ac0v3LQq/7F+YO7U4oWbDeJn1VaWVrlbSEM30Gr7WWYQjj2SBxRoJ/Ao=
`,
};

describe('a log of another implementation', () => {
  const key = parseVerifierKey(foreign.vkey);

  it('has a key that is read and written the same', () => {
    expect(formatVerifierKey(key)).toBe(foreign.vkey);
    expect(toHex(keyIdOf(key))).toBe('c0787ff4');
  });

  it('has a checkpoint whose signature holds, and does not with any character changed', async () => {
    const note = parseNote(foreign.note);
    expect(formatNote(note)).toBe(foreign.note);
    expect(parseCheckpoint(note.text)).toMatchObject({ origin: key.name, size: 1 });
    expect(await isSignedBy(note, key, verify)).toBe(true);
    const body = note.text;
    for (let i = key.name.length; i < body.length; i++) {
      const text = body.slice(0, i) + (body[i] === 'A' ? 'B' : 'A') + body.slice(i + 1);
      await expect(isSignedBy({ ...note, text }, key, verify)).rejects.toThrow('is not over this text');
    }
  });

  it('is accepted by a policy, and by a witness', async () => {
    const policy = parsePolicy(`log ${foreign.vkey} https://geomys.org/witness/test-log\nquorum none\n`);
    expect((await evaluatePolicy(policy, parseNote(foreign.note), verify)).isSatisfied).toBe(true);
    const request = parseAddCheckpoint(`old 0\n\n${foreign.note}`);
    expect(await refusalOfSender(request, () => [key], verify)).toBeNull();
    expect(refusalOfGrowth(EMPTY_HEAD, request)).toBeNull();
  });
});

describe('the examples of the specifications', () => {
  it('of a checkpoint with a cosignature', () => {
    const example = `example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
`;
    const note = parseNote(example);
    expect(formatNote(note)).toBe(example);
    const { signature } = note.signatures[1]!;
    expect(signature).toHaveLength(72);
    // The time that the specification spells out for the signed message.
    expect(Number(new DataView(signature.buffer).getBigUint64(signature.byteOffset))).toBe(1_679_315_147);
  });

  it.each([
    [
      'signed-note',
      'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
      'This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n',
    ],
    [
      'Go’s sumdb/note',
      'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
      'If you think cryptography is the answer to your problem,\nthen you don’t know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n'.replace(
        '’',
        "'",
      ),
    ],
  ])('of a signed note and its key, in %s', async (_, vkey, text) => {
    const [key, note] = [parseVerifierKey(vkey), parseNote(text)];
    expect(formatVerifierKey(key)).toBe(vkey);
    expect(formatNote(note)).toBe(text);
    expect(await isSignedBy(note, key, verify)).toBe(true);
  });

  it('of the tiles of 70,000 and of 256 entries', () => {
    expect(hashesAtLevel(70_000, 0)).toBe(273 * 256 + 112);
    expect([widthAt(0, 272, 70_000), widthAt(0, 273, 70_000)]).toEqual([256, 112]);
    expect([widthAt(1, 0, 70_000), widthAt(1, 1, 70_000), widthAt(2, 0, 70_000)]).toEqual([256, 17, 1]);
    expect([widthAt(0, 0, 256), widthAt(1, 0, 256), widthAt(2, 0, 256)]).toEqual([256, 1, 0]);
  });

  it('of a proof with extra data', () => {
    const example = `c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ=
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

${foreign.note}`.replace('kYXJ3aW4tYXJ=', '');
    const proof = parseTlogProof(example);
    expect(proof).toMatchObject({ index: 73894, checkpoint: foreign.note });
    expect(new TextDecoder().decode(proof.extra!)).toBe('age-v1.2.1-darwin-arm64.tar.gz');
    expect(proof.hashes).toHaveLength(5);
    expect(formatTlogProof(proof)).toBe(example);
  });

  it('of RFC 6962: the hash of the empty entry', () => {
    const empty = '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d';
    expect(leafHash(utf8(''))).toEqual(fromHex(empty));
  });
});
