import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { PROBATION_CHUNKS } from '#shared/limits.ts';
import type { ServerMessage } from '#shared/wire/control-message.ts';
import { StandingDesk } from '../../../signal-server/hidden/standing-desk.ts';
import { Registry } from '../../../signal-server/placement/registry.ts';
import type { Gate } from '../../../signal-server/routing/candidate.ts';
import { offerOf } from '../../support/control-peer.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const id = 'a'.repeat(64) as PeerId;

describe('the standing that volunteers are told', () => {
  let clock: FakeClock;
  let registry: Registry;
  let desk: StandingDesk;
  let sent: Extract<ServerMessage, { type: 'standing' }>[];
  let spans: number;
  let gate: Gate;
  let chance: number;
  let fault: { reason: string } | null;
  let failure: { reason: string; untilMs: number } | null;

  beforeEach(() => {
    clock = new FakeClock();
    registry = new Registry(clock);
    [sent, spans, gate, chance, failure, fault] = [[], 0, 'open', 0.4, null, null];
    registry.offer(registry.join(id, 'tab', 'loopback', 1), offerOf());
    desk = new StandingDesk({
      ...{
        clock,
        registry,
        chance: () => chance,
        spansOf: () => ({ witnessedSpans: spans, agreedSpans: 2 * spans }),
        gateOf: () => gate,
        failureOf: () => failure,
        lastFault: () => fault,
      },
      send: (_to, message) => sent.push(message),
    });
  });

  async function wait(ms: number): Promise<void> {
    await clock.advance(ms);
    desk.tick();
  }

  it('comes after a session, late, and says what was true before it', async () => {
    desk.tell(id);
    spans = 3;
    desk.worked([id]);
    await wait(60_000);
    expect(sent.map((message) => message.spans)).toEqual([0, 0]);
    spans = 4;
    desk.worked([id]);
    expect(desk.shown(id)).toEqual({ witnessedSpans: 0, agreedSpans: 0 });
    await wait(1_000);
    expect(sent).toHaveLength(2);
    await wait(60_000);
    expect(sent.at(-1)).toMatchObject({ gate: 'open', spans: 3, neededSpans: PROBATION_CHUNKS, reason: null });
    expect(desk.shown(id)).toEqual({ witnessedSpans: 3, agreedSpans: 6 });
  });

  it('comes after about half of all sessions', async () => {
    desk.tell(id);
    chance = 0.6;
    for (let i = 0; i < 10; i++) {
      spans += 1;
      desk.worked([id]);
      await wait(60_000);
    }
    expect(sent).toHaveLength(1);
    chance = 0.4;
    desk.worked([id]);
    await wait(60_000);
    expect(sent.at(-1)).toMatchObject({ spans: 10 });
  });

  it('says no more than its probation takes', async () => {
    spans = 400;
    desk.tell(id);
    expect(sent).toMatchObject([{ spans: PROBATION_CHUNKS }]);
  });

  it('says what is being done before its first work', () => {
    gate = 'trial';
    desk.tell(id);
    expect(sent).toMatchObject([{ gate: 'trial', untilMs: null }]);
    expect(sent[0]!.reason).toMatch(/tries this device/);
  });

  it('says why it is left out, until when, and what can be done', async () => {
    await clock.advance(5_000);
    gate = 'closed';
    failure = { reason: 'it was silent', untilMs: clock.nowMs() + 60_000 };
    desk.tell(id);
    expect(sent[0]).toMatchObject({ gate: 'closed', untilMs: clock.wallMs() + 60_000 });
    expect(sent[0]!.reason).toMatch(/it was silent\. A tab that stays in front/);
    registry.heartbeat(registry.get(id)!.volunteer!, {
      ...{ type: 'heartbeat', sessions: 0, tokens: 0, layerMs: 1, hidden: true },
    });
    desk.tell(id);
    expect(sent[1]!.reason).toMatch(/Nothing is held against it/);
  });

  it('says why a probation began anew, until it is over', async () => {
    fault = { reason: 'its numbers were not those of the layers' };
    desk.tell(id);
    expect(sent[0]!.reason).toMatch(/began anew: .* its numbers were not those of the layers$/);
    spans = PROBATION_CHUNKS;
    desk.worked([id]);
    desk.worked([id]);
    await wait(60_000);
    desk.worked([id]);
    await wait(60_000);
    expect(sent.at(-1)).toMatchObject({ gate: 'open', spans: PROBATION_CHUNKS, reason: null });
  });

  it('is told to nobody who is no volunteer any more', async () => {
    desk.tell(id);
    desk.worked([id, 'b'.repeat(64) as PeerId]);
    registry.withdraw(registry.get(id)!);
    await wait(600_000);
    desk.tell(id);
    expect(sent).toHaveLength(1);
  });
});
