import { beforeEach, describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { Proof } from '#shared/proof/proof-schema.ts';
import type { ProvenFault } from '#shared/proof/verify-proof.ts';
import type { ServerMessage } from '#shared/wire/control-message.ts';
import { ReportDesk } from '../../../signal-server/desks/report-desk.ts';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import type { PeerAddress } from '../../../signal-server/peer-router/control-router.ts';
import { Registry, type Member } from '../../../signal-server/placement/registry.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { idOf } from '../../support/leases.ts';

const HOUR_MS = 3_600_000;
const proof = { type: 'equivocation' } as Proof;
const { limits } = parseConfig({ limits: { reports: { perSecond: 1, burst: 20 }, reportsWaiting: 3 } });

describe('the report desk', () => {
  let clock: FakeClock;
  let registry: Registry;
  let desk: ReportDesk;
  let sender: Member;
  let verify: () => Promise<ProvenFault>;
  let answers: (Extract<ServerMessage, { type: 'reported' }> & { to: PeerId })[];
  let receivers: PeerAddress[];
  let proven: Set<string>;
  let convicted: PeerId[];
  let counted: boolean[];
  let errors: unknown[];

  const fault: ProvenFault = {
    accused: idOf('1'),
    session: '0'.repeat(32) as SessionId,
    model: 'e'.repeat(64) as Digest,
    stage: 0,
    range: { start: 0, end: 4, embedding: true, head: false },
    reason: 'disagreement',
  };
  const isFalse = (): Promise<ProvenFault> => Promise.reject(new ChorusError('bad-message', 'it shows no fault'));

  beforeEach(() => {
    clock = new FakeClock();
    registry = new Registry(clock);
    [answers, proven, convicted, counted, errors] = [[], new Set(), [], [], []];
    receivers = [];
    verify = () => Promise.resolve(fault);
    desk = new ReportDesk({
      clock,
      trust: {
        isProven: (session, volunteer) => proven.has(session + volunteer),
        convict: async ({ session, volunteer, reason }) => {
          proven.add(session + volunteer);
          return { times: 1, untilMs: 0, reason };
        },
      },
      verify: () => verify(),
      send: (to, message) => {
        if (message.type === 'reported') answers.push({ to: to.id, ...message });
        receivers.push(to);
      },
      onConvicted: ({ accused }) => convicted.push(accused),
      onReport: (isAccepted) => counted.push(isAccepted),
      onError: (error) => errors.push(error),
      limits,
    });
    sender = registry.join(idOf('a'), 'cli', 'loopback', 1);
  });

  async function report(from = sender, request = 1): Promise<void> {
    desk.receive(from, { type: 'report', request, proof });
    await settle();
  }

  it('answers the connection that reported, though another of the same key is there by then', async () => {
    const reported = report();
    registry.leave(sender.id);
    registry.join(sender.id, 'cli', 'loopback', 2);
    await reported;
    expect(receivers).toMatchObject([{ id: sender.id, connection: 1 }]);
  });

  it('accepts a proof, says what it shows, and convicts', async () => {
    await report();
    expect(answers).toEqual([
      {
        to: sender.id,
        type: 'reported',
        request: 1,
        accepted: true,
        reason: 'it computed something else than the layers give',
      },
    ]);
    expect(convicted).toEqual([fault.accused]);
    expect(counted).toEqual([true]);
  });

  it('accepts the same fault again, from whomever, without a second conviction', async () => {
    await report();
    await report(registry.join(idOf('b'), 'cli', 'loopback', 1), 2);
    expect(answers.map(({ accepted }) => accepted)).toEqual([true, true]);
    expect(convicted).toHaveLength(1);
  });

  it('convicts for each session that is proven', async () => {
    await report();
    verify = () => Promise.resolve({ ...fault, session: '1'.repeat(32) as SessionId });
    await report();
    expect(convicted).toHaveLength(2);
  });

  it('refuses what is no proof, with the reason, and convicts nobody', async () => {
    verify = isFalse;
    await report();
    expect(answers).toMatchObject([{ accepted: false, reason: 'it shows no fault' }]);
    expect(convicted).toEqual([]);
  });

  it('reads nothing of a sender of five false reports for an hour, and everything of others', async () => {
    verify = isFalse;
    for (let i = 0; i < 5; i++) await report();
    verify = () => Promise.resolve(fault);
    await report();
    expect(answers.at(-1)).toMatchObject({ accepted: false, reason: expect.stringContaining('for an hour') as string });
    expect(convicted).toEqual([]);
    await report(registry.join(idOf('b'), 'cli', 'loopback', 1));
    expect(answers.at(-1)).toMatchObject({ accepted: true });
    await clock.advance(HOUR_MS);
    await report();
    expect(answers.at(-1)).toMatchObject({ to: sender.id, accepted: true });
  });

  it('forgives false reports after an hour', async () => {
    verify = isFalse;
    for (let i = 0; i < 4; i++) await report();
    await clock.advance(HOUR_MS + 1);
    desk.prune();
    for (let i = 0; i < 4; i++) await report();
    verify = () => Promise.resolve(fault);
    await report();
    expect(answers.at(-1)).toMatchObject({ accepted: true });
  });

  it('forgets no false report of the last hour when it prunes', async () => {
    verify = isFalse;
    for (let i = 0; i < 4; i++) await report();
    await clock.advance(HOUR_MS / 2);
    desk.prune();
    await report();
    await report();
    expect(answers.at(-1)).toMatchObject({ reason: expect.stringContaining('for an hour') as string });
  });

  it('holds a failure of its own against nobody', async () => {
    verify = () => Promise.reject(new Error('disk full'));
    for (let i = 0; i < 6; i++) await report();
    expect(errors).toHaveLength(6);
    expect(answers.at(-1)).toMatchObject({ accepted: false, reason: 'the server failed on this report' });
  });

  it('answers who reports too often without looking', async () => {
    let looked = 0;
    verify = () => {
      looked += 1;
      return Promise.resolve(fault);
    };
    for (let i = 0; i < 21; i++) await report();
    expect(answers.at(-1)).toMatchObject({ accepted: false, reason: 'you report too often' });
    expect(looked).toBe(20);
  });

  it('verifies one proof at a time and lets only so many wait', async () => {
    const pending: (() => void)[] = [];
    verify = () => new Promise((resolve) => pending.push(() => resolve(fault)));
    for (let request = 1; request <= 4; request++) await report(sender, request);
    expect(pending).toHaveLength(1);
    expect(answers).toMatchObject([{ request: 4, accepted: false }]);
    for (let i = 0; i < 3; i++) {
      pending[i]!();
      await settle();
    }
    expect(answers.map(({ request }) => request)).toEqual([4, 1, 2, 3]);
    await report(sender, 5);
    pending[3]!();
    await settle();
    expect(answers.at(-1)).toMatchObject({ request: 5, accepted: true });
  });
});
