import { beforeEach, describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { AdmissionWork } from '#shared/peer/volunteer/admission-work.ts';
import type { PeerControlMessage, ServerMessage } from '#shared/wire/control-message.ts';

const asked = (seed: string): ServerMessage => ({ type: 'work', epoch: 5, seed, tries: 32 });
const NONCES = [1, 2, 3, 4, 5, 6, 7, 8];
const WORKED: PeerControlMessage = { type: 'worked', epoch: 5, nonces: NONCES };

describe('work that a server asks for', () => {
  let work: AdmissionWork;
  let told: PeerControlMessage[];
  let isAsked: boolean[];
  /** What the thread has been given, and how each ends. */
  let given: { tries: number; end: (nonces: number[] | null) => void }[];

  beforeEach(() => {
    [told, isAsked, given] = [[], [], []];
    work = new AdmissionWork({
      worker: {
        work: ({ tries }) =>
          new Promise((resolve, reject) => {
            const lost = new ChorusError('worker-lost', 'the thread ended');
            given.push({ tries, end: (nonces) => (nonces === null ? reject(lost) : resolve(nonces)) });
          }),
      },
      tell: (message) => told.push(message),
      onChange: (now) => isAsked.push(now),
    });
  });
  const settled = () => new Promise((resolve) => setTimeout(resolve));

  it('is done once and shown, and is over when the server has taken it', async () => {
    expect([asked('AA=='), { type: 'idle', reason: '' } as const].map((message) => work.receive(message))).toEqual([
      true,
      false,
    ]);
    given[0]!.end(NONCES);
    await settled();
    expect(told).toEqual([WORKED]);
    work.receive({ type: 'admitted' });
    expect(isAsked).toEqual([true, false]);
    expect(given).toMatchObject([{ tries: 32 }]);
  });

  it('is shown again, and not done again, to a server that was lost and asks for the same', async () => {
    work.receive(asked('AA=='));
    work.end();
    given[0]!.end(NONCES);
    await settled();
    expect(told).toEqual([]);
    work.receive(asked('AA=='));
    work.end();
    work.receive(asked('AA=='));
    expect([told, given.length]).toEqual([[WORKED, WORKED], 1]);
    work.receive(asked('AQ=='));
    expect(given).toHaveLength(2);
  });

  it('begins anew in the thread that takes the place of one that was lost', async () => {
    work.receive(asked('AA=='));
    given[0]!.end(null);
    await settled();
    work.goOn();
    work.goOn();
    given[1]!.end(NONCES);
    await settled();
    expect([told, given.length]).toEqual([[WORKED], 2]);
  });
});
