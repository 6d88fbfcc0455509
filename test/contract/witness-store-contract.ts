import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COSIGNATURE, ED25519, type NoteKey } from '#shared/log/signed-note.ts';
import type { WitnessStore } from '../../signal-server/store/witness-store.ts';
import type { OpenedStore } from './opened-store.ts';

const keyOf = (name: string, byte: number, type = ED25519): NoteKey => ({
  ...{ name, type, publicKey: new Uint8Array(32).fill(byte) },
});
const origin = 'a.example';

/** The contract of every WitnessStore. */
export function describeWitnessStore(name: string, open: () => Promise<OpenedStore<WitnessStore>>): void {
  describe(`what a witness must not forget, kept by ${name}`, () => {
    let opened: OpenedStore<WitnessStore>;
    let store: WitnessStore;
    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(() => opened.release());

    it('is its name, chosen once', async () => {
      expect(store.name).toBeNull();
      expect(await Promise.all([store.nameItself('one.example'), store.nameItself('two.example')])).toEqual([
        true,
        false,
      ]);
      store = await opened.reopen();
      expect(store.name).toBe('one.example');
      expect(await store.nameItself('two.example')).toBe(false);
      expect(store.name).toBe('one.example');
    });

    it('is one key of each log, the first that was seen', async () => {
      expect(await store.watch(keyOf('b.example', 2))).toBe(true);
      expect(await store.watch(keyOf('a.example', 1))).toBe(true);
      expect(await store.watch(keyOf('a.example', 3))).toBe(false);
      expect(await store.watch(keyOf('a.example', 1, COSIGNATURE))).toBe(false);
      store = await opened.reopen();
      expect(store.logs).toEqual([keyOf('a.example', 1), keyOf('b.example', 2)]);
    });

    it('is the newest checkpoint, which goes on from the one that is known and from no other', async () => {
      expect(await store.advance(origin, 'none', 'first')).toBe(false);
      expect(await store.advance(origin, null, 'first')).toBe(true);
      expect(await store.advance(origin, null, 'other')).toBe(false);
      expect(await store.advance(origin, 'first', 'second')).toBe(true);
      store = await opened.reopen();
      expect([store.note(origin), store.note('b.example')]).toEqual(['second', null]);
      expect(await store.advance(origin, 'first', 'fork')).toBe(false);
      expect(store.note(origin)).toBe('second');
    });

    it('lets one of many that come together advance', async () => {
      const notes = Array.from({ length: 10 }, (_, i) => `note ${i}`);
      const advanced = await Promise.all(notes.map((note) => store.advance(origin, null, note)));
      expect(advanced.filter(Boolean)).toHaveLength(1);
      expect(store.note(origin)).toBe(notes[advanced.indexOf(true)]);
    });

    it('is not changed through what was handed in or out', async () => {
      const key = keyOf(origin, 1);
      await store.watch(key);
      key.publicKey.fill(9);
      store.logs[0]!.publicKey.fill(9);
      expect(store.logs).toEqual([keyOf(origin, 1)]);
    });
  });
}
