import { beforeAll, describe, expect, test } from 'vitest';
import { readGoldenAnswers } from '../../support/golden-answers.ts';
import { finishedAnswer, sendQuestion, type TestNetwork } from '../../support/network.ts';
import { channelStats, connectionsMade, type Tab } from '../../support/tabs.ts';
import type { VolunteerTab } from '../../support/volunteer-tab.ts';

const question = 'Tell me a story about a shy dragon.';
const maxNewTokens = 64;

/** Its tabs stay: the next tests go on with them. */
export function describeRelay(networkOf: () => TestNetwork, volunteers: VolunteerTab[]): void {
  describe('four tabs that talk through the server only, two of them by choice, and a fifth that asks', () => {
    const golden = readGoldenAnswers();
    /** Those that could connect directly, and whose owners will not have it. */
    const relayOnly: Tab[] = [];

    beforeAll(async () => {
      const chosen = await networkOf().volunteers(2, { relayOnly: true });
      volunteers.push(...chosen, ...(await networkOf().volunteers(2, { webrtc: false })));
      await networkOf().servable();
      relayOnly.push(...chosen);
    });

    test('answer what the uncut model answers, through the relay, and the page says so', async () => {
      const requester = await networkOf().requester({ relayOnly: true, maxNewTokens });
      relayOnly.push(requester);
      // It stands open before the first question, and is folded from then on.
      await requester.page.getByText('no stranger sees its network address').waitFor();
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

    test('make no connection of their own, offer none, and say who sees what', async () => {
      const { volunteers: listed } = await networkOf().snapshot();
      expect(listed.map(({ webrtc }) => webrtc)).toEqual([false, false, false, false]);
      await relayOnly.at(-1)!.page.getByText('Strangers can read this').click();
      for (const tab of relayOnly) {
        expect(await connectionsMade(tab)).toBe(0);
        await tab.page.getByText('no stranger sees its network address').waitFor();
      }
      const chosen = relayOnly[0]!.page.getByRole('switch', { name: 'Through the server only' });
      await chosen.uncheck();
      await relayOnly[0]!.page.getByText('Those whom this tab talks to directly see its network address').waitFor();
      const offered = async () => (await networkOf().snapshot()).volunteers.filter(({ webrtc }) => webrtc).length;
      await expect.poll(offered).toBe(1);
      await chosen.check();
      await expect.poll(offered).toBe(0);
    });
  });
}
