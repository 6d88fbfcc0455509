import { beforeAll, describe, expect, it } from 'vitest';
import { randomHistory } from '../bench/calibrate/trace-set.ts';
import { falseReports, type FalseReport } from './false-reports.ts';
import { computedNetworkLiars, protocolLiars, type NetworkLiar } from './network-liars.ts';
import { networkTrials, type NetworkStand, type NetworkTrial, type TrialOptions } from './network-trials.ts';
import { wrenStand } from './wren-stand.ts';

const computed = (name: string): NetworkLiar => {
  const found = computedNetworkLiars.find((liar) => liar.name === name);
  if (found === undefined) throw new Error(`no liar called ${name}`);
  return found;
};
const honest: NetworkLiar = { name: 'nobody', role: 'primary', stages: [0], isProtocol: true };

describe('a network of the default model', { timeout: 60_000 }, () => {
  let stand: NetworkStand;
  beforeAll(async () => {
    const histories = [1, 2].map((seed) => randomHistory(160, 2048, seed));
    // A prompt of more than a chunk, for those that lie after the first.
    stand = { ...(await wrenStand(histories, 1)), prompts: [[...histories[0]!.slice(0, 40)]] };
  }, 120_000);

  const tell = async (liar: NetworkLiar, stage: number, options: TrialOptions = {}): Promise<NetworkTrial> => {
    for await (const trial of networkTrials(stand, liar, stage, options)) return trial;
    throw new Error('no trial');
  };

  it('accuses nobody who is honest', async () => {
    expect(await tell(honest, 0)).toMatchObject({
      ...{ liedChunks: 0, isCaught: false, falseAccusations: 0, falseProofs: 0, codes: [], tier: 'checked' },
      ...{ isTextRight: true, hasMoved: false },
    });
  });

  const places = (liars: readonly NetworkLiar[]) =>
    liars.flatMap((liar) => liar.stages.map((stage) => [liar.name, stage, liar] as const));

  // Where the rows are the same bit for bit, or nobody asked for any, it is no matter in which runs they were made.
  const harmless = ['other runs than it made', 'different bytes to primary and shadow'];
  // A shadow that is late may as well be slow.
  const late = 'a shadow that commits late';
  const [harmful, others] = [false, true].map((is) =>
    protocolLiars.filter(({ name }) => name !== late && harmless.includes(name) === is),
  );
  it.each(places(harmful!))(
    'catches one that lies in the protocol within the chunk: %s, in stage %i',
    async (_, stage, liar) => {
      expect(await tell(liar, stage)).toMatchObject({
        ...{ isCaught: true, liedChunks: 1, falseAccusations: 0, falseProofs: 0 },
        ...{ wrongShown: 0, isTextRight: true, failure: null },
      });
    },
  );

  it.each(places(protocolLiars.filter(({ name }) => name === late)))(
    'goes on without one, and names nobody: %s, in stage %i',
    async (_, stage, liar) => {
      expect(await tell(liar, stage)).toMatchObject({
        ...{ isCaught: false, falseAccusations: 0, falseProofs: 0, tier: 'checked' },
        ...{ wrongShown: 0, isTextRight: true, failure: null },
      });
    },
  );

  it.each(places(others!))('answers rightly though one lies: %s, in stage %i', async (_, stage, liar) => {
    const outcome = { wrongShown: 0, hasMoved: false, isTextRight: true, falseProofs: 0, failure: null };
    expect(await tell(liar, stage)).toMatchObject(outcome);
  });

  it.each(
    places(
      [
        ...['zeros', 'sign flip', 'noise at 10 × honest', 'a skipped layer', 'neighbouring layer’s weights'],
        ...['sign flip in the prompt only', 'logits only: best two swapped', 'a lying shadow that accuses the honest'],
      ].map(computed),
    ),
  )('catches one that computes something else within the chunk: %s, in stage %i', async (_, stage, liar) => {
    expect(await tell(liar, stage)).toMatchObject({
      ...{ isCaught: true, liedChunks: 1, codes: ['disagreement'], proven: 1 },
      ...{ falseAccusations: 0, falseProofs: 0, wrongShown: 0, isTextRight: true },
    });
  });

  it.each([0, 1])('answers rightly though stage %i sends what is no number', async (stage) => {
    expect(await tell(computed('NaN'), stage)).toMatchObject({ wrongShown: 0, isTextRight: true, failure: null });
  });

  it('is fooled by two of one stage in league, but not if a third checks them', async () => {
    const liar = computed('neighbouring layer’s weights');
    const roles = ['primary', 'shadow'] as const;
    expect(await tell(liar, 0, { roles })).toMatchObject({ isCaught: false, tier: 'checked' });
    const caught = await tell(liar, 0, { roles, shadows: 2 });
    expect(caught).toMatchObject({ isCaught: true, falseAccusations: 0, isTextRight: true, wrongShown: 0 });
  });

  it.each([0, 1])('believes no report against the honest primary of stage %i', async (stage) => {
    const reports: FalseReport[] = [];
    await tell(computed('a lying shadow that accuses the honest'), stage, {
      onEnd: async (network) => void reports.push(...(await falseReports(network, stage))),
    });
    expect(reports.length).toBeGreaterThan(9);
    expect(reports.filter(({ isBelieved }) => isBelieved)).toEqual([]);
  });
});
