import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseReceiptSecrets } from '#shared/receipt/build/receipt-secrets.ts';
import { verifyHere } from '../../../web/receipts/verify-here.ts';
import { answerText, finishedAnswer, sendQuestion, type TestNetwork } from '../../support/network.ts';
import type { Tab } from '../../support/tabs.ts';

const STORY = 'Tell me a story about a fox and a lantern.';

/** One tab that is reloaded, left and come back to. */
export function describeConversations(networkOf: () => TestNetwork): void {
  describe('a conversation', () => {
    let tab: Tab;

    beforeAll(async () => {
      tab = await networkOf().requester({ maxNewTokens: 96 });
    });

    afterAll(() => tab.context.close());

    test('that is reloaded in mid-answer shows what had come and what was being asked, and goes on', async () => {
      const { page } = tab;
      await page.getByLabel('Your question').fill(STORY);
      // What was written is measured before anybody is asked.
      await page.getByText(/^\d+ of 512 tokens$/).waitFor();
      await page.getByRole('button', { name: 'Send' }).click();
      await expect.poll(async () => (await answerText(tab).innerText()).length).toBeGreaterThan(20);
      await page.reload();
      await page.getByText('The page was left while this was being written.').waitFor();
      await page.getByRole('heading', { level: 1, name: STORY }).waitFor();
      expect((await answerText(tab).innerText()).length).toBeGreaterThan(5);
      expect(page.url()).toMatch(/#\/chats\/[0-9a-f]{16}$/);
      await page.getByRole('button', { name: 'Ask again' }).click();
      await finishedAnswer(tab);
      await page.getByRole('button', { name: 'Earlier version' }).click();
      await page.getByText('The page was left while this was being written.').waitFor();
      await page.getByRole('button', { name: 'Later version' }).click();
    });

    test('that was left is in the list, whole, and its file has receipts that verify with their salts', async () => {
      const { page } = tab;
      const whole = await finishedAnswer(tab);
      await page.getByRole('button', { name: /^Receipt [0-9a-f]{8} logged/ }).waitFor();
      await page.reload();
      await page.getByRole('button', { name: /Receipt [0-9a-f]{8} logged/ }).waitFor();
      await page.getByRole('button', { name: 'Conversations' }).click();
      const drawer = page.getByRole('dialog', { name: 'Conversations' });
      await drawer.getByRole('button', { name: 'New conversation' }).click();
      await sendQuestion(tab, 'Who are you?');
      await finishedAnswer(tab);
      await page.goBack();
      await expect.poll(async () => answerText(tab).innerText()).toBe(whole);
      await page.getByRole('button', { name: 'Conversations' }).click();
      await drawer.getByRole('searchbox').fill('lantern');
      await drawer.getByRole('button', { name: 'More about' }).click();
      const download = page.waitForEvent('download');
      await drawer.getByRole('button', { name: 'Export' }).click();
      const file = JSON.parse(await readFile(await (await download).path(), 'utf8')) as {
        turns: { answer: string; receipt: unknown; secrets: unknown }[];
      };
      const { answer, receipt, secrets } = file.turns.at(-1)!;
      const { salt, prompt, tokens } = parseReceiptSecrets(secrets);
      const { isValid } = await verifyHere({ receipt, salt, prompt: prompt!, tokens, answer });
      expect([answer, isValid]).toEqual([whole, true]);
    });
  });
}
