import { beforeEach, describe, expect, it } from 'vitest';
import { fromBase64, toBase64 } from '#shared/bytes.ts';
import { identityOf, generateKeyPair, verifySignature } from '#shared/crypto/web-crypto.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { checkAsked } from '#shared/draw/asked-draw.ts';
import type { RosterDraw } from '#shared/draw/draw-form.ts';
import { faultInLog, parseDrawsEntry } from '#shared/draw/draw-log.ts';
import { verifyDraw, type VerifiedDraw } from '#shared/draw/verify-draw.ts';
import { stateBytes } from '#shared/draw/volunteer-state.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import { DrawAsker } from '#shared/peer/requester/draw-asker.ts';
import type { ServerMessage } from '#shared/wire/control-message.ts';
import { DrawDesk } from '../../../signal-server/draw/draw-desk.ts';
import { systemRandom } from '../../../signal-server/machine/system-clock.ts';
import { planModel } from '../../../signal-server/placement/planned-model.ts';
import { Registry, type Member } from '../../../signal-server/placement/registry.ts';
import { rangeOf } from '../../../signal-server/placement/stage-grid.ts';
import type { Candidate } from '../../../signal-server/routing/candidate.ts';
import type { RouteRequest } from '../../../signal-server/routing/route-queue.ts';
import type { PlannedStage } from '../../../signal-server/routing/scheduler.ts';
import { candidate } from '../../support/candidates.ts';
import { offerOf, routeRequest } from '../../support/control-peer.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { smallManifest } from '../../support/small-manifest.ts';

const model = planModel('a'.repeat(64) as Digest, smallManifest(), 1, true);
const [first, second] = [model.grid[0]!, model.grid[1]!];
const server = await identityOf(await generateKeyPair());
const person = await identityOf(await generateKeyPair());
const other = await identityOf(await generateKeyPair());
const working = await identityOf(await generateKeyPair());

function holders(count: number, overrides: Partial<Candidate> = {}): Candidate[] {
  return [first, second].flatMap(({ start, end }, stage) =>
    Array.from({ length: count }, (_, i) =>
      candidate(`${stage}${i}`.padEnd(64, '0'), start, end, { freeSlots: 2, ...overrides }),
    ),
  );
}

describe('the draw desk', () => {
  let clock: FakeClock;
  let registry: Registry;
  let log: MemoryLog;
  let here: Candidate[];
  let desk: DrawDesk;
  let member: Member;
  let asker: DrawAsker;
  let errors: unknown[];
  let gateways: Set<PeerId>;
  let verified: Promise<boolean>[];

  beforeEach(async () => {
    clock = new FakeClock();
    registry = new Registry(clock);
    [log, here, errors, gateways, verified] = [new MemoryLog(), holders(4), [], new Set(), []];
    desk = deskOf();
    member = registry.join(person.id, 'tab', '198.51.100', 1);
    asker = askerOf(person);
    await desk.tick();
  });

  function deskOf(): DrawDesk {
    return new DrawDesk({
      ...{ clock, log, registry, server: server.id, random: systemRandom },
      verify(...args) {
        const isSigned = verifySignature(...args);
        verified.push(isSigned);
        return isSigned;
      },
      models: () => [model],
      candidatesOf: () => here,
      isGateway: (id) => gateways.has(id),
      send: (_to, message) => asker.take(message as Extract<ServerMessage, { type: 'checkpoint' }>),
      onError: (error) => errors.push(error),
    });
  }

  function askerOf(identity: Identity): DrawAsker {
    return new DrawAsker({
      ...{ clock, identity, random: systemRandom },
      control: {
        serverKey: server.publicKey,
        state: { type: 'open' },
        send: (message) => desk.receive(member, message as Extract<typeof message, { type: 'look' }>),
      },
    });
  }

  /** Has the roster of those who are here now in the log. */
  async function commit(): Promise<void> {
    await clock.advance(11_000);
    await desk.tick();
  }

  /** A volunteer says of itself what it runs. */
  async function signState(identity: Identity, counts: { readonly sessions: number; readonly slots: number }) {
    const volunteer = registry.get(identity.id) ?? registry.join(identity.id, 'tab', '203.0.113', 2);
    registry.offer(volunteer, offerOf());
    const state = { ...counts, atMs: clock.wallMs() };
    const signature = toBase64(await identity.sign(stateBytes(state, identity.id, server.id)));
    desk.receive(volunteer, { type: 'state', ...state, publicKey: toBase64(identity.publicKey), signature });
    await Promise.all(verified);
    await settle();
  }

  async function ask(change: Partial<RouteRequest> = {}): Promise<RouteRequest> {
    const plain = routeRequest(model.digest, { policy: { shadows: 1, minStages: 2 }, exclude: [person.id], ...change });
    const draw = await asker.ask({ model: model.digest, capacity: plain.capacity, shadows: 1 });
    return { ...plain, ...(draw && { draw }) };
  }

  const planned = (): PlannedStage[] =>
    [first, second].map((span) => {
      const [primary, shadow] = here.filter((one) => one.span === span || one.span.start === span.start);
      return { primary: primary!, shadows: [shadow!], predictedMs: 1 };
    });

  function give(request: RouteRequest) {
    return desk.draw(model, member, request, planned(), here);
  }

  function repeat(request: RouteRequest, { stages, record }: ReturnType<typeof give>): Promise<VerifiedDraw> {
    expect(record.by, JSON.stringify(record)).toBe('roster');
    return verifyDraw(
      record as RosterDraw,
      {
        ...{ server: server.id, model: model.digest, requester: person.id, capacity: request.capacity },
        ...{ issuedAtMs: clock.wallMs(), requesterKey: person.publicKey },
        stages: stages.map(({ primary, shadows }) => ({
          range: rangeOf(primary.span, model.layers),
          replicas: [primary, ...shadows],
        })),
      },
      verifySignature,
    );
  }

  const logged = () => log.entries.flatMap((entry) => parseDrawsEntry(entry) ?? []);

  it('draws by the roster in the checkpoint that the requester was shown, so that anybody can repeat it', async () => {
    const request = await ask();
    expect(await desk.whyRefused(member, request)).toBeNull();
    const given = give(request);
    expect((await repeat(request, given)).networks).toEqual([4, 4]);
    expect(() => checkAsked(given.record, request.draw!, request.exclude)).not.toThrow();
    expect(errors).toEqual([]);
  });

  it('draws others for another nonce, and the same for the same', async () => {
    const seen = new Set<string>();
    const request = await ask();
    expect(give(request).stages).toEqual(give(request).stages);
    for (let i = 0; i < 8; i++)
      seen.add(
        give(await ask())
          .stages.map(({ primary }) => primary.id)
          .join(),
      );
    expect(seen.size).toBeGreaterThan(3);
  });

  it('commits to a change within five seconds, and to nothing where nothing has changed', async () => {
    const size = log.entries.length;
    await clock.advance(4_000);
    await desk.tick();
    expect(log.entries).toHaveLength(size);
    here = holders(5);
    for (let i = 0; i < 5; i++) {
      await clock.advance(1_000);
      await desk.tick();
    }
    expect(log.entries).toHaveLength(size + 1);
    await clock.advance(10_000);
    expect((await repeat(await ask(), give(await ask()))).networks).toEqual([5, 5]);
  });

  it('leaves the choice to the server, and says why, where nothing can be drawn by', async () => {
    const named = await ask();
    const reasons: [RouteRequest, RegExp][] = [
      [routeRequest(model.digest), /names no checkpoint/],
      [
        { ...named, draw: { ...named.draw!, checkpoint: { size: 1, root: toBase64(new Uint8Array(32)) } } },
        /was not shown/,
      ],
      [await ask({ after: '0'.repeat(32) as RouteRequest['after'] }), /takes the place of another route/],
    ];
    for (const [request, reason] of reasons) {
      const { record, stages } = give(request);
      expect(record).toEqual({ by: 'server', reason: expect.stringMatching(reason) as string });
      expect(stages).toEqual(planned());
    }
    here = here.map((one) => ({ ...one, isReady: false }));
    expect(give(await ask()).record).toMatchObject({ by: 'server', reason: expect.stringMatching(/gone/) as string });
    await clock.advance(5 * 60_000);
    expect(give(named).record).toMatchObject({
      by: 'server',
      reason: expect.stringMatching(/not shown here of late/) as string,
    });
  });

  it('shows no checkpoint before a roster is in the log', async () => {
    [log, desk] = [new MemoryLog(), deskOf()];
    desk = deskOf();
    expect(await asker.ask({ model: model.digest, capacity: 8, shadows: 1 })).toBeNull();
    log.fault = new Error('no room');
    await expect(desk.tick()).rejects.toThrow('no room');
  });

  it('refuses a request that another key signed, or that was changed after it was', async () => {
    const request = await ask();
    expect(await desk.whyRefused(member, { ...request, capacity: request.capacity + 1 })).toMatch(/not signed/);
    expect(await desk.whyRefused(member, { ...request, draw: { ...request.draw!, number: 9 } })).toMatch(/not signed/);
    const policy = { ...request.policy, shadows: 2 };
    expect(await desk.whyRefused(member, { ...request, policy })).toMatch(/number of shadows/);
    const publicKey = toBase64(server.publicKey);
    expect(await desk.whyRefused(member, { ...request, draw: { ...request.draw!, publicKey } })).toMatch(/another key/);
  });

  it('logs every request under the numbers of its network and its requester, abandoned and refused ones too', async () => {
    const requests = [await ask(), await ask(), await ask(), await ask()];
    const record = give(requests[0]!).record as RosterDraw;
    desk.ended(member, requests[1]!, 'abandoned');
    desk.ended(member, requests[2]!, 'refused');
    const last = give(requests[3]!).record as RosterDraw;
    await desk.stop();
    expect(logged().map(({ outcome }) => outcome)).toEqual(['drawn', 'abandoned', 'refused', 'drawn']);
    expect(logged().map(({ count, number }) => [count.number, number])).toEqual([1, 2, 3, 4].map((n) => [n, n]));
    expect([record.count.number, last.count.number]).toEqual([1, 4]);
    for (const draw of logged()) expect(faultInLog(draw, logged())).toBeNull();
  });

  it('keeps what it could not log, and logs it once the log goes on', async () => {
    give(await ask());
    log.fault = new Error('no room');
    await desk.stop();
    expect(errors).toHaveLength(1);
    log.fault = null;
    await desk.stop();
    expect(logged()).toHaveLength(1);
  });

  it('chooses without a draw where the log is too far behind, and draws again once it goes on', async () => {
    log.fault = new Error('no room');
    const request = await ask();
    for (let i = 0; i < 4_096; i++) desk.ended(member, request, 'abandoned');
    expect(give(await ask()).record).toEqual({ by: 'server', reason: 'the log takes no draws now' });
    log.fault = null;
    await desk.stop();
    expect(logged()).toHaveLength(4_096);
    expect(give(await ask()).record.by).toBe('roster');
  });

  it('skips who is busy by a state that it signed itself', async () => {
    const { start, end } = first;
    here = [...here, candidate(working.id, start, end, { freeSlots: 2 })];
    await clock.advance(6_000);
    await desk.tick();
    await signState(working, { sessions: 2, slots: 2 });
    here = here.map((one) => (one.id === working.id ? { ...one, freeSlots: 0, running: 2 } : one));
    let busy = 0;
    for (let i = 0; i < 8; i++) {
      const request = await ask();
      const given = give(request);
      expect(given.stages.flatMap(({ primary, shadows }) => [primary, ...shadows].map(({ id }) => id))).not.toContain(
        working.id,
      );
      busy += (await repeat(request, given)).skips.busy;
    }
    expect(busy).toBeGreaterThan(0);
  });

  it('leaves out whom the requester has lost, and nobody whom it never had', async () => {
    const given = give(await ask());
    const lost = given.stages[0]!.primary.id;
    const others = here.map(({ id }) => id).filter((id) => !idsOf(given).includes(id));
    // Else who excludes all others would choose.
    const choosy = await ask({ exclude: [person.id, ...others] });
    expect(idsOf(give(choosy))).toEqual(idsOf(desk.draw(model, member, { ...choosy, exclude: [] }, planned(), here)));
    const exclude = [person.id, lost];
    let leftOut = 0;
    for (let i = 0; i < 8; i++) {
      const request = await ask({ exclude });
      const again = give(request);
      expect(idsOf(again)).not.toContain(lost);
      leftOut += (await repeat(request, again)).skips['left-out'];
      expect(() => checkAsked(again.record, request.draw!, exclude)).not.toThrow();
      if ((again.record as RosterDraw).stages[0]!.looks.some(({ skip }) => skip !== null)) {
        expect(() => checkAsked(again.record, request.draw!, [person.id])).toThrow(/leaves somebody out in the name/);
      }
    }
    expect(leftOut).toBeGreaterThan(0);
  });

  it('draws a slow volunteer to check a stage that has nobody else', async () => {
    here = holders(2).map((one, i) => (i % 2 === 0 ? one : { ...one, layerMs: 400 }));
    await commit();
    for (let i = 0; i < 4; i++) {
      const request = await ask();
      const given = give(request);
      expect(given.stages.map(({ shadows }) => shadows.map(({ layerMs }) => layerMs))).toEqual([[400], [400]]);
      await repeat(request, given);
    }
  });

  it('passes over who failed the requester a moment ago, and says so; who alone can check keeps the place', async () => {
    const [bad] = here;
    const failed = (...ids: readonly PeerId[]) => {
      here = here.map((one) => ({ ...one, failedLately: ids.includes(one.id) }));
    };
    failed(bad!.id);
    let passed = 0;
    for (let i = 0; i < 8; i++) {
      const request = await ask();
      const given = give(request);
      expect(idsOf(given)).not.toContain(bad!.id);
      passed += (await repeat(request, given)).skips.failed;
    }
    expect(passed).toBeGreaterThan(0);
    here = holders(2);
    await commit();
    failed(here[0]!.id);
    const request = await ask();
    expect((await repeat(request, give(request))).skips.failed).toBe(0);
    expect(idsOf(give(request))).toContain(here[0]!.id);
  });

  it('lets no requester choose by complaints: with more of them than may be passed over the server chooses, and says so', async () => {
    here = here.map((one, i) => ({ ...one, failedLately: i > 1 && i < 4 }));
    here = [
      ...here,
      ...holders(2).map((one) => ({ ...one, id: one.id.replace(/0$/, '1') as PeerId, failedLately: true })),
    ];
    await commit();
    const outcomes = new Set<string>();
    for (let i = 0; i < 12; i++) {
      const { record } = give(await ask());
      outcomes.add(record.by === 'server' ? record.reason : record.by);
      if (record.by === 'roster') {
        for (const { looks } of record.stages) expect(looks.filter(({ skip }) => skip !== null).length).toBeLessThan(3);
      }
    }
    expect([...outcomes].some((outcome) => /checked better, or by nobody that failed/.test(outcome))).toBe(true);
  });

  it('draws beside sessions where all have some, rather than not at all', async () => {
    const { start, end } = first;
    here = [...here.slice(4), ...[working, other].map(({ id }) => candidate(id, start, end, { freeSlots: 5 }))];
    await commit();
    for (const identity of [working, other]) await signState(identity, { sessions: 3, slots: 8 });
    here = here.map((one) => ([working.id, other.id].includes(one.id) ? { ...one, running: 3 } : one));
    const beside = await ask();
    expect((await repeat(beside, give(beside))).skips.busy).toBe(0);
    await signState(other, { sessions: 8, slots: 8 });
    here = here.map((one) => (one.id === other.id ? { ...one, running: 8, freeSlots: 0 } : one));
    expect(give(await ask()).record.by).toBe('server');
  });

  it('does not draw for the server itself, which could try nonces until a draw pleases it', async () => {
    gateways.add(person.id);
    const { record, stages } = give(await ask());
    expect(record).toMatchObject({ by: 'server', reason: expect.stringMatching(/asked itself/) as string });
    expect(stages).toEqual(planned());
  });

  it('refuses a route that was drawn for another request', async () => {
    const [request, another] = [await ask(), await ask()];
    expect(() => checkAsked(give(request).record, another.draw!, [])).toThrow(/drawn for another request/);
    expect(() => checkAsked(give(request).record, null, [])).toThrow(/drawn for another request/);
  });

  it('gives the log’s own signature on the checkpoint with the draw', async () => {
    const { checkpoint } = give(await ask()).record as RosterDraw;
    expect(checkpoint).toContain(log.origin);
    const signature = fromBase64(checkpoint.trimEnd().split(' ').at(-1)!);
    expect(signature).toHaveLength(68);
  });
});

function idsOf({ stages }: { readonly stages: readonly PlannedStage[] }): PeerId[] {
  return stages.flatMap(({ primary, shadows }) => [primary, ...shadows].map(({ id }) => id));
}
