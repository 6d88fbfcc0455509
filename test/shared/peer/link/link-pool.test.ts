import { describe, expect, it, vi } from 'vitest';
import type { Identity } from '#shared/crypto/identity.ts';
import { randomBytes, verifySignature } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { MAX_HANDSHAKES, MAX_LINKS, MAX_LINKS_PER_PEER, WEBRTC_TIMEOUT_MS } from '#shared/limits.ts';
import type { Channel } from '#shared/peer/link/channel.ts';
import { openLink } from '#shared/peer/link/framed-link.ts';
import { createLinkPool, type LinkPool, type TransportNotice } from '#shared/peer/link/link-pool.ts';
import type { Link } from '#shared/peer/link/link.ts';
import { RelayMux } from '#shared/peer/link/relay-channel.ts';
import type { WebRtcTransport } from '#shared/peer/link/webrtc-transport.ts';
import { decodeRelayFrame, withRelaySource } from '#shared/wire/codec/relay-frame.ts';
import { codeOfAsync } from '../../../support/code-of.ts';
import { FakeClock, settle, untilSettled } from '../../../support/fake-clock.ts';
import { LoopbackChannel } from '../../../support/loopback-channel.ts';
import { makeIdentities } from '../../../support/test-identity.ts';

const [small, large, other, fourth] = (await makeIdentities(4)) as [Identity, Identity, Identity, Identity];
const forever = new AbortController().signal;

type Direct = 'works' | 'fails' | 'hangs' | 'none';

class FakeWebRtc implements WebRtcTransport {
  onIncoming: ((peer: PeerId, channel: Channel) => void) | null = null;
  dials = 0;
  readonly #world: World;
  readonly #self: PeerId;
  readonly #mode: Direct;

  constructor(world: World, self: PeerId, mode: Direct) {
    this.#world = world;
    this.#self = self;
    this.#mode = mode;
  }

  connect(peer: PeerId, signal: AbortSignal): Promise<Channel> {
    this.dials++;
    if (this.#mode === 'hangs') {
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(new ChorusError('cancelled', 'given up')));
      });
    }
    const callee = this.#world.transports.get(peer);
    if (this.#mode === 'fails' || !callee?.onIncoming) {
      return Promise.reject(new ChorusError('link-lost', 'that peer is not here'));
    }
    const [near, far] = LoopbackChannel.pair();
    // The other side hears of it a moment later, as over a network.
    near.hold();
    void settle().then(() => {
      callee.onIncoming?.(this.#self, far);
      near.release();
    });
    return Promise.resolve(near);
  }

  close(): void {
    this.onIncoming = null;
  }
}

/** Peers whose relay frames go straight to each other. */
class World {
  readonly clock = new FakeClock();
  readonly relays = new Map<PeerId, RelayMux>();
  readonly transports = new Map<PeerId, FakeWebRtc>();

  join(identity: Identity, direct: Direct) {
    const relay = new RelayMux(identity.id, (frame) => {
      const receiver = this.relays.get(decodeRelayFrame(frame).peer);
      queueMicrotask(() => receiver?.receive(withRelaySource(frame, identity.id)));
    });
    this.relays.set(identity.id, relay);
    const webrtc = direct === 'none' ? null : new FakeWebRtc(this, identity.id, direct);
    if (webrtc) this.transports.set(identity.id, webrtc);
    const deps = { identity, clock: this.clock, random: randomBytes, verify: verifySignature };
    const pool = createLinkPool({ ...deps, relay, webrtc });
    const notices: TransportNotice[] = [];
    pool.onTransport((notice) => notices.push(notice));
    const links: Link[] = [];
    pool.onLink((link) => links.push(link));
    return { pool, notices, links, webrtc };
  }
}

function dial(pool: LinkPool, to: Identity, webrtc = true, signal = forever): Promise<Link> {
  return pool.connect(to.id, { webrtc, signal });
}

describe('the link pool', () => {
  it('takes a direct link where one can be had', async () => {
    const world = new World();
    const a = world.join(small, 'works');
    const b = world.join(large, 'works');
    const link = await dial(a.pool, large);
    expect([link.peer, link.transport]).toEqual([large.id, 'webrtc']);
    expect(a.notices).toEqual([{ peer: large.id, transport: 'webrtc', reason: null }]);
    expect(a.links).toEqual([link]);
    await vi.waitFor(() => expect(b.links.map(({ peer }) => peer)).toEqual([small.id]));
  });

  it('gives one link to all who ask for the same peer, at once or later', async () => {
    const world = new World();
    const a = world.join(small, 'works');
    world.join(large, 'works');
    const [first, second] = await Promise.all([dial(a.pool, large), dial(a.pool, large)]);
    expect(second).toBe(first);
    expect(await dial(a.pool, large)).toBe(first);
    expect(a.webrtc?.dials).toBe(1);
  });

  it('lets the other side use the link that was dialled', async () => {
    const world = new World();
    const a = world.join(small, 'works');
    const b = world.join(large, 'works');
    await dial(a.pool, large);
    // Its own handshake ends when a real key has verified a signature.
    await vi.waitFor(() => expect(b.links).toHaveLength(1));
    expect(await dial(b.pool, small)).toBe(b.links[0]);
    expect(b.webrtc?.dials).toBe(0);
  });

  it('keeps only so many links of one peer, also where they come all at once', async () => {
    const world = new World();
    const b = world.join(large, 'works');
    const deps = { identity: small, clock: world.clock, random: randomBytes, verify: verifySignature };
    const opened = Array.from({ length: MAX_LINKS_PER_PEER + 3 }, () => {
      const [ours, theirs] = LoopbackChannel.pair();
      b.webrtc?.onIncoming?.(small.id, theirs);
      return openLink(ours, large.id, deps, forever);
    });
    await Promise.allSettled(opened);
    await expect.poll(() => b.pool.links()).toHaveLength(MAX_LINKS_PER_PEER);
    expect(b.links).toHaveLength(MAX_LINKS_PER_PEER);
  });

  it('has room for a peer that shakes hands, however many channels were opened and left', async () => {
    const world = new World();
    const b = world.join(large, 'works');
    const closed: string[] = [];
    for (let i = 0; i < MAX_LINKS + MAX_HANDSHAKES; i++) {
      const [ours, theirs] = LoopbackChannel.pair();
      ours.onClose = (reason) => closed.push(reason);
      b.webrtc?.onIncoming?.(i.toString(16).padStart(64, '0') as PeerId, theirs);
    }
    const [ours, theirs] = LoopbackChannel.pair();
    b.webrtc?.onIncoming?.(small.id, theirs);
    const deps = { identity: small, clock: world.clock, random: randomBytes, verify: verifySignature };
    const link = await openLink(ours, large.id, deps, forever);
    await expect.poll(() => b.pool.links().map(({ peer }) => peer)).toEqual([small.id]);
    await expect.poll(() => closed.length).toBe(MAX_LINKS + 1);
    expect(link.isClosed).toBe(false);
  });

  it('dials anew once a link has closed', async () => {
    const world = new World();
    const a = world.join(small, 'works');
    world.join(large, 'works');
    const first = await dial(a.pool, large);
    first.close('enough');
    const second = await dial(a.pool, large);
    expect(second).not.toBe(first);
    expect(second.isClosed).toBe(false);
  });

  it.each([
    ['the peer has no data channels', 'works', false, null],
    ['this side has none', 'none', true, null],
    ['the direct dial fails', 'fails', true, 'that peer is not here'],
  ] as const)('takes the relay at once where %s', async (_, mode, webrtc, reason) => {
    const world = new World();
    const a = world.join(small, mode);
    world.join(large, 'none');
    const link = await dial(a.pool, large, webrtc);
    expect(link.transport).toBe('relay');
    expect(a.notices).toEqual([{ peer: large.id, transport: 'relay', reason }]);
    expect(world.clock.nowMs()).toBe(0);
  });

  it('takes the relay when there is no direct link in time, and says so', async () => {
    const world = new World();
    const a = world.join(small, 'hangs');
    world.join(large, 'works');
    const link = dial(a.pool, large);
    await world.clock.advance(WEBRTC_TIMEOUT_MS);
    expect((await link).transport).toBe('relay');
    expect(a.notices).toEqual([{ peer: large.id, transport: 'relay', reason: 'no direct connection within 5 s' }]);
  });

  it('waits once only for a peer that no direct connection comes up with', async () => {
    const world = new World();
    const a = world.join(small, 'hangs');
    world.join(large, 'works');
    const first = dial(a.pool, large);
    await world.clock.advance(WEBRTC_TIMEOUT_MS);
    (await first).close('done');
    const again = await dial(a.pool, large);
    expect([again.transport, a.webrtc?.dials, world.clock.nowMs()]).toEqual(['relay', 1, WEBRTC_TIMEOUT_MS]);
    expect(a.notices.at(-1)?.reason).toBe('a direct connection to it did not come up before');
  });

  it('waits for nobody any more once two peers were waited for in vain, and none came up', async () => {
    const world = new World();
    const a = world.join(small, 'hangs');
    for (const peer of [large, other]) world.join(peer, 'works');
    const both = [dial(a.pool, large), dial(a.pool, other)];
    await world.clock.advance(WEBRTC_TIMEOUT_MS);
    await Promise.all(both);
    world.join(fourth, 'works');
    expect((await dial(a.pool, fourth)).transport).toBe('relay');
    expect([a.webrtc?.dials, world.clock.nowMs()]).toEqual([2, WEBRTC_TIMEOUT_MS]);
    expect(a.notices.at(-1)?.reason).toBe('no direct connection has come up on this visit');
  });

  it('dials a peer directly again after one that was not there, and after a direct link that came from it', async () => {
    const world = new World();
    const a = world.join(small, 'fails');
    const b = world.join(large, 'works');
    (await dial(a.pool, large)).close('done');
    (await dial(a.pool, large)).close('done');
    expect(a.webrtc?.dials).toBe(2);
    a.pool.setDirect(new FakeWebRtc(world, small.id, 'hangs'));
    const link = dial(a.pool, large);
    await world.clock.advance(WEBRTC_TIMEOUT_MS);
    (await link).close('done');
    const direct = new FakeWebRtc(world, small.id, 'works');
    world.transports.set(small.id, direct);
    a.pool.setDirect(direct);
    await settle();
    const incoming = await dial(b.pool, small);
    expect(incoming.transport).toBe('webrtc');
    await vi.waitFor(() => expect(a.links.at(-1)?.transport).toBe('webrtc'));
    incoming.close('done');
    await vi.waitFor(() => expect(a.pool.links()).toEqual([]));
    expect((await dial(a.pool, large)).transport).toBe('webrtc');
  });

  it('opens and keeps no direct link once none is wanted, and does again when they are', async () => {
    const world = new World();
    const a = world.join(small, 'works');
    const b = world.join(large, 'works');
    let changes = 0;
    a.pool.onDirect(() => changes++);
    const direct = await dial(a.pool, large);
    a.pool.setDirect(null);
    expect([direct.isClosed, a.pool.isDirect, changes]).toEqual([true, false, 1]);
    await vi.waitFor(() => expect(b.pool.links()).toEqual([]));
    expect((await dial(a.pool, large)).transport).toBe('relay');
    expect(a.webrtc?.dials).toBe(1);
    // What is wanted of this side alone needs no reason.
    expect(a.notices.at(-1)).toEqual({ peer: large.id, transport: 'relay', reason: null });
    const again = new FakeWebRtc(world, small.id, 'works');
    world.transports.set(small.id, again);
    a.pool.setDirect(again);
    for (const link of a.pool.links()) link.close('done');
    await vi.waitFor(() => expect(b.pool.links()).toEqual([]));
    expect((await dial(a.pool, large)).transport).toBe('webrtc');
  });

  it('fails where nobody is there by either way', async () => {
    const world = new World();
    const a = world.join(small, 'fails');
    const outcome = codeOfAsync(dial(a.pool, other));
    await untilSettled(outcome, world.clock);
    expect(await outcome).toBe('timeout');
  });

  it('gives a peer that answers under a false id no link', async () => {
    const world = new World();
    const a = world.join(small, 'works');
    world.join(other, 'works');
    world.transports.set(large.id, world.transports.get(other.id) as FakeWebRtc);
    const outcome = codeOfAsync(dial(a.pool, large));
    await untilSettled(outcome, world.clock);
    expect(await outcome).toBe('timeout');
    expect(a.links).toEqual([]);
  });

  it('stops a dial when the last who waits for it gives up', async () => {
    const world = new World();
    const a = world.join(small, 'hangs');
    world.join(large, 'none');
    const [one, two] = [new AbortController(), new AbortController()];
    const outcomes = [
      codeOfAsync(dial(a.pool, large, true, one.signal)),
      codeOfAsync(dial(a.pool, large, true, two.signal)),
    ];
    one.abort();
    expect(await outcomes[0]).toBe('cancelled');
    two.abort();
    expect(await outcomes[1]).toBe('cancelled');
    await world.clock.advance(0);
    expect(world.clock.pendingTimers).toBe(0);
  });

  it('settles on one link when both sides dial at the same time', async () => {
    for (let round = 0; round < 20; round++) {
      const world = new World();
      const a = world.join(small, 'works');
      const b = world.join(large, 'works');
      const [atA, atB] = await Promise.all(
        round % 2 ? [dial(a.pool, large), dial(b.pool, small)] : [dial(b.pool, small), dial(a.pool, large)].reverse(),
      );
      expect([atA?.isClosed, atB?.isClosed]).toEqual([false, false]);
      // Both come to take the link that the smaller id dialled, so that a message of one reaches the other's.
      const received: unknown[] = [];
      await vi.waitFor(
        async () => {
          const [nowA, nowB] = [await dial(a.pool, large), await dial(b.pool, small)];
          nowB.onMessage((message) => received.push(message));
          await nowA.send({ type: 'ready', session: '00'.repeat(16) as never });
          await settle();
          expect(received[0]).toEqual({ type: 'ready', session: '00'.repeat(16) });
        },
        { timeout: 10_000, interval: 5 },
      );
    }
  });

  it('tells the links that are open already to who begins to listen', async () => {
    const world = new World();
    const a = world.join(small, 'works');
    world.join(large, 'works');
    const link = await dial(a.pool, large);
    const late: Link[] = [];
    a.pool.onLink((one) => late.push(one));
    await world.clock.advance(0);
    expect(late).toEqual([link]);
  });

  it('closes all links and dials, and makes no new ones', async () => {
    const world = new World();
    const a = world.join(small, 'works');
    world.join(large, 'works');
    const link = await dial(a.pool, large);
    const waiting = codeOfAsync(dial(a.pool, other));
    a.pool.close();
    expect(link.isClosed).toBe(true);
    expect(await waiting).not.toBe('no error');
    expect(await codeOfAsync(dial(a.pool, large))).toBe('cancelled');
  });
});
