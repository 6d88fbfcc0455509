import { afterAll, beforeAll, describe } from 'vitest';
import { startNetwork, type TestNetwork } from '../support/network.ts';
import { setClockAhead } from '../support/tabs.ts';
import type { VolunteerTab } from '../support/volunteer-tab.ts';
import { describeGateway } from './paired-tabs/gateway.ts';
import { describeLeaving } from './paired-tabs/volunteer-leaves.ts';

/** Two stages and no anchors: four tabs, two for each stage. */
describe('a network of two tabs for each stage', () => {
  let network: TestNetwork;
  const volunteers: VolunteerTab[] = [];

  beforeAll(async () => {
    network = await startNetwork({ anchors: 0, minStages: 2 });
    // A part of the time, so that one can leave in the middle of an answer; and clocks that are wrong change nothing.
    volunteers.push(...(await network.volunteers(4, { dutyPercent: 25, script: setClockAhead })));
    await network.servable();
  });

  afterAll(() => network.stop());

  describeGateway(() => network, volunteers);
  describeLeaving(() => network, volunteers);
});
