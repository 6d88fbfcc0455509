import { afterAll, beforeAll, describe } from 'vitest';
import { startNetwork, type TestNetwork } from '../support/network.ts';
import type { VolunteerTab } from '../support/volunteer-tab.ts';
import { describeDataChannels } from './four-tabs/data-channels.ts';
import { describeDevices } from './four-tabs/devices.ts';
import { describeRelay } from './four-tabs/relay.ts';
import { describeWebGpu } from './four-tabs/webgpu.ts';

/** Four stages and no anchors: every tab holds a quarter of the model. */
describe('a network of tabs that hold a quarter of the model each', () => {
  let network: TestNetwork;
  const volunteers: VolunteerTab[] = [];

  beforeAll(async () => {
    network = await startNetwork({ anchors: 0, minStages: 4 });
  });

  afterAll(() => network.stop());

  describeDataChannels(() => network);
  describeRelay(() => network, volunteers);
  describeWebGpu(() => network, volunteers);
  describeDevices(() => network);
});
