import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { sessionIdSchema, type SessionId } from '#shared/ids.ts';
import { receiptListSchema } from '#shared/wire/receipt-list.ts';
import { startAnchoredServer, type AnchoredServer } from '../../support/anchored-server.ts';
import { startRecordingProxy, type RecordingProxy, type SeenSession } from '../../support/recording-proxy.ts';
import { startWrenVolunteer, type WrenVolunteer } from '../../support/wren-volunteer.ts';

const sessionSchema = z.object({ session: sessionIdSchema });
const provenanceSchema = z.object({ chorus: sessionSchema.extend({ earlier: z.array(sessionSchema) }) });
const ANSWERS = 40;
/** Asked at most, where stalls of the machine keep the volunteer out of answers. */
const MOST_ANSWERS = 160;
const [LEAST_REAL, LEAST_HIDDEN] = [12, 5];

let network: AnchoredServer;
let proxy: RecordingProxy;
let volunteer: WrenVolunteer;
let real: SeenSession[];
let hidden: SeenSession[];
/** Of which those real ones are. */
let answers: number;

beforeAll(async () => {
  network = await startAnchoredServer(4, { hidden: { meanMs: 300, share: 1 } });
  proxy = await startRecordingProxy(network.url);
  volunteer = await startWrenVolunteer(proxy.url);
  const own = () => network.server.snapshot().volunteers.find(({ id }) => id === volunteer.identity.id);
  await vi.waitFor(() => expect(own()).toMatchObject({ gate: 'open', state: 'ready' }), {
    timeout: 60_000,
    interval: 100,
  });
  /** Sessions of answers that were asked for, with the number of the answer: a stall of the machine may give it several. */
  const asked = new Map<SessionId, number>();
  const split = (): void => {
    const seen = [...proxy.sessions()].filter(
      ([, { seat, messages }]) => seat !== null && messages.some(({ message }) => message.type === 'close'),
    );
    real = seen.flatMap(([id, session]) => (asked.has(id) ? [session] : []));
    answers = new Set(seen.flatMap(([id]) => asked.get(id) ?? [])).size;
    // The first is known to be hidden, and need not look like others.
    hidden = seen.flatMap(([id, session]) => (asked.has(id) ? [] : [session])).slice(1);
  };
  for (
    let i = 0;
    i < ANSWERS || (i < MOST_ANSWERS && (real.length <= LEAST_REAL || hidden.length <= LEAST_HIDDEN));
    i++
  ) {
    const answer = await network.client.chat.completions.create({
      ...{ model: 'wren', temperature: i % 2 },
      ...(i % 3 > 0 && { max_tokens: 8 + i }),
      messages: [{ role: 'user', content: 'Tell me what a wren eats in winter.' }],
    });
    const { session, earlier } = provenanceSchema.parse(answer).chorus;
    for (const each of [{ session }, ...earlier]) asked.set(each.session, i);
    split();
  }
}, 240_000);
afterAll(async () => {
  await volunteer.leave();
  await proxy.stop();
  await network.stop();
});

/** What its seat says besides names and numbers. */
function placeIn({ seat }: SeenSession): string {
  const { stage, stages, role, forward, shadows } = seat!;
  return JSON.stringify([Object.keys(seat!), stage, stages, role, forward?.webrtc, shadows.length]);
}

/** With whom it speaks of what. */
function kindsOf({ seat, messages }: SeenSession): Set<string> {
  const kinds = messages.map(({ from, other, message }) => {
    const whom = other === seat!.requester ? 'the requester' : 'a stage';
    return `${from === 'self' ? 'to' : 'from'} ${whom}: ${message.type}`;
  });
  return new Set(kinds);
}

/** With whom it speaks of what, in its place. */
function talkOf(session: SeenSession): string {
  return JSON.stringify([placeIn(session), [...kindsOf(session)].sort()]);
}

/** False where a stall of the machine had the answer go on elsewhere. */
const cameToItsEnd = ({ messages }: SeenSession): boolean =>
  messages.some(({ message }) => message.type === 'recorded');

const setOf = (sessions: SeenSession[], of: (session: SeenSession) => string): Set<string> => new Set(sessions.map(of));

describe('what a volunteer sees of a hidden session and of an answer of the gateway', { timeout: 60_000 }, () => {
  it('is enough of both to compare', () => {
    expect(real.length).toBeGreaterThan(LEAST_REAL);
    expect(hidden.length).toBeGreaterThan(LEAST_HIDDEN);
  });

  it('is a requester that it never met before, each time', () => {
    const requesters = [...real, ...hidden].map(({ seat }) => seat!.requester);
    expect(new Set(requesters).size).toBe(answers + hidden.length);
  });

  it('is the same places in the same routes', () => {
    const places = setOf(real, placeIn);
    expect([...setOf(hidden, placeIn)].filter((place) => !places.has(place))).toEqual([]);
  });

  it('is the same messages from and to the same parties', () => {
    const talks = setOf(real, talkOf);
    const whole = hidden.filter(cameToItsEnd);
    expect(whole.length).toBeGreaterThan(hidden.length / 2);
    expect([...setOf(whole, talkOf)].filter((talk) => !talks.has(talk))).toEqual([]);
  });

  it('is no other message where it was broken off', () => {
    for (const session of hidden.filter((each) => !cameToItsEnd(each))) {
      const alike = real.filter((each) => placeIn(each) === placeIn(session));
      const known = new Set(alike.flatMap((each) => [...kindsOf(each)]));
      expect([...kindsOf(session)].filter((kind) => !known.has(kind))).toEqual([]);
    }
  });

  it('is sessions of a capacity that real answers have too', () => {
    const capacities = real.map(({ seat }) => seat!.capacity);
    for (const { seat } of hidden) expect(seat!.capacity).toBeLessThanOrEqual(Math.max(...capacities));
  });

  it('is records that it signs for a receipt, which is in the log like others', async () => {
    const signed = hidden.filter(cameToItsEnd);
    expect(signed.length).toBeGreaterThan(0);
    const list = receiptListSchema.parse(await (await fetch(`${network.url}/api/receipts?limit=200`)).json());
    const askers = new Set(list.receipts.map(({ requester }) => requester));
    for (const { seat } of real) expect(askers).toContain(seat!.requester);
    expect(signed.filter(({ seat }) => askers.has(seat!.requester)).length).toBeGreaterThan(0);
  });

  it('is nothing on its control socket that comes with one of them alone', () => {
    const types = new Set(
      proxy.control.flatMap(({ from, text }) =>
        from === 'server' ? [z.object({ type: z.string() }).parse(JSON.parse(text)).type] : [],
      ),
    );
    expect([...types].sort()).toEqual(['alive', 'assign', 'challenge', 'seat', 'standing', 'welcome']);
  });
});
