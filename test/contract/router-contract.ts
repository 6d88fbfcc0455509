import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChorusError } from '#shared/errors.ts';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type {
  ControlRouter,
  FromPeer,
  PeerAddress,
  RouterEnd,
  ToPeer,
} from '../../signal-server/peer-router/control-router.ts';
import { codeOfAsync } from '../support/code-of.ts';
import { offerOf, routeRequest } from '../support/control-peer.ts';
import { FakeClock } from '../support/fake-clock.ts';

export interface RouterPair extends ControlRouter {
  /** Ends one side as the death of its process would. */
  kill(side: 'edge' | 'desks'): void;
  release(): Promise<void>;
}

export type OpenRouter = (clock: FakeClock, maxWaiting?: number) => Promise<RouterPair>;

const joined: FromPeer = { type: 'joined', kind: 'cli', prefix: '192.0.2.0/24', client: null };
const model = 'a'.repeat(64) as Digest;
const session = '0'.repeat(32) as SessionId;
const queued = (request: number): ToPeer => ({ type: 'queued', request, position: 1 });
const addressOf = (name: string, connection: number): PeerAddress => ({ id: name.repeat(64) as PeerId, connection });
const [a, b] = [addressOf('a', 1), addressOf('b', 2)];

const envelope = { payloadType: 'x', payload: 'ä€😀\n', signatures: [{ keyid: '', sig: '' }] };
const signed = { statement: 'AA==', publicKey: 'AA==', signature: 'AA==' };
const range = { start: 0, end: 4, embedding: true, head: false };
const checks = { checked: 1, settled: 0, unchecked: 0, disputed: 0 };
const figures = {
  session,
  tokens: 3,
  positions: 9,
  tokensPerSecond: 1e-7,
  faults: [{ volunteer: a.id, code: 'gap' as const }],
  stalled: [a.id],
  checks,
};

/** One of each type. */
const fromPeer: { [Type in FromPeer['type']]: Extract<FromPeer, { type: Type }> } = {
  joined,
  offer: offerOf({ held: [{ model, range }], layerMs: null }),
  worked: { type: 'worked', epoch: 1, nonces: [0, 1, 2, 3, 4, 5, 6, 2 ** 32 - 1] },
  ready: { type: 'ready', assignment: 1, layerMs: 0.1, probeError: 1e-9 },
  failed: { type: 'failed', assignment: 1, code: 'probe-failed', message: 'off by 12 %' },
  heartbeat: { type: 'heartbeat', sessions: 0, tokens: 0, layerMs: null, hidden: true },
  pause: { type: 'pause' },
  withdraw: { type: 'withdraw' },
  state: {
    ...{ type: 'state', sessions: 2, slots: 2, atMs: 1 },
    ...{ publicKey: `${'A'.repeat(43)}=`, signature: `${'A'.repeat(86)}==` },
  },
  look: { type: 'look' },
  route: routeRequest(model, { exclude: [a.id] }),
  abandon: { type: 'abandon', request: 1 },
  replay: { type: 'replay', request: 1, session, stage: 0, role: 'referee', exclude: [] },
  report: {
    type: 'report',
    request: 1,
    proof: { type: 'equivocation', route: envelope, first: signed, second: signed },
  },
  claims: {
    ...{ type: 'claims', session, stage: 1 },
    claims: ['AA==', 'AQ=='].map((claim) => ({ publicKey: 'AA==', claim, signature: 'AA==' })),
  },
  opened: { type: 'opened', session },
  closed: { type: 'closed', session },
  resume: { type: 'resume', sessions: [session] },
  release: { type: 'release', outcome: 'cancelled', ...figures },
  rest: { type: 'rest', ...figures },
  left: { type: 'left', silent: true },
};
const toPeer: { [Type in ToPeer['type']]: Extract<ToPeer, { type: Type }> } = {
  assign: { type: 'assign', assignment: 1, model, range, reason: 'you already have these layers' },
  work: { type: 'work', epoch: 1, seed: `${'A'.repeat(43)}=`, tries: 32 },
  admitted: { type: 'admitted' },
  idle: { type: 'idle', reason: '' },
  seat: { type: 'seat', seat: envelope },
  unseat: { type: 'unseat', session },
  queued: { type: 'queued', request: 1, position: 1 },
  routed: { type: 'routed', request: 1, route: envelope },
  refused: { type: 'refused', request: 1, code: 'all-busy', message: '', missing: { start: 0, end: 4 } },
  checkpoint: { type: 'checkpoint', note: 'a checkpoint' },
  reclaim: { type: 'reclaim', session },
  standing: { type: 'standing', gate: 'closed', spans: 3, neededSpans: 10, reason: 'it was silent', untilMs: 1 },
  reported: { type: 'reported', request: 1, accepted: false, reason: 'it shows no fault' },
  error: { type: 'error', code: 'internal', message: 'the server failed on this message' },
};

/** The messages that one end has brought. */
class Taken<Received> {
  readonly messages: [PeerAddress, Received][] = [];
  ended: ChorusError | null = null;

  constructor(end: RouterEnd<never, Received>) {
    end.receive(
      ({ id, connection }, message) => this.messages.push([{ id, connection }, message]),
      (ended) => (this.ended = ended),
    );
  }

  async first(count: number): Promise<[PeerAddress, Received][]> {
    await expect.poll(() => this.messages.length).toBeGreaterThanOrEqual(count);
    return this.messages;
  }

  async end(): Promise<string> {
    await expect.poll(() => this.ended).not.toBeNull();
    return this.ended!.code;
  }
}

/** The promises of every router between the sockets and the desks. */
export function describeRouter(name: string, open: OpenRouter): void {
  describe(`a router ${name}`, () => {
    let clock: FakeClock;
    let router: RouterPair;

    beforeEach(async () => {
      clock = new FakeClock();
      router = await open(clock);
    });
    afterEach(() => router.release());

    /** Both sides listen, and `a` and `b` are connected. */
    async function joinBoth(): Promise<{ atDesks: Taken<FromPeer>; atEdge: Taken<ToPeer> }> {
      const [atDesks, atEdge] = [new Taken(router.desks), new Taken(router.edge)];
      for (const peer of [a, b]) router.edge.send(peer, joined);
      await atDesks.first(2);
      return { atDesks, atEdge };
    }

    it('brings every kind of message to the desks as it was sent', async () => {
      const { atDesks } = await joinBoth();
      const { joined: _, left, ...between } = fromPeer;
      const messages = [...Object.values(between), left];
      for (const message of messages) router.edge.send(a, message);
      expect((await atDesks.first(2 + messages.length)).slice(2)).toEqual(messages.map((message) => [a, message]));
    });

    it('brings every kind of message to the peer as it was sent', async () => {
      const { atEdge } = await joinBoth();
      const messages = Object.values(toPeer);
      for (const message of messages) router.desks.send(b, message);
      expect(await atEdge.first(messages.length)).toEqual(messages.map((message) => [b, message]));
    });

    it('keeps the order of what each side sends, whoever it is for', async () => {
      const { atDesks, atEdge } = await joinBoth();
      const peers = Array.from({ length: 1000 }, (_, i) => (i % 3 === 0 ? a : b));
      peers.forEach((peer, request) => router.edge.send(peer, { type: 'abandon', request }));
      peers.forEach((peer, request) => router.desks.send(peer, queued(request)));
      const [atDesksAll, atEdgeAll] = [await atDesks.first(1002), await atEdge.first(1000)];
      expect(atDesksAll.slice(2)).toEqual(peers.map((peer, request) => [peer, { type: 'abandon', request }]));
      expect(atEdgeAll).toEqual(peers.map((peer, request) => [peer, queued(request)]));
    });

    it('hands on copies: neither side can reach into what the other holds', async () => {
      const { atEdge } = await joinBoth();
      const mine = { ...toPeer.refused, missing: { start: 0, end: 4 } };
      router.desks.send(a, mine);
      mine.missing.end = 5;
      const [[, theirs]] = (await atEdge.first(1)) as [[PeerAddress, typeof mine]];
      expect(theirs).toEqual(toPeer.refused);
      theirs.missing.start = 3;
      expect(mine.missing).toEqual({ start: 0, end: 5 });
    });

    it('hands on no field of the address but its two', async () => {
      const [atDesks, atEdge] = [new Taken(router.desks), new Taken(router.edge)];
      const member = { ...a, volunteer: { state: 'ready' } };
      router.edge.send(member, joined);
      await atDesks.first(1);
      router.desks.send(member, queued(1));
      expect((await atEdge.first(1))[0]![0]).toEqual(a);
    });

    it('keeps what came before anybody listened', async () => {
      router.edge.send(a, joined);
      router.edge.send(a, { type: 'pause' });
      const atDesks = new Taken(router.desks);
      expect((await atDesks.first(2)).map(([, { type }]) => type)).toEqual(['joined', 'pause']);
      router.desks.send(a, queued(1));
      router.desks.send(a, queued(2));
      expect(await new Taken(router.edge).first(2)).toEqual([1, 2].map((request) => [a, queued(request)]));
    });

    it('drops what is for peers that never came', async () => {
      const { atDesks, atEdge } = await joinBoth();
      router.desks.send(addressOf('c', 3), queued(1));
      router.desks.send({ ...a, connection: 3 }, queued(2));
      router.edge.send(addressOf('c', 3), { type: 'pause' });
      router.desks.send(b, queued(3));
      router.edge.send(b, { type: 'withdraw' });
      expect(await atEdge.first(1)).toEqual([[b, queued(3)]]);
      expect((await atDesks.first(3)).slice(2)).toEqual([[b, { type: 'withdraw' }]]);
    });

    it('delivers nothing to a peer, and nothing from it, once it has left', async () => {
      const { atDesks, atEdge } = await joinBoth();
      router.edge.send(a, { type: 'left' });
      // The desks may not have heard of it yet.
      router.desks.send(a, queued(1));
      router.edge.send(a, { type: 'pause' });
      router.edge.send(a, { type: 'left' });
      router.edge.send(b, { type: 'pause' });
      await atDesks.first(4);
      router.desks.send(a, queued(2));
      router.desks.send(b, queued(3));
      expect(await atEdge.first(1)).toEqual([[b, queued(3)]]);
      expect(atDesks.messages.slice(2)).toEqual([
        [a, { type: 'left' }],
        [b, { type: 'pause' }],
      ]);
    });

    it('never brings to a new connection what is for the old one of the same key', async () => {
      const { atDesks, atEdge } = await joinBoth();
      const again = { ...a, connection: 3 };
      router.desks.send(a, queued(1));
      await atEdge.first(1);
      router.edge.send(a, { type: 'left' });
      router.edge.send(again, joined);
      router.desks.send(a, queued(2));
      router.edge.send(a, { type: 'pause' });
      router.edge.send(again, { type: 'withdraw' });
      await atDesks.first(5);
      router.desks.send(a, queued(3));
      router.desks.send(again, queued(4));
      expect(await atEdge.first(2)).toEqual([
        [a, queued(1)],
        [again, queued(4)],
      ]);
      expect(atDesks.messages.slice(2)).toEqual([
        [a, { type: 'left' }],
        [again, joined],
        [again, { type: 'withdraw' }],
      ]);
    });

    it('is lost, and says so, rather than keep without end what the other side does not take in', async () => {
      await router.release();
      router = await open(clock, 10_000);
      router.edge.send(a, joined);
      const reason = 'x'.repeat(500);
      const failed: FromPeer = { type: 'failed', assignment: 1, code: 'internal', message: reason };
      for (let sent = 0; router.edge.ended === null && sent < 1e5; sent++) router.edge.send(a, failed);
      expect(router.edge.ended).toMatchObject({ code: 'server-lost' });
      expect(router.edge.ended?.message).toMatch(/bytes wait for it; at most 10000 may$/);
      expect(new Taken(router.edge).ended).toBe(router.edge.ended);
      const atDesks = new Taken(router.desks);
      expect(await atDesks.end()).toBe('server-lost');
    });

    it('tells the desks that everybody has left when the edge dies', async () => {
      const { atDesks } = await joinBoth();
      router.edge.send(b, { type: 'left' });
      await atDesks.first(3);
      router.kill('edge');
      expect(await atDesks.end()).toBe('server-lost');
      expect(atDesks.messages.slice(2)).toEqual([
        [b, { type: 'left' }],
        [a, { type: 'left' }],
      ]);
      router.desks.send(a, queued(1));
      expect(await codeOfAsync(router.desks.close(1000))).toBe('server-lost');
    });

    it('tells the edge when the desks die', async () => {
      const { atEdge } = await joinBoth();
      router.kill('desks');
      expect(await atEdge.end()).toBe('server-lost');
      expect(router.edge.ended).toBe(atEdge.ended);
      router.edge.send(a, { type: 'pause' });
      expect(await codeOfAsync(router.edge.close(1000))).toBe('server-lost');
    });

    it('closes once the other side has all that was sent', async () => {
      const { atDesks, atEdge } = await joinBoth();
      for (let request = 0; request < 100; request++) router.edge.send(a, { type: 'abandon', request });
      router.edge.send(a, { type: 'left' });
      const closed = router.edge.close(1000);
      router.edge.send(addressOf('c', 3), joined);
      await closed;
      expect(atDesks.messages.slice(2, 103).map(([, { type }]) => type)).toEqual([
        ...Array.from({ length: 100 }, () => 'abandon'),
        'left',
      ]);
      // It had not said so itself.
      expect(atDesks.messages.slice(103)).toEqual([[b, { type: 'left' }]]);
      expect([await atDesks.end(), router.edge.ended?.code]).toEqual(['cancelled', 'cancelled']);
      expect(atEdge.ended).toBeNull();
      await router.edge.close(1000);
      await router.desks.close(1000);
      expect(clock.pendingTimers).toBe(0);
    });

    it('takes nothing in while it closes, and the desks have all peers leave at once', async () => {
      const { atDesks, atEdge } = await joinBoth();
      const closed = router.desks.close(1000);
      router.edge.send(a, { type: 'pause' });
      router.edge.send(addressOf('c', 3), joined);
      router.desks.send(a, queued(1));
      await closed;
      expect(await atEdge.end()).toBe('cancelled');
      expect(atEdge.messages).toEqual([]);
      expect(atDesks.messages.slice(2)).toEqual([
        [a, { type: 'left' }],
        [b, { type: 'left' }],
      ]);
    });

    it('closes from both sides at once', async () => {
      await joinBoth();
      await Promise.all([router.edge.close(1000), router.desks.close(1000)]);
      expect([router.edge.ended?.code, router.desks.ended?.code]).toEqual(['cancelled', 'cancelled']);
    });

    it('rejects a close that the other side does not answer in time', async () => {
      const atEdge = new Taken(router.edge);
      const closed = codeOfAsync(router.edge.close(1000));
      await clock.advance(1000);
      expect(await closed).toBe('server-lost');
      expect(router.edge.ended?.message).toMatch(/did not answer within 1000 ms$/);
      expect(atEdge.messages).toEqual([]);
    });

    it('rejects a close during which the other side dies', async () => {
      new Taken(router.edge);
      const closed = codeOfAsync(router.edge.close(1000));
      router.kill('desks');
      expect(await closed).toBe('server-lost');
      expect(clock.pendingTimers).toBe(0);
    });
  });
}
