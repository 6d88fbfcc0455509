import { beforeEach, describe, expect, it } from 'vitest';
import type { Identity } from '#shared/crypto/identity.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { CLOCK_SKEW_MS, GAP_TIMEOUT_MS, MAX_QUEUED_ROWS, SEAT_WAIT_MS } from '#shared/limits.ts';
import type { Link } from '#shared/peer/link/link.ts';
import type { Route } from '#shared/route/route.ts';
import { seatsOf } from '#shared/route/seat.ts';
import { type Rows, encodeTokens } from '#shared/rows/rows.ts';
import type { PeerMessage, RowsMessage } from '#shared/wire/peer-message.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';
import { checkedNetwork, standing } from '../../support/checked-network.ts';
import type { FakeLinks } from '../../support/fake-links.ts';
import { GREEDY, toyAnswer, toyDigest, toyManifest } from '../../support/toy-model.ts';
import { collect, toyIdentity, ToyNetwork, toyRanges, type ToyVolunteer } from '../../support/toy-network.ts';

const never = new AbortController().signal;

/** A peer that says what it likes and hears what it is told. */
class Stranger {
  readonly id: PeerId;
  readonly heard: PeerMessage[] = [];
  readonly #network: ToyNetwork;
  readonly #links: FakeLinks;

  constructor(network: ToyNetwork, name: string) {
    this.id = toyIdentity(name).id;
    this.#network = network;
    this.#links = network.links.join(this.id);
    this.#links.onLink((link) => link.onMessage((message) => this.heard.push(message)));
  }

  async say(to: ToyVolunteer, ...messages: PeerMessage[]): Promise<void> {
    const connected: Promise<Link> = this.#links.connect(to.id, { webrtc: true, signal: new AbortController().signal });
    const link = await this.#network.until(connected);
    for (const message of messages) await link.send(message);
    await this.#network.clock.advance(50);
  }

  get faults(): string[] {
    return this.heard.flatMap((message) => (message.type === 'fault' ? [message.code] : []));
  }
}

let network: ToyNetwork;
let stranger: Stranger;
/** Of each stage, one. */
let stages: ToyVolunteer[];

beforeEach(() => {
  network = new ToyNetwork();
  stranger = new Stranger(network, 'stranger');
  stages = [...network.volunteers];
});

/** Has the server give a route's seats, and says how a peer opens it. */
const open = async (route: Route, stage = 0, by?: Identity): Promise<PeerMessage> => {
  await network.seat(route, by);
  return { type: 'open', session: route.session, stage };
};

const rows = (session: SessionId, change: Partial<RowsMessage> = {}, change2: Partial<Rows> = {}): RowsMessage => {
  const {
    type: _type,
    digest: _digest,
    ...message
  } = rowsMessage({
    session,
    stage: 0,
    epoch: 0,
    sequence: 0,
    chunk: 0,
    logitsFrom: 0,
    rows: { kind: 'tokens', start: 0, count: 2, bytes: encodeTokens([1, 2]), ...change2 },
    hops: [],
  });
  return { ...rowsMessage(message), ...change };
};

describe('a volunteer takes no session', () => {
  it.each<[string, (route: Route) => Route]>([
    ['whose route has expired', (route) => ({ ...route, expiresAtMs: route.issuedAtMs - CLOCK_SKEW_MS - 1 })],
    ['of another model', (route) => ({ ...route, model: toyIdentity('x').id as unknown as Route['model'] })],
    ['that gives it a stage it does not hold', (route) => withStage(route, { range: toyRanges[1]! })],
    ['of another requester', (route) => ({ ...route, requester: { id: stages[2]!.id, webrtc: true } })],
  ])('%s', async (_, change) => {
    const route = network.route(stranger.id, 64) as Route;
    await stranger.say(stages[0]!, await open(change(route)));
    expect(stranger.faults).toEqual(['unrouted']);
    expect(network.openSessions).toBe(0);
  });

  it.each<[string, (route: Route) => Route, Identity?]>([
    [
      'whose route names another volunteer',
      (route) => withStage(route, { primary: { ...first(route), id: stages[1]!.id } }),
    ],
    ['whose seat is in another session', (route) => ({ ...route, session: 'f'.repeat(32) as SessionId })],
    ['whose seat the server did not sign', (route) => route, toyIdentity('another server')],
  ])('%s, and says so once it has waited for a seat', async (_, change, by) => {
    const route = network.route(stranger.id, 64) as Route;
    await open(change(route), 0, by);
    await stranger.say(stages[0]!, { type: 'open', session: route.session, stage: 0 });
    await network.clock.advance(SEAT_WAIT_MS - 100);
    expect(stranger.faults).toEqual([]);
    await network.clock.advance(100);
    expect(stranger.faults).toEqual(['unrouted']);
    expect(network.openSessions).toBe(0);
  });

  const first = (route: Route): Route['stages'][number]['primary'] => route.stages[0]!.primary;

  const withStage = (route: Route, change: Partial<Route['stages'][number]>): Route => ({
    ...route,
    stages: [{ ...route.stages[0]!, ...change }, ...route.stages.slice(1)],
  });

  it('whose seat the server has taken back', async () => {
    const route = network.route(stranger.id, 64) as Route;
    await network.seat(route);
    stages[0]!.host.unseat(route.session);
    await stranger.say(stages[0]!, { type: 'open', session: route.session, stage: 0 });
    await network.clock.advance(SEAT_WAIT_MS);
    expect(stranger.faults).toEqual(['unrouted']);
    expect(stages[0]!.told).toEqual([]);
  });

  it('by the seat of another volunteer', async () => {
    const route = network.route(stranger.id, 64) as Route;
    const [seat] = seatsOf(withStage(route, { primary: { ...first(route), id: stages[1]!.id } }));
    await network.giveSeat(seat!, stages[0]!.id);
    await stranger.say(stages[0]!, { type: 'open', session: route.session, stage: 0 });
    expect(stranger.faults).toEqual(['unrouted']);
  });

  it('at a stage that the route does not have', async () => {
    const route = network.route(stranger.id, 64) as Route;
    await stranger.say(stages[0]!, await open(route, 5));
    expect(stranger.faults).toEqual(['unrouted']);
  });

  it('that is opened by anybody but the primary of the stage before', async () => {
    const route = network.route(stranger.id, 64) as Route;
    await stranger.say(stages[1]!, await open(route, 1));
    expect(stranger.faults).toEqual(['unrouted']);
    expect(stages[1]!.host.sessionCount).toBe(0);
  });

  it('twice over one route', async () => {
    const route = network.route(stranger.id, 64) as Route;
    await stranger.say(stages[0]!, await open(route));
    await stranger.say(stages[0]!, { type: 'close', session: route.session, reason: '' });
    await stranger.say(stages[0]!, await open(route));
    expect(stranger.faults).toEqual(['unrouted']);
    expect(network.openSessions).toBe(0);
  });

  it('above its slots', async () => {
    for (let i = 0; i < 5; i++) await stranger.say(stages[0]!, await open(network.route(stranger.id, 64) as Route));
    expect(stranger.faults).toEqual(['all-busy']);
    expect(stages[0]!.host.sessionCount).toBe(4);
  });

  it('that was closed, or left by its opener, while it waited for its seat', async () => {
    const route = network.route(stranger.id, 64) as Route;
    const { session } = route;
    await stranger.say(stages[0]!, { type: 'open', session, stage: 0 }, { type: 'close', session, reason: '' });
    await network.seat(route);
    expect(network.openSessions).toBe(0);
    await network.clock.advance(SEAT_WAIT_MS);
    expect(stranger.faults).toEqual([]);
  });

  it('more that the server has said nothing of than a few at once, from one peer', async () => {
    const sessions = Array.from({ length: 9 }, (_, i) => `${i}`.repeat(32) as SessionId);
    await stranger.say(stages[0]!, ...sessions.map((session) => ({ type: 'open', session, stage: 0 }) as const));
    expect(stranger.faults).toEqual(['rate-limited']);
    const other = new Stranger(network, 'other');
    await other.say(stages[0]!, await open(network.route(other.id, 64) as Route));
    expect(other.heard).toMatchObject([{ type: 'ready' }]);
  });
});

describe('a volunteer takes a session', () => {
  it('whose seat comes after it was opened', async () => {
    const route = network.route(stranger.id, 64) as Route;
    await stranger.say(stages[0]!, { type: 'open', session: route.session, stage: 0 });
    expect(stranger.heard).toEqual([]);
    await network.seat(route);
    await network.clock.advance(50);
    expect(stranger.heard).toMatchObject([{ type: 'ready' }]);
  });

  it('and tells the server when it was opened, and when it is over', async () => {
    const route = network.route(stranger.id, 64) as Route;
    const { session } = route;
    await stranger.say(stages[0]!, await open(route));
    expect(stages[0]!.told).toEqual([`opened ${session}`]);
    await stranger.say(stages[0]!, { type: 'close', session, reason: '' });
    expect(stages[0]!.told).toEqual([`opened ${session}`, `closed ${session}`]);
  });

  it('that a stranger tried to open before', async () => {
    const route = network.route(stranger.id, 64) as Route;
    const thief = new Stranger(network, 'thief');
    await thief.say(stages[0]!, await open(route));
    expect(thief.faults).toEqual(['unrouted']);
    await stranger.say(stages[0]!, { type: 'open', session: route.session, stage: 0 });
    expect(stranger.heard).toMatchObject([{ type: 'ready' }]);
  });
});

describe('rows that are wrong end their session', () => {
  it.each<[string, string, Partial<RowsMessage>, Partial<Rows>]>([
    ['another digest', 'digest-mismatch', { digest: new Uint8Array(32) }, {}],
    ['another stage', 'bad-message', { stage: 1 }, {}],
    ['hidden rows where tokens belong', 'bad-message', {}, { kind: 'hidden' }],
    ['a token outside the vocabulary', 'bad-message', {}, { bytes: encodeTokens([1, 4000]) }],
    ['positions beyond the capacity', 'too-long', { chunk: 2 }, { start: 64 }],
    ['a hole in their positions', 'gap', {}, { start: 1 }],
    [
      'hops of stages not passed',
      'bad-message',
      { hops: [{ stage: 0, onward: 'relay', queueUs: 0, decodeUs: 0, runUs: 0, encodeUs: 0 }] },
      {},
    ],
  ])('with %s: %s', async (_, code, change, change2) => {
    const route = network.route(stranger.id, 64) as Route;
    await stranger.say(stages[0]!, await open(route));
    expect(stranger.heard).toMatchObject([{ type: 'ready' }]);
    await stranger.say(stages[0]!, rows(route.session, change, change2));
    expect(stranger.faults).toEqual([code]);
    expect(network.openSessions).toBe(0);
  });

  it('where a hole in their sequence stays open', async () => {
    const route = network.route(stranger.id, 64) as Route;
    await stranger.say(stages[0]!, await open(route), rows(route.session, { sequence: 1 }, { start: 2 }));
    await network.clock.advance(GAP_TIMEOUT_MS);
    expect(stranger.faults).toEqual(['gap']);
    expect(network.openSessions).toBe(0);
  });

  it('where more come than may wait', async () => {
    const route = network.route(stranger.id, 256) as Route;
    for (const { compute } of stages) compute.runMs = 1000;
    await stranger.say(stages[0]!, await open(route));
    const many = Array.from({ length: MAX_QUEUED_ROWS + 2 }, (_, i) =>
      rows(route.session, { sequence: i, chunk: Math.floor(i / 16) }, { start: 2 * i }),
    );
    await stranger.say(stages[0]!, ...many);
    expect(stranger.faults).toEqual(['rate-limited']);
  });
});

describe('nobody else is harmed', () => {
  const prompt = [5, 6, 7];
  const model = { manifest: toyManifest, digest: toyDigest };

  /** An answer under way, with `disturb` called at its third token. */
  async function answerWhile(disturb: (session: SessionId) => Promise<void>): Promise<number[]> {
    const conversation = network.requester().requester.openConversation(model);
    let disturbed = Promise.resolve();
    const request = { promptTokens: prompt, maxNewTokens: 12, sampling: GREEDY, signal: never };
    const answer = collect(conversation, request, (event) => {
      if (event.type === 'token' && event.position === 5) disturbed = disturb(network.routes[0]!.session);
    });
    const { tokens } = await network.until(answer);
    await network.until(disturbed);
    expect(network.routes).toHaveLength(1);
    return tokens;
  }

  it.each<[string, (session: SessionId) => PeerMessage, string[]]>([
    ['rows', (session) => rows(session, { sequence: 3 }, { start: 5 }), ['unrouted']],
    ['a cut', (session) => ({ type: 'cut', session, epoch: 1, position: 0 }), ['unrouted']],
    ['a close', (session) => ({ type: 'close', session, reason: 'no' }), []],
    [
      'a fault',
      (session) => ({ type: 'fault', session, stage: 1, code: 'internal', message: '', volunteer: null }),
      [],
    ],
    ['a ready', (session) => ({ type: 'ready', session }), []],
  ])("by a stranger who sends %s in another's session", async (_, message, faults) => {
    const tokens = await answerWhile(async (session) => {
      for (const stage of stages) await stranger.say(stage, message(session));
    });
    expect(tokens).toEqual(toyAnswer(prompt, 12));
    expect(stranger.faults).toEqual(stages.flatMap(() => faults));
  });

  it("by a stranger who opens another's session", async () => {
    const tokens = await answerWhile(async () => {
      const message = await open(network.routes[0] as Route);
      await stranger.say(stages[0]!, message);
    });
    expect(tokens).toEqual(toyAnswer(prompt, 12));
    expect(stranger.faults).toEqual(['unrouted']);
  });

  it('by a stranger whose own session fails', async () => {
    const tokens = await answerWhile(async () => {
      const route = network.route(stranger.id, 64) as Route;
      await stranger.say(stages[0]!, await open(route), rows(route.session, { digest: new Uint8Array(32) }));
    });
    expect(tokens).toEqual(toyAnswer(prompt, 12));
  });

  it('by logits that a stranger sends to the requester', async () => {
    const conversation = network.requester('asker').requester.openConversation(model);
    const request = { promptTokens: prompt, maxNewTokens: 12, sampling: GREEDY, signal: never };
    const asker = { id: toyIdentity('asker').id } as ToyVolunteer;
    let said = Promise.resolve();
    const { tokens } = await network.until(
      collect(conversation, request, (event) => {
        if (event.type !== 'token' || event.position !== 5) return;
        const { session } = network.routes[0]!;
        const empty = { kind: 'logits', count: 0, bytes: new Uint8Array() } as const;
        said = stranger.say(asker, rows(session, { stage: 3, sequence: 3 }, empty));
      }),
    );
    await network.until(said);
    expect(tokens).toEqual(toyAnswer(prompt, 12));
    expect(network.routes).toHaveLength(1);
  });

  it('by rows for a session that is not there, which are answered with unknown-session', async () => {
    await stranger.say(stages[0]!, rows('a'.repeat(32) as SessionId));
    expect(stranger.faults).toEqual(['unknown-session']);
  });
});

describe('a requester', () => {
  const prompt = [5, 6, 7];

  it.each<[string, string, (message: RowsMessage) => RowsMessage]>([
    ['logits that are not what their digest says', 'digest-mismatch', (m) => ({ ...m, digest: new Uint8Array(32) })],
    ['logits for another stage', 'bad-message', (m) => ({ ...m, stage: 1 })],
    [
      'no logits where it wants some',
      'bad-message',
      (m) => ({ ...m, ...rowsMessage({ ...m, rows: { ...m.rows, count: 0, bytes: new Uint8Array() } }) }),
    ],
    [
      'logits that are no numbers',
      'bad-message',
      (m) => ({ ...m, ...rowsMessage({ ...m, rows: { ...m.rows, bytes: m.rows.bytes.map(() => 255) } }) }),
    ],
  ])('that gets %s goes on without the last volunteer', async (_, code, change) => {
    network = new ToyNetwork(2);
    const liar = network.of(2)[0]!;
    network.links.rewrite = (message, from) =>
      message.type === 'rows' && from === liar.id && message.sequence === 2 ? change(message) : message;
    const { tokens } = await network.ask(network.conversation(), {
      promptTokens: prompt,
      maxNewTokens: 12,
      sampling: GREEDY,
    });
    expect(tokens).toEqual(toyAnswer(prompt, 12));
    expect(network.releases[0]?.faults).toEqual([{ volunteer: liar.id, code }]);
  });

  it('leaves out a middle volunteer and the one after, which says that its rows are not what their digest says', async () => {
    network = new ToyNetwork(2);
    const [liar, receiver] = [network.of(1)[0]!, network.of(2)[0]!];
    network.links.rewrite = (message, from) =>
      message.type === 'rows' && from === liar.id ? { ...message, digest: new Uint8Array(32) } : message;
    const { tokens } = await network.ask(network.conversation(), {
      promptTokens: prompt,
      maxNewTokens: 12,
      sampling: GREEDY,
    });
    expect(tokens).toEqual(toyAnswer(prompt, 12));
    const next = JSON.stringify(network.routes[1]);
    for (const { id } of [liar, receiver]) expect(next).not.toContain(id);
    // One's word against another's is no fault of either.
    expect(network.releases[0]?.faults).toEqual([]);
  });

  it('leaves out a volunteer that gives shadows other rows than their digest says, and not the shadows alone', async () => {
    network = checkedNetwork([], 3);
    const liar = network.of(0)[0]!;
    network.links.rewrite = (message, from) =>
      message.type === 'rows' && from === liar.id ? { ...message, digest: new Uint8Array(32) } : message;
    const { events } = await network.ask(network.conversation(), {
      promptTokens: prompt,
      maxNewTokens: 12,
      sampling: GREEDY,
    });
    expect(standing(events, prompt.length)).toEqual(toyAnswer(prompt, 12));
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
    expect(network.routes).toHaveLength(2);
    expect(JSON.stringify(network.routes[1])).not.toContain(liar.id);
  });
});
