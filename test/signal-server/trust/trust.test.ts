import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { PROBATION_CHUNKS } from '#shared/limits.ts';
import type { Lease } from '../../../signal-server/placement/leases.ts';
import type { Store } from '../../../signal-server/store/store.ts';
import { mostSpans, Trust } from '../../../signal-server/trust/trust.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { idOf, leaseOf } from '../../support/leases.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';
import { STORE_KINDS, storeOpener } from '../../support/stores.ts';

const HOUR_MS = 3_600_000;
const [primary, shadow, stranger] = [idOf('1'), idOf('2'), idOf('3')];
const [alice, bob, carol, gateway] = [idOf('a'), idOf('b'), idOf('c'), idOf('9')];
const half = PROBATION_CHUNKS / 2;

describe.each(STORE_KINDS)('trust kept by %s', (kind) => {
  let folder: string;
  let openStore: () => Promise<Store>;
  let store: Store;
  let clock: FakeClock;
  let trust: Trust;

  const open = async (): Promise<void> => {
    store = await openStore();
    trust = new Trust({ clock, store: store.trust, isOwn: (id) => id === gateway });
  };
  const leaseFor = (requester: PeerId): Lease => leaseOf({ requester, stages: [[primary, shadow]] });
  const credit = (requester: PeerId, volunteer: PeerId, spans: number): Promise<void> =>
    trust.credit(leaseFor(requester), 100, [{ volunteer, spans }]);
  const spansOf = (id: PeerId): number => trust.standing(id, 'wasm').checkedSpans;
  let sessions = 0;
  const convict = async (volunteer: PeerId): Promise<void> => {
    const session = (sessions++).toString(16).padStart(32, '0') as SessionId;
    const { model, stages } = leaseFor(alice).route;
    await trust.convict({ session, volunteer, model, range: stages[0]!.range, reason: 'it lied' }, '{}');
  };

  beforeEach(async () => {
    folder = await newFolder();
    openStore = storeOpener(kind, folder);
    clock = new FakeClock();
    await open();
  });
  afterEach(() => store.close().then(() => removeFolder(folder)));

  it('of an unknown key is none', () => {
    expect(trust.standing(stranger, 'wasm')).toEqual({ checkedSpans: 0, isNew: true, suspendedUntilMs: null });
  });

  it('need not be earned by the server’s own keys', () => {
    expect(trust.standing(gateway, 'wasm').isNew).toBe(false);
  });

  it('grows by checked spans of replicas of the session, and of nobody else', async () => {
    await credit(alice, shadow, 2);
    await credit(alice, stranger, 2);
    expect([shadow, stranger].map(spansOf)).toEqual([2, 0]);
  });

  it('is earned in one numeric class at a time', async () => {
    await credit(alice, shadow, 2);
    expect(trust.standing(shadow, 'webgpu/other').checkedSpans).toBe(0);
  });

  it('is not earned from oneself', async () => {
    await trust.credit(leaseFor(primary), 100, [{ volunteer: primary, spans: 3 }]);
    expect(spansOf(primary)).toBe(0);
  });

  it('counts a volunteer once for a session, however often it is named', async () => {
    await trust.credit(leaseFor(alice), 100, [
      { volunteer: shadow, spans: 2 },
      { volunteer: shadow, spans: 2 },
    ]);
    expect(spansOf(shadow)).toBe(2);
  });

  it('comes from one requester for at most half of the probation, over all its sessions', async () => {
    for (let i = 0; i < 5; i++) await credit(alice, shadow, 3);
    expect(trust.standing(shadow, 'wasm')).toMatchObject({ checkedSpans: half, isNew: true });
    await credit(bob, shadow, 100);
    expect(trust.standing(shadow, 'wasm')).toMatchObject({ checkedSpans: 2 * half, isNew: false });
  });

  it('comes whole from the server’s own gateway', async () => {
    await credit(gateway, shadow, PROBATION_CHUNKS);
    expect(trust.standing(shadow, 'wasm').isNew).toBe(false);
  });

  it('grows by any requester’s spans once it is earned', async () => {
    await credit(gateway, shadow, PROBATION_CHUNKS);
    await credit(alice, shadow, 20);
    expect(spansOf(shadow)).toBe(PROBATION_CHUNKS + 20);
  });

  it('never grows by more spans than the session can have had', async () => {
    const { route } = leaseFor(gateway);
    await trust.credit(leaseFor(gateway), 7, [{ volunteer: shadow, spans: 1e9 }]);
    expect(spansOf(shadow)).toBe(mostSpans(route, 7));
    expect(mostSpans({ ...route, capacity: 128 }, 7)).toBe(4 + 7 + 1);
  });

  it('survives the process', async () => {
    await credit(alice, shadow, 2);
    await convict(primary);
    await store.close();
    await open();
    expect(spansOf(shadow)).toBe(2);
    expect(trust.suspension(primary)).toMatchObject({ times: 1, reason: 'it lied' });
  });

  describe('when many complain', () => {
    beforeEach(() => credit(gateway, shadow, PROBATION_CHUNKS));

    it('is gone with the third requester in a day, and can be earned again', async () => {
      for (const requester of [alice, bob, alice, bob]) await trust.complain(requester, shadow);
      expect(trust.standing(shadow, 'wasm').isNew).toBe(false);
      await trust.complain(carol, shadow);
      expect(trust.standing(shadow, 'wasm')).toMatchObject({ checkedSpans: 0, isNew: true, suspendedUntilMs: null });
      await credit(alice, shadow, 2);
      await trust.complain(alice, shadow);
      expect(spansOf(shadow)).toBe(2);
    });

    it('stays if they are days apart', async () => {
      for (const requester of [alice, bob, carol]) {
        await trust.complain(requester, shadow);
        await clock.advance(13 * HOUR_MS);
      }
      expect(spansOf(shadow)).toBe(PROBATION_CHUNKS);
    });
  });

  describe('after a proven fault', () => {
    beforeEach(() => credit(gateway, shadow, PROBATION_CHUNKS));
    const termMs = (): number => trust.standing(shadow, 'wasm').suspendedUntilMs! - clock.wallMs();

    it('is gone, and the key is suspended for an hour', async () => {
      await convict(shadow);
      expect(trust.standing(shadow, 'wasm')).toMatchObject({ checkedSpans: 0, isNew: true });
      expect(termMs()).toBe(HOUR_MS);
      expect(trust.suspended).toBe(1);
      await clock.advance(HOUR_MS);
      expect(trust.standing(shadow, 'wasm').suspendedUntilMs).toBeNull();
      expect(trust.suspended).toBe(0);
    });

    it('suspensions double, up to thirty days', async () => {
      const terms: number[] = [];
      for (let i = 0; i < 12; i++) {
        await convict(shadow);
        terms.push(termMs() / HOUR_MS);
        await clock.advance(termMs());
      }
      expect(terms).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 720, 720]);
    });

    it('a suspension is not made longer by what came to light during it', async () => {
      await convict(shadow);
      await convict(shadow);
      expect(termMs()).toBe(HOUR_MS);
      expect(store.trust.faults(9)).toHaveLength(2);
    });
  });
});
