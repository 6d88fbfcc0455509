import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { logitsRowBytes } from '#shared/rows/logits-row.ts';
import { readGoldenAnswers } from '../../support/golden-answers.ts';
import { finishedAnswer, sendQuestion, type TestNetwork } from '../../support/network.ts';
import { channelStats } from '../../support/tabs.ts';
import type { VolunteerTab } from '../../support/volunteer-tab.ts';

const question = 'Tell me a story about a brave mouse.';
const asking = [{ role: 'user' as const, content: question }];
const maxNewTokens = 64;
/** Wren's hidden rows in half precision. */
const hiddenRowBytes = 2 * 256;

export function describeDataChannels(networkOf: () => TestNetwork): void {
  describe('four tabs with WebRTC, and a fifth that asks', () => {
    const golden = readGoldenAnswers();
    const volunteers: VolunteerTab[] = [];

    beforeAll(async () => {
      volunteers.push(...(await networkOf().volunteers(4)));
      await networkOf().servable();
    });

    afterAll(() => networkOf().empty());

    test('answer what the uncut model answers, over data channels', async () => {
      const network = networkOf();
      const requester = await network.requester({ maxNewTokens });
      await sendQuestion(requester, question);
      const text = await finishedAnswer(requester);
      expect(text.trim()).toBe(golden.answer(asking, maxNewTokens).trim());

      const asked = await channelStats(requester);
      expect(asked.bytesReceived).toBeGreaterThan(maxNewTokens * logitsRowBytes(64));
      for (const volunteer of volunteers) {
        const stats = await channelStats(volunteer);
        expect(stats.messagesReceived).toBeGreaterThanOrEqual(maxNewTokens);
        expect(stats.bytesSent).toBeGreaterThan(maxNewTokens * hiddenRowBytes);
      }
      // The chat is still open, and may never say more: all of its spans are known, which the server shows after a second.
      const positions = golden.chat(asking).length + maxNewTokens - 1;
      const spans = Math.ceil(positions / CHUNK_POSITIONS);
      await expect.poll(async () => (await network.snapshot()).checks.unchecked).toBeGreaterThanOrEqual(spans);
      const { checks, sessions } = await network.snapshot();
      // A message lost on the way has failed; nothing has been given back.
      expect(sessions.finished).toBe(0);
      expect(sessions.running + sessions.failed).toBeGreaterThanOrEqual(1);
      await requester.context.close();
      await expect
        .poll(async () => (await network.snapshot()).sessions, { timeout: 60_000 })
        .toMatchObject({ running: 0, finished: sessions.running });
      expect((await network.snapshot()).checks).toEqual(checks);
    });
  });
}
