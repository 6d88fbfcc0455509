import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AcknowledgedSizes } from '../../signal-server/store/acknowledged-sizes.ts';
import { overwrite, type OpenedStore } from './opened-store.ts';

/** The contract of every AcknowledgedSizes. */
export function describeAcknowledgedSizes(name: string, open: () => Promise<OpenedStore<AcknowledgedSizes>>): void {
  describe(`sizes acknowledged, kept by ${name}`, () => {
    let opened: OpenedStore<AcknowledgedSizes>;
    let store: AcknowledgedSizes;
    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(() => opened.release());

    it('are those of each log, also after a restart', async () => {
      expect([store.read('a.example'), store.largest()]).toEqual([0, null]);
      await store.write('a.example', 3);
      await store.write('b.example', 7);
      store = await opened.reopen();
      expect(['a.example', 'b.example', 'c.example'].map((origin) => store.read(origin))).toEqual([3, 7, 0]);
      expect(store.largest()).toEqual({ origin: 'b.example', size: 7 });
    });

    it('never become smaller', async () => {
      await Promise.all([store.write('a.example', 5), store.write('a.example', 4)]);
      expect(store.read('a.example')).toBe(5);
      await store.write('a.example', 6);
      expect(store.read('a.example')).toBe(6);
    });

    it('are none for a log without entries', async () => {
      await store.write('a.example', 0);
      expect([store.read('a.example'), store.largest()]).toEqual([0, null]);
    });

    it('are read before they are confirmed, and not changed through what was handed out', async () => {
      const written = store.write('a.example', 5);
      overwrite(store.largest()!, { size: 99 });
      expect([store.read('a.example'), store.largest()?.size]).toEqual([5, 5]);
      await written;
    });
  });
}
