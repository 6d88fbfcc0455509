import { beforeAll, describe, expect, test } from 'vitest';
import { readGoldenAnswers } from '../../support/golden-answers.ts';
import { finishedAnswer, sendQuestion, type TestNetwork } from '../../support/network.ts';
import { channelStats } from '../../support/tabs.ts';
import type { VolunteerTab } from '../../support/volunteer-tab.ts';

const question = 'Tell me a story about a shy dragon.';
const maxNewTokens = 64;

/** Its tabs stay: the next tests go on with them. */
export function describeRelay(networkOf: () => TestNetwork, volunteers: VolunteerTab[]): void {
  describe('four tabs without WebRTC, and a fifth that asks', () => {
    const golden = readGoldenAnswers();

    beforeAll(async () => {
      volunteers.push(...(await networkOf().volunteers(4, { webrtc: false })));
      await networkOf().servable();
    });

    test('answer what the uncut model answers, through the relay, and the page says so', async () => {
      const requester = await networkOf().requester({ webrtc: false, maxNewTokens });
      await sendQuestion(requester, question);
      const text = await finishedAnswer(requester);
      expect(text.trim()).toBe(golden.answer([{ role: 'user', content: question }], maxNewTokens).trim());
      const route = requester.page.getByRole('list', { name: 'Route of the answer' });
      expect(await route.innerText()).toContain('through the relay');
    });

    test('have served as many tokens by their own count as by that of the network, once the answer has ended', async () => {
      const ownCount = async ({ page }: VolunteerTab): Promise<number> =>
        Number(await page.locator('.served p', { hasText: 'tokens served' }).locator('.figure').innerText());
      const networkCounts = async (): Promise<number[]> => {
        const { volunteers: told } = await networkOf().snapshot();
        return volunteers.map(({ id }) => told.find((each) => each.id === id)!.tokens);
      };
      await expect.poll(async () => Math.min(...(await networkCounts()))).toBeGreaterThan(maxNewTokens);
      await expect.poll(() => Promise.all(volunteers.map(ownCount))).toEqual(await networkCounts());
    });

    test('answer a requester that has WebRTC itself, of which no data channel then has any part', async () => {
      const requester = await networkOf().requester({ maxNewTokens: 16 });
      await sendQuestion(requester, question);
      const text = await finishedAnswer(requester);
      expect(text.trim()).toBe(golden.answer([{ role: 'user', content: question }], 16).trim());
      expect(await channelStats(requester)).toMatchObject({ messagesReceived: 0, messagesSent: 0 });
    });
  });
}
