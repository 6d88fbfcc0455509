import { cp, mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { ChorusError } from '#shared/errors.ts';
import { isConsistent, isIncluded, leafHash } from '#shared/log/merkle.ts';
import { openLog, type LogOptions } from '../../../signal-server/log/transparency-log.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const [identity, stranger] = (await makeIdentities(2)) as [LogOptions['identity'], LogOptions['identity']];
const folders: string[] = [];

async function newOptions(): Promise<LogOptions> {
  const folder = await mkdtemp(join(tmpdir(), 'chorus-log-'));
  folders.push(folder);
  return { folder, origin: 'log.example/chorus', identity, leastSize: 0 };
}

const entryOf = (i: number) => utf8(`entry ${i}`);

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

describe('the transparency log', () => {
  it('gives every entry its index, and proves it in this head and later ones', async () => {
    const options = await newOptions();
    const log = await openLog(options);
    const heads = [log.head];
    for (const count of [1, 2, 253, 1, 300, 513]) {
      const first = log.head.size;
      const indices = await Promise.all(Array.from({ length: count }, (_, i) => log.append(entryOf(first + i))));
      expect(indices).toEqual(Array.from({ length: count }, (_, i) => first + i));
      heads.push(log.head);
    }
    for (const newer of heads) {
      for (const older of heads.filter(({ size }) => size <= newer.size)) {
        const proof = await log.consistency(older.size, newer.size);
        expect(isConsistent([older.size, older.root], [newer.size, newer.root], proof)).toBe(true);
      }
      for (const index of [0, 1, 255, 256, 557, 1069].filter((index) => index < newer.size)) {
        const proof = await log.inclusion(index, newer.size);
        expect(isIncluded(leafHash(entryOf(index)), index, newer.size, proof, newer.root)).toBe(true);
      }
    }
    expect(await log.entry(256)).toEqual(entryOf(256));
    await log.close();
  });

  it('goes on where it was after it was closed', async () => {
    const options = await newOptions();
    const first = await openLog(options);
    await Promise.all(Array.from({ length: 700 }, (_, i) => first.append(entryOf(i))));
    const before = first.head;
    await first.close();
    const second = await openLog({ ...options, leastSize: before.size });
    expect(second.head).toEqual(before);
    expect(await second.append(entryOf(700))).toBe(700);
    const proof = await second.consistency(before.size, 701);
    expect(isConsistent([before.size, before.root], [701, second.head.root], proof)).toBe(true);
    await second.close();
  });

  it('shares a batch between appends that come together', async () => {
    const log = await openLog(await newOptions());
    const notes = new Set<string>();
    const watched = Array.from({ length: 2_000 }, (_, i) =>
      log.append(entryOf(i)).then(() => notes.add(log.head.note)),
    );
    await Promise.all(watched);
    expect(notes.size).toBeLessThanOrEqual(2);
    await log.close();
  });

  it('overwrites what a crash left beyond its checkpoint', async () => {
    const options = await newOptions();
    const log = await openLog(options);
    await log.append(entryOf(0));
    const checkpoint = await readFile(join(options.folder, 'checkpoint'));
    await log.append(utf8('never acknowledged'));
    await log.close();
    await writeFile(join(options.folder, 'checkpoint'), checkpoint);
    const again = await openLog({ ...options, leastSize: 1 });
    expect(await again.append(entryOf(1))).toBe(1);
    expect(await again.entry(1)).toEqual(entryOf(1));
    const proof = await again.inclusion(1, 2);
    expect(isIncluded(leafHash(entryOf(1)), 1, 2, proof, again.head.root)).toBe(true);
    await again.close();
  });

  it('removes what a killed write left, and no other file', async () => {
    const options = await newOptions();
    const log = await openLog(options);
    for (let i = 0; i < 2; i++) await log.append(entryOf(i));
    await log.close();
    const id = '01234567-89ab-4def-8123-456789abcdef';
    const left = [`.checkpoint.${id}`, `tile/0/.000.${id}`, `tile/0/000.p/.2.${id}`, `tile/entries/000.p/.2.${id}`];
    const others = [`.notes.${id}`, `checkpoint.${id}`, '.checkpoint.old', `tile/0/.000.${id}.txt`];
    for (const path of [...left, ...others]) await writeFile(join(options.folder, path), 'x');
    const before = await readdir(options.folder, { recursive: true });
    expect((await openLog({ ...options, leastSize: 2 })).head.size).toBe(2);
    const after = await readdir(options.folder, { recursive: true });
    expect(after.sort()).toEqual(before.filter((path) => !left.includes(path)).sort());
  });

  it('keeps no unfinished tiles once they are full, and still shows them', async () => {
    const options = await newOptions();
    const log = await openLog(options);
    for (let i = 0; i < 5; i++) await log.append(entryOf(i));
    const before = { level: 0, index: 0, width: 3 };
    const shown = [await log.tile(before), await log.tile({ ...before, level: 'entries' })];
    await Promise.all(Array.from({ length: 600 }, (_, i) => log.append(entryOf(5 + i))));
    expect([await log.tile(before), await log.tile({ ...before, level: 'entries' })]).toEqual(shown);
    expect(await readdir(join(options.folder, 'tile/0'))).toEqual(['000', '001', '002.p']);
    expect(await readdir(join(options.folder, 'tile/entries'))).toEqual(['000', '001', '002.p']);
    expect(await log.tile({ level: 0, index: 2, width: 94 })).toBeNull();
    expect(await log.tile({ level: 1, index: 0, width: 3 })).toBeNull();
    expect(await log.tile({ level: 9, index: 0, width: 1 })).toBeNull();
    await log.close();
  });

  it.each([
    ['its checkpoint is gone', (folder: string) => rm(join(folder, 'checkpoint'))],
    ['its checkpoint is empty', (folder: string) => writeFile(join(folder, 'checkpoint'), '')],
    ['a hash has changed', (folder: string) => flip(join(folder, 'tile/0/000'))],
    ['a tile is gone', (folder: string) => rm(join(folder, 'tile/0/001.p/44'))],
    ['a tile is cut off', (folder: string) => writeFile(join(folder, 'tile/0/000'), 'short')],
    ['a bundle is cut off', (folder: string) => truncate(join(folder, 'tile/entries/000'), 100)],
    ['an entry has changed', (folder: string) => flip(join(folder, 'tile/entries/001.p/44'))],
    ['the checkpoint has changed', (folder: string) => flip(join(folder, 'checkpoint'))],
  ])('does not start where %s', async (_, damage) => {
    const options = await newOptions();
    const log = await openLog(options);
    await Promise.all(Array.from({ length: 300 }, (_, i) => log.append(entryOf(i))));
    await log.close();
    await damage(options.folder);
    const opened = openLog({ ...options, leastSize: 300 });
    await expect(opened).rejects.toThrow('the transparency log is in doubt');
    expect(await codeOfAsync(opened)).toBe('internal');
  });

  it('does not start with an older copy, another key or another origin', async () => {
    const options = await newOptions();
    const log = await openLog(options);
    await log.append(entryOf(0));
    const copy = `${options.folder}-copy`;
    folders.push(copy);
    await cp(options.folder, copy, { recursive: true });
    await log.append(entryOf(1));
    await log.close();
    expect(await codeOfAsync(openLog({ ...options, folder: copy, leastSize: 2 }))).toBe('internal');
    expect(await codeOfAsync(openLog({ ...options, identity: stranger }))).toBe('internal');
    expect(await codeOfAsync(openLog({ ...options, origin: 'other.example' }))).toBe('internal');
  });

  it('takes no more once a write has failed', async () => {
    const options = await newOptions();
    const log = await openLog(options);
    await rm(options.folder, { recursive: true });
    await writeFile(options.folder, 'in the way');
    expect(await codeOfAsync(log.append(entryOf(0)))).toBe('internal');
    expect(await codeOfAsync(log.append(entryOf(1)))).toBe('internal');
  });

  describe('after a write that failed', () => {
    /** A log of 255 entries whose next batch, `lost`, filled a tile and did not get its checkpoint onto the disk. */
    async function stalled(lost: Uint8Array) {
      const options = await newOptions();
      const log = await openLog(options);
      await Promise.all(Array.from({ length: 255 }, (_, i) => log.append(entryOf(i))));
      const path = join(options.folder, 'checkpoint');
      const checkpoint = await readFile(path);
      await rm(path);
      await mkdir(path);
      await expect(log.append(lost)).rejects.toThrow('it cannot be written (something else lies there)');
      return {
        ...{ options, log, checkpoint, path },
        async mend(bytes: Uint8Array) {
          await rm(path, { recursive: true });
          await writeFile(path, bytes);
        },
      };
    }

    it('takes nothing while the disk takes nothing, and goes on after that from what it acknowledged', async () => {
      const { options, log, checkpoint, mend } = await stalled(utf8('lost'));
      await expect(log.resume()).rejects.toMatchObject({ code: 'EISDIR' });
      expect(await codeOfAsync(log.append(entryOf(255)))).toBe('internal');
      await mend(checkpoint);
      await log.resume();
      expect(await Promise.all([log.append(entryOf(255)), log.append(entryOf(256))])).toEqual([255, 256]);
      await log.close();
      const again = await openLog({ ...options, leastSize: 257 });
      expect([await again.entry(255), again.head.note]).toEqual([entryOf(255), log.head.note]);
    });

    it('has the batch whose checkpoint was on the disk all the same', async () => {
      const { options, log, checkpoint, mend } = await stalled(utf8('kept'));
      const copy = (await newOptions()).folder;
      await cp(options.folder, copy, { recursive: true });
      await rm(join(copy, 'checkpoint'), { recursive: true });
      await writeFile(join(copy, 'checkpoint'), checkpoint);
      const twin = await openLog({ ...options, folder: copy });
      await twin.append(utf8('kept'));
      await twin.close();
      await mend(utf8(twin.head.note));
      await log.resume();
      expect([log.head, await log.entry(255)]).toEqual([twin.head, utf8('kept')]);
      expect(await log.append(entryOf(256))).toBe(256);
    });

    it('stays in doubt for good where something else lies there', async () => {
      const { options, log, checkpoint, mend } = await stalled(utf8('lost'));
      await mend(utf8(new TextDecoder().decode(checkpoint).replace('255', '254')));
      await expect(log.resume()).rejects.toThrow('its checkpoint is not the one that was written last');
      await mend(checkpoint);
      await writeFile(join(options.folder, 'tile/0/000.p/255'), new Uint8Array(255 * 32));
      await expect(log.resume()).rejects.toThrow('its tiles do not give the root');
    });
  });

  it('signs nothing that waits when it is halted', async () => {
    const log = await openLog(await newOptions());
    const appended = Array.from({ length: 5_000 }, (_, i) => log.append(entryOf(i)));
    await Promise.resolve();
    await Promise.resolve();
    log.halt(new ChorusError('internal', 'a fork'));
    const outcomes = await Promise.allSettled(appended);
    const refused = outcomes.filter(({ status }) => status === 'rejected').length;
    expect(refused).toBeGreaterThan(0);
    expect(log.head.size).toBe(5_000 - refused);
    await log.close();
  });

  it('refuses an entry that is too long', async () => {
    const log = await openLog(await newOptions());
    expect(await codeOfAsync(log.append(new Uint8Array(65_536)))).toBe('too-large');
    await log.close();
  });
});

async function flip(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[5]! ^= 1;
  await writeFile(path, bytes);
}
