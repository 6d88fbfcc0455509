import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { finishedAnswer, sendQuestion, startNetwork, type TestNetwork } from '../support/network.ts';
import { loadOracle, type Oracle } from '../support/oracle.ts';
import { channelStats } from '../support/tabs.ts';

const question = 'Tell me a story about a shy dragon.';
const maxNewTokens = 64;

describe('four tabs without WebRTC, and a fifth that asks', () => {
  let network: TestNetwork;
  let oracle: Oracle;

  beforeAll(async () => {
    oracle = await loadOracle('wren', 'q4');
    network = await startNetwork({ anchors: 0, minStages: 4 });
    for (let i = 0; i < 4; i++) await network.volunteer({ webrtc: false });
    await network.servable();
  });

  afterAll(async () => {
    await network.stop();
    await oracle.dispose();
  });

  test('answer what the uncut model answers, through the relay, and the page says so', async () => {
    const requester = await network.requester({ webrtc: false, maxNewTokens });
    await sendQuestion(requester, question);
    const text = await finishedAnswer(requester);
    expect(text.trim()).toBe((await oracle.answer([{ role: 'user', content: question }], maxNewTokens)).trim());
    const route = requester.page.getByRole('list', { name: 'Route of the answer' });
    expect(await route.innerText()).toContain('through the relay');
  });

  test('answer a requester that has WebRTC itself, of which no data channel then has any part', async () => {
    const requester = await network.requester({ maxNewTokens: 16 });
    await sendQuestion(requester, question);
    const text = await finishedAnswer(requester);
    expect(text.trim()).toBe((await oracle.answer([{ role: 'user', content: question }], 16)).trim());
    expect(await channelStats(requester)).toMatchObject({ messagesReceived: 0, messagesSent: 0 });
  });
});
