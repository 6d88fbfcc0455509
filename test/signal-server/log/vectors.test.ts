import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex, utf8 } from '#shared/bytes.ts';
import { digestOf, type Identity } from '#shared/crypto/identity.ts';
import { parseTilePath } from '#shared/log/tile-path.ts';
import { openLog, type TransparencyLog } from '../../../signal-server/log/transparency-log.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';
import { makeIdentities } from '../../support/test-identity.ts';
import vector from '../../vectors/log.json' with { type: 'json' };

let folder: string;
let log: TransparencyLog;
beforeAll(async () => {
  folder = await newFolder();
  const [identity] = (await makeIdentities(1)) as [Identity];
  log = await openLog({ folder, origin: 'log.example/chorus', identity, leastSize: 0 });
  await Promise.all(Array.from({ length: vector.count }, (_, i) => log.append(utf8(`entry ${i}`))));
});
afterAll(async () => {
  await log.close();
  await removeFolder(folder);
});

describe('a log of the entries of the vectors', () => {
  it('serves the tiles that were computed without Chorus', async () => {
    for (const [path, digest] of Object.entries(vector.tiles)) {
      const bytes = await log.tile(parseTilePath(path)!);
      expect(bytes && digestOf(bytes)).toBe(digest);
    }
  });

  it('has the roots that were', async () => {
    for (const [size, root] of Object.entries(vector.roots)) expect(toHex(await log.rootAt(Number(size)))).toBe(root);
  });

  it('makes the proofs that were', async () => {
    for (const { index, size, hashes } of vector.inclusion) {
      expect((await log.inclusion(index, size)).map(toHex).join(' ')).toBe(hashes);
    }
    for (const { old, new: size, hashes } of vector.consistency) {
      expect((await log.consistency(old, size)).map(toHex).join(' ')).toBe(hashes);
    }
  });
});
