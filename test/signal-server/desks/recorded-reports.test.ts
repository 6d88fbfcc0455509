import { beforeEach, describe, expect, it } from 'vitest';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { Proof } from '#shared/proof/proof-schema.ts';
import type { ProvenFault } from '#shared/proof/verify-proof.ts';
import { ReportDesk } from '../../../signal-server/desks/report-desk.ts';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import { Registry } from '../../../signal-server/placement/registry.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { idOf } from '../../support/leases.ts';

const proof = { type: 'equivocation' } as Proof;
const fault: ProvenFault = {
  accused: idOf('1'),
  session: '0'.repeat(32) as SessionId,
  model: 'e'.repeat(64) as Digest,
  stage: 0,
  range: { start: 0, end: 4, embedding: true, head: false },
  reason: 'disagreement',
};

describe('a proven report', () => {
  let answers: string[];
  let convicted: PeerId[];
  let errors: unknown[];
  let record: { resolve: () => void; reject: (reason: unknown) => void };

  beforeEach(async () => {
    const clock = new FakeClock();
    [answers, convicted, errors] = [[], [], []];
    const recorded = new Promise<void>((resolve, reject) => (record = { resolve, reject }));
    const desk = new ReportDesk({
      clock,
      trust: {
        isProven: () => false,
        convict: ({ reason }) => recorded.then(() => ({ times: 1, untilMs: 0, reason })),
      },
      verify: () => Promise.resolve(fault),
      send: (_to, message) => {
        if (message.type === 'reported') answers.push(`${message.accepted}: ${message.reason}`);
      },
      onConvicted: ({ accused }) => convicted.push(accused),
      onReport: () => undefined,
      onError: (error) => errors.push(error),
      limits: parseConfig({}).limits,
    });
    const sender = new Registry(clock).join(idOf('a'), 'cli', 'loopback', 1);
    desk.receive(sender, { type: 'report', request: 1, proof });
    await settle();
  });

  it('is answered once the conviction is on the disk', async () => {
    expect([answers, convicted]).toEqual([[], []]);
    record.resolve();
    await settle();
    expect(answers).toEqual(['true: it computed something else than the layers give']);
    expect([convicted, errors]).toEqual([[fault.accused], []]);
  });

  it('is not accepted where the conviction could not be put on record', async () => {
    const failure = new Error('the disk is full');
    record.reject(failure);
    await settle();
    expect(answers).toEqual(['false: the server failed on this report']);
    expect([convicted, errors]).toEqual([[], [failure]]);
  });
});
