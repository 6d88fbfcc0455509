import { afterAll, beforeAll, describe, inject } from 'vitest';
import { networkAround, type TestNetwork } from '../support/network.ts';
import { until } from '../support/volunteer-tab.ts';
import { startWitnessedServer, type WitnessedServer } from '../support/witnessed-server.ts';
import { describeConversations } from './anchors/conversations.ts';
import { describeFaultyDevice } from './anchors/faulty-device.ts';
import { describeKeptThings } from './anchors/kept-things.ts';
import { describeLiar } from './anchors/liar.ts';
import { describePage } from './anchors/page-axe.ts';
import { describeReceipts } from './anchors/receipts.ts';
import { describeUnableBrowsers } from './anchors/unable-browsers.ts';

const ANCHORS = 4;

/** Two stages, two anchors for each, and a log that two witnesses cosign. */
describe('a network of four anchors', () => {
  let network: TestNetwork<WitnessedServer>;

  beforeAll(async () => {
    const server = await startWitnessedServer({ anchors: ANCHORS, minStages: 2, template: inject('dataTemplate') });
    network = await networkAround(server, ANCHORS);
    // By then each stage has a second replica.
    const states = async () => (await network.snapshot()).volunteers.map(({ state }) => state);
    await until(
      async () => ((await states()).filter((state) => state === 'ready').length === ANCHORS ? true : undefined),
      async () => `the anchors are ${(await states()).join(', ')}`,
    );
  });

  afterAll(() => network.stop());

  describePage(() => network);
  describeReceipts(() => network);
  describeConversations(() => network);
  describeFaultyDevice(() => network);
  describeLiar(() => network);
  describeUnableBrowsers(() => network);
  describeKeptThings(() => network);
});
