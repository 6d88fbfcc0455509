import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { logitsRowBytes } from '#shared/rows/logits-row.ts';
import { finishedAnswer, sendQuestion, startNetwork, type TestNetwork } from '../support/network.ts';
import { loadOracle, type Oracle } from '../support/oracle.ts';
import { channelStats } from '../support/tabs.ts';
import type { VolunteerTab } from '../support/volunteer-tab.ts';

const question = 'Tell me a story about a brave mouse.';
const asking = [{ role: 'user' as const, content: question }];
const maxNewTokens = 64;
/** Wren's hidden rows in half precision. */
const hiddenRowBytes = 2 * 256;

describe('four tabs that hold a quarter of the model each, and a fifth that asks', () => {
  let network: TestNetwork;
  let oracle: Oracle;
  const volunteers: VolunteerTab[] = [];

  beforeAll(async () => {
    oracle = await loadOracle('wren', 'q4');
    network = await startNetwork({ anchors: 0, minStages: 4 });
    for (let i = 0; i < 4; i++) volunteers.push(await network.volunteer());
    await network.servable();
  });

  afterAll(async () => {
    await network.stop();
    await oracle.dispose();
  });

  test('answer what the uncut model answers, over data channels', async () => {
    const requester = await network.requester({ maxNewTokens });
    await sendQuestion(requester, question);
    const text = await finishedAnswer(requester);
    expect(text.trim()).toBe((await oracle.answer(asking, maxNewTokens)).trim());

    const asked = await channelStats(requester);
    expect(asked.bytesReceived).toBeGreaterThan(maxNewTokens * logitsRowBytes(64));
    for (const volunteer of volunteers) {
      const stats = await channelStats(volunteer);
      expect(stats.messagesReceived).toBeGreaterThanOrEqual(maxNewTokens);
      expect(stats.bytesSent).toBeGreaterThan(maxNewTokens * hiddenRowBytes);
    }
    // The chat is still open, and may never say more: all of its spans are known, which the server shows after a second.
    const positions = oracle.chat(asking).length + maxNewTokens - 1;
    const spans = Math.ceil(positions / CHUNK_POSITIONS);
    await expect.poll(async () => (await network.snapshot()).checks.unchecked).toBeGreaterThanOrEqual(spans);
    const { checks, sessions } = await network.snapshot();
    // What was lost on the way has failed; nothing has been given back.
    expect(sessions.finished).toBe(0);
    expect(sessions.running + sessions.failed).toBeGreaterThanOrEqual(1);
    await requester.context.close();
    await expect
      .poll(async () => (await network.snapshot()).sessions, { timeout: 60_000 })
      .toMatchObject({ running: 0, finished: sessions.running });
    expect((await network.snapshot()).checks).toEqual(checks);
  });
});
