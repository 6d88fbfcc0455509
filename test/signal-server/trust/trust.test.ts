import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { MAX_REASON_CHARACTERS, PROBATION_CHUNKS } from '#shared/limits.ts';
import type { Store } from '../../../signal-server/store/store.ts';
import { LONG_TRUSTED_MS, LONG_TRUSTED_SPANS } from '../../../signal-server/trust/standing-rule.ts';
import { mostSpans, Trust } from '../../../signal-server/trust/trust.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { idOf, leaseOf } from '../../support/leases.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';
import { STORE_KINDS, storeOpener } from '../../support/stores.ts';

const HOUR_MS = 3_600_000;
const [key, stranger, anchor] = [idOf('1'), idOf('2'), idOf('9')];
const half = PROBATION_CHUNKS / 2;

describe.each(STORE_KINDS)('trust kept by %s', (kind) => {
  let folder: string;
  let openStore: () => Promise<Store>;
  let store: Store;
  let clock: FakeClock;
  let trust: Trust;

  const open = async (): Promise<void> => {
    store = await openStore();
    trust = new Trust({ clock, store: store.trust, isOwn: (id) => id === anchor });
  };
  const standing = (id = key) => trust.standing(id, 'wasm');
  let sessions = 0;
  const convict = async (volunteer: PeerId): Promise<void> => {
    const session = (sessions++).toString(16).padStart(32, '0') as SessionId;
    const { model, stages } = leaseOf({ requester: stranger, stages: [[volunteer]] }).route;
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
    expect(standing(stranger)).toEqual({
      ...{ witnessedSpans: 0, agreedSpans: 0 },
      ...{ isNew: true, isLongTrusted: false, suspendedUntilMs: null },
    });
  });

  it('need not be earned by the server’s own keys, and is not lost by them in sessions of its own', async () => {
    await trust.failHidden(anchor, 'wasm', 'it was slow');
    expect(standing(anchor)).toMatchObject({ isNew: false, isLongTrusted: true });
    expect(trust.lastFault(anchor)).toBeNull();
  });

  it('is earned in sessions of the server’s own, in one numeric class at a time', async () => {
    await trust.witness(key, 'wasm', PROBATION_CHUNKS - 1);
    expect(standing()).toMatchObject({ witnessedSpans: PROBATION_CHUNKS - 1, isNew: true });
    await trust.witness(key, 'wasm', 1);
    expect(standing()).toMatchObject({ witnessedSpans: PROBATION_CHUNKS, isNew: false });
    expect(trust.standing(key, 'webgpu/other')).toMatchObject({ witnessedSpans: 0, isNew: true });
  });

  it('comes for half of the probation at most from what others asked, however many they are', async () => {
    for (let i = 0; i < 20; i++) await trust.witness(key, 'wasm', 3, 'others');
    expect(standing()).toMatchObject({ witnessedSpans: half, isNew: true });
    await trust.witness(key, 'wasm', half);
    expect(standing()).toMatchObject({ witnessedSpans: LONG_TRUSTED_SPANS / 2 + half, isNew: false });
  });

  it('does not come from agreeing with keys that are not the server’s', async () => {
    await trust.agree(key, 'wasm', 1_000);
    expect(standing()).toMatchObject({ witnessedSpans: 0, agreedSpans: 1_000, isNew: true, isLongTrusted: false });
  });

  it('is long after a hundred witnessed spans and a day, of which half come from the server’s own sessions', async () => {
    await trust.witness(key, 'wasm', LONG_TRUSTED_SPANS, 'others');
    await trust.witness(key, 'wasm', LONG_TRUSTED_SPANS / 2 - 1);
    await clock.advance(LONG_TRUSTED_MS);
    expect(standing().isLongTrusted).toBe(false);
    await trust.witness(key, 'wasm', 1);
    expect(standing().isLongTrusted).toBe(true);
    await trust.witness(stranger, 'wasm', LONG_TRUSTED_SPANS);
    await clock.advance(LONG_TRUSTED_MS - 1);
    expect(standing(stranger).isLongTrusted).toBe(false);
    await clock.advance(1);
    expect(standing(stranger).isLongTrusted).toBe(true);
  });

  it('is gone in every class where the server found a fault itself, and its owner can hear why', async () => {
    await trust.witness(key, 'wasm', LONG_TRUSTED_SPANS);
    await trust.witness(key, 'webgpu/other', PROBATION_CHUNKS);
    await trust.agree(key, 'wasm', 4);
    await clock.advance(LONG_TRUSTED_MS);
    await trust.failHidden(key, 'webgpu/other', 'x'.repeat(1_000));
    expect(standing()).toEqual({
      ...{ witnessedSpans: 0, agreedSpans: 4 },
      ...{ isNew: true, isLongTrusted: false, suspendedUntilMs: null },
    });
    expect(trust.standing(key, 'webgpu/other').isNew).toBe(true);
    const fault = { numericClass: 'webgpu/other', reason: 'x'.repeat(MAX_REASON_CHARACTERS), atMs: clock.wallMs() };
    expect(trust.lastFault(key)).toEqual(fault);
    expect(trust.lastFault(stranger)).toBeNull();
    await trust.witness(key, 'wasm', LONG_TRUSTED_SPANS);
    expect(standing()).toMatchObject({ isNew: false, isLongTrusted: false });
  });

  it('survives the process', async () => {
    await trust.witness(key, 'wasm', 2);
    await convict(stranger);
    await store.close();
    await open();
    expect(standing().witnessedSpans).toBe(2);
    expect(trust.suspension(stranger)).toMatchObject({ times: 1, reason: 'it lied' });
  });

  it('a session is said to have had as many spans as it can have had', () => {
    const { route } = leaseOf({ requester: stranger, stages: [[key]] });
    expect(mostSpans({ ...route, capacity: 128 }, 7)).toBe(4 + 7 + 1);
  });

  describe('after a proven fault', () => {
    beforeEach(() => trust.witness(key, 'wasm', PROBATION_CHUNKS));
    const termMs = (): number => standing().suspendedUntilMs! - clock.wallMs();

    it('is gone, and the key is suspended for an hour', async () => {
      await convict(key);
      expect(standing()).toMatchObject({ witnessedSpans: 0, isNew: true });
      expect(termMs()).toBe(HOUR_MS);
      expect(trust.suspended).toBe(1);
      await clock.advance(HOUR_MS);
      expect(standing().suspendedUntilMs).toBeNull();
      expect(trust.suspended).toBe(0);
    });

    it('suspensions double, up to thirty days', async () => {
      const terms: number[] = [];
      for (let i = 0; i < 12; i++) {
        await convict(key);
        terms.push(termMs() / HOUR_MS);
        await clock.advance(termMs());
      }
      expect(terms).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 720, 720]);
    });

    it('a suspension is not made longer by what came to light during it', async () => {
      await convict(key);
      await convict(key);
      expect(termMs()).toBe(HOUR_MS);
      expect(store.trust.faults(9)).toHaveLength(2);
    });
  });
});
