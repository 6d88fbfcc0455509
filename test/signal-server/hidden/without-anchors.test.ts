import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { startAnchoredServer, type AnchoredServer } from '../../support/anchored-server.ts';
import { lieOf, startWrenVolunteer, type WrenVolunteer } from '../../support/wren-volunteer.ts';

interface LogLine {
  readonly msg: string;
  readonly volunteer?: PeerId;
  readonly [field: string]: unknown;
}
const lines: LogLine[] = [];
const volunteers: WrenVolunteer[] = [];
let network: AnchoredServer;

beforeAll(async () => {
  network = await startAnchoredServer(0, {
    hidden: { backoffMs: 600_000, meanMs: 500, share: 1 },
    onLog: (line) => lines.push(JSON.parse(line) as LogLine),
  });
}, 60_000);
afterAll(async () => {
  await Promise.all(volunteers.map((volunteer) => volunteer.leave()));
  await network.stop();
});

const shown = () => network.server.snapshot().volunteers;
const outcomesOf = (id: PeerId) =>
  lines
    .filter(({ msg, volunteer }) => msg === 'hidden session' && volunteer === id)
    .map(({ kind, outcome }) => `${String(kind)} ${String(outcome)}`);

async function join(...interference: Parameters<typeof startWrenVolunteer>[1][]): Promise<PeerId[]> {
  const started = await Promise.all(interference.map((one) => startWrenVolunteer(network.url, one)));
  volunteers.push(...started);
  return started.map(({ identity }) => identity.id);
}

describe('hidden sessions of a server without anchors', { timeout: 60_000 }, () => {
  it('try newcomers of either half beside the server’s own computation, and again later', async () => {
    const [honest, liar] = await join({}, { result: lieOf });
    await expect.poll(() => outcomesOf(liar!), { timeout: 30_000 }).toContain('trial failed');
    await expect.poll(() => outcomesOf(honest!), { timeout: 30_000 }).toContain('later passed');
    // Nothing comes of a trial for which no stand-in was free.
    const decided = outcomesOf(honest!).filter((outcome) => outcome !== 'trial unclear');
    expect(decided.slice(0, 2)).toEqual(['trial passed', 'later passed']);
    expect(shown().find(({ id }) => id === honest)).toMatchObject({ gate: 'open', measuredClass: true });
    expect(shown().find(({ id }) => id === liar)).toMatchObject({ gate: 'closed' });
    expect(
      shown()
        .map(({ id }) => id)
        .sort(),
    ).toEqual([honest, liar].sort());
    await expect(
      network.client.chat.completions.create({ model: 'wren', messages: [{ role: 'user', content: 'Hi' }] }),
    ).rejects.toThrow(/no volunteer/);
  });
});
