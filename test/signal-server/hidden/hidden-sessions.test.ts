import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import { peerIdSchema, type PeerId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { startAnchoredServer, type AnchoredServer } from '../../support/anchored-server.ts';
import { connectVolunteer } from '../../support/control-peer.ts';
import { lieOf, startWrenVolunteer, type Interference, type WrenVolunteer } from '../../support/wren-volunteer.ts';

const provenanceSchema = z.object({
  chorus: z.object({ stages: z.array(z.object({ primary: peerIdSchema, shadows: z.array(peerIdSchema) })) }),
});

interface LogLine {
  readonly msg: string;
  readonly volunteer?: PeerId;
  readonly [field: string]: unknown;
}
const lines: LogLine[] = [];
let network: AnchoredServer;
let volunteers: WrenVolunteer[] = [];

beforeAll(async () => {
  network = await startAnchoredServer(4, {
    hidden: { trialOpenMs: 3_000, trialMs: 15_000, backoffMs: 600_000, meanMs: 1_000, share: 1 },
    onLog: (line) => lines.push(JSON.parse(line) as LogLine),
  });
}, 120_000);
afterEach(async () => {
  await Promise.all(volunteers.map((volunteer) => volunteer.leave()));
  volunteers = [];
});
afterAll(() => network.stop());

const stateOf = (id: PeerId): NetworkSnapshot['volunteers'][number] | undefined =>
  network.server.snapshot().volunteers.find((volunteer) => volunteer.id === id);
const sessionsOf = (id: PeerId) => lines.filter(({ msg, volunteer }) => msg === 'hidden session' && volunteer === id);

async function join(interference: Interference = {}): Promise<PeerId> {
  const volunteer = await startWrenVolunteer(network.url, interference);
  volunteers.push(volunteer);
  return volunteer.identity.id;
}

const settled = (id: PeerId) => expect.poll(() => sessionsOf(id).map(({ outcome }) => outcome), { timeout: 60_000 });

/** The volunteers of the routes of so many requests. */
async function drawn(requests: number): Promise<Set<PeerId>> {
  const ids = new Set<PeerId>();
  for (let i = 0; i < requests; i++) {
    const answer = await network.client.chat.completions.create({
      ...{ model: 'wren', max_tokens: 1, temperature: 0 },
      messages: [{ role: 'user', content: 'Hi' }],
    });
    const { stages } = provenanceSchema.parse(answer).chorus;
    for (const { primary, shadows } of stages) [primary, ...shadows].forEach((id) => ids.add(id));
  }
  return ids;
}

const LATE = /it did not (open the session in time|keep the session going)/;

describe('hidden sessions of a server with anchors', { timeout: 90_000 }, () => {
  it('let a volunteer work once it has passed its first, which is over in a moment', async () => {
    const id = await join();
    await settled(id).toContain('passed');
    expect(sessionsOf(id)[0]).toMatchObject({ kind: 'trial', outcome: 'passed', tokens: 8 });
    expect(sessionsOf(id)[0]!.tookMs).toBeLessThan(5_000);
    expect(stateOf(id)).toMatchObject({ gate: 'open', measuredClass: true });
  });

  it('find a liar before its first work', async () => {
    const id = await join({ result: lieOf });
    await settled(id).toEqual(['failed']);
    expect(stateOf(id)).toMatchObject({ gate: 'closed' });
    expect([...(await drawn(3))]).not.toContain(id);
  });

  it('give nothing to who says that it is ready and never serves, and keep nobody waiting for it', async () => {
    const hole = await connectVolunteer(network.url, { numericClass: ENGINE_CLASS, slots: 64, layerMs: 0.001 });
    expect(stateOf(hole.id)).toMatchObject({ gate: 'trial' });
    expect([...(await drawn(3))]).not.toContain(hole.id);
    await settled(hole.id).toEqual(['failed']);
    expect(sessionsOf(hole.id)[0]).toMatchObject({ reason: expect.stringMatching(LATE) as string });
    expect(stateOf(hole.id)).toMatchObject({ gate: 'closed' });
    expect(await hole.take('standing')).toMatchObject({ gate: 'trial' });
    const told = await hole.take('standing');
    expect(told).toMatchObject({ gate: 'closed', spans: 0, neededSpans: 10 });
    expect(told.reason).toMatch(LATE);
    expect(told.untilMs).toBeGreaterThan(Date.now());
    expect([...(await drawn(3))]).not.toContain(hole.id);
    await hole.close();
  });

  it('leave a class that nobody measured unmeasured, though it computes rightly', async () => {
    const id = await join({ numericClass: 'webgpu/apple/m9' });
    await settled(id).toContain('passed');
    expect(stateOf(id)).toMatchObject({ gate: 'open', measuredClass: false, numericClass: 'webgpu/apple/m9' });
  });

  it('find out later who was honest in its first alone', async () => {
    let isHonest = true;
    const id = await join({ result: (result) => (isHonest ? result : lieOf(result)) });
    await settled(id).toContain('passed');
    isHonest = false;
    await settled(id).toContain('failed');
    expect(sessionsOf(id).at(-1)).toMatchObject({ kind: 'later', outcome: 'failed' });
    expect(stateOf(id)).toMatchObject({ gate: 'closed' });
  });

  it('keep an honest volunteer at work, session after session', async () => {
    const id = await join();
    await settled(id).toEqual(['passed', 'passed', 'passed', 'passed']);
    expect(
      sessionsOf(id)
        .slice(1)
        .every(({ kind }) => kind === 'later'),
    ).toBe(true);
    // The claims of its replicas bring what each of them is worth: a span at least.
    await expect.poll(() => network.store.trust.earned(id, ENGINE_CLASS).own).toBeGreaterThanOrEqual(4);
    expect(lines.filter(({ msg }) => msg === 'an answer has no receipt')).toEqual([]);
  });
});
