import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { digestSchema } from '#shared/ids.ts';
import { manifestSchema } from '#shared/model/manifest.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { runChorus } from '../../support/chorus-process.ts';
import { finishedAnswer, sendQuestion, type TestNetwork } from '../../support/network.ts';
import { setClockAhead } from '../../support/tabs.ts';
import { until } from '../../support/volunteer-tab.ts';
import type { WitnessedServer } from '../../support/witnessed-server.ts';
import { wrenChat } from '../../support/wren-text.ts';

const messages = [{ role: 'user' as const, content: 'Tell me a story about a brave mouse.' }];
const maxNewTokens = 24;
/** A busy machine may be too slow for all to sign and log in time, which is no fault: an answer is asked for again then. */
const mostAnswers = 5;
const valid = 'Checked, on the word of those who signed it';
const answerSchema = z.object({
  choices: z.array(z.object({ message: z.object({ content: z.string() }) })).length(1),
  chorus: z.object({
    tier: z.literal('checked'),
    receipt: z.object({ id: digestSchema, url: z.string(), salt: z.string().length(64) }),
  }),
});

/** With another letter in the place of the first. */
const changed = (answer: string): string => (answer.startsWith('O') ? 'A' : 'O') + answer.slice(1);

export function describeReceipts(networkOf: () => TestNetwork<WitnessedServer>): void {
  describe('receipts of a server whose log two witnesses cosign', () => {
    let server: WitnessedServer;
    let folder = '';
    const at = (name: string): string => join(folder, name);

    beforeAll(async () => {
      ({ server } = networkOf());
      folder = await mkdtemp(join(tmpdir(), 'chorus-receipts-'));
      await writeFile(at('policy.txt'), server.policy);
    });

    afterAll(async () => {
      await networkOf().empty();
      await rm(folder, { recursive: true, force: true });
    });

    /** A logged receipt, once both witnesses have seen the log with it. */
    function fetchReceipt(url: string): Promise<ReceiptFile> {
      let proof: string | null = null;
      return until(
        async () => {
          const response = await fetch(new URL(url, server.url));
          expect(response.status).toBe(200);
          const file = (await response.json()) as ReceiptFile;
          ({ proof } = file);
          return proof?.match(/^— witness-/gm)?.length === 2 ? file : undefined;
        },
        async () => Promise.resolve(`cosignatures are missing: ${proof}`),
      );
    }

    describe('of an answer through the API', () => {
      let salt = '';

      beforeAll(async () => {
        const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
        const request = { model: 'wren', messages, temperature: 0, max_tokens: maxNewTokens };
        let answer: unknown;
        for (let answers = 0; answers < mostAnswers && !answerSchema.safeParse(answer).success; answers++) {
          answer = await client.chat.completions.create(request);
        }
        const { choices, chorus } = answerSchema.parse(answer);
        salt = chorus.receipt.salt;
        await writeFile(at('receipt.json'), JSON.stringify(await fetchReceipt(chorus.receipt.url)));
        await writeFile(at('answer.txt'), choices[0]!.message.content);
        await writeFile(at('prompt.txt'), wrenChat(messages));
      });

      test('verify offline, by every check', async () => {
        const { code, out } = await verify('--answer', at('answer.txt'), '--policy', at('policy.txt'));
        const open = [...out.matchAll(/^(\S+) +([a-z-]+) {2}/gm)].filter(([, mark]) => mark !== 'ok');
        expect(open.map(([, mark, name]) => [mark, name])).toEqual([
          ['-', 'tokens'],
          // The gateway is the server's own requester.
          ['-', 'draw'],
          ['-', 'model'],
          ['-', 'log-history'],
        ]);
        expect(out).toContain('collusion of both is not excluded');
        expect([code, out.match(/^ok /gm)?.length]).toEqual([0, 19]);
      });

      test('are of a log that begins with what was seen of it, as the server shows', async () => {
        const { code, out } = await verify('--policy', at('policy.txt'), '--log', server.url, '--require', 'history');
        expect([code, /^ok +log-history /m.test(out)], out).toEqual([0, true]);
      });

      test('do not hold for an answer with one other letter, which is named', async () => {
        await writeFile(at('other.txt'), changed(await readFile(at('answer.txt'), 'utf8')));
        const { code, out } = await verify('--answer', at('other.txt'), '--policy', at('policy.txt'));
        expect([code, out.match(/^FAILED.*$/gm)?.map((line) => line.split(/ +/)[1])]).toEqual([1, ['answer']]);
      });

      test('agree with what the model in the data folder computes again', async () => {
        const { code, out } = await verify('--answer', at('answer.txt'), '--replay', '--data', server.dataFolder);
        const equal = out.match(/stage \d of [0-9a-f]{8}: chunks [\d, ]+ equal bit for bit$/gm) ?? [];
        // Primaries and shadows: a shadow's runs are cut otherwise, which the engine's bits do not show.
        expect([code, equal.length], out).toEqual([0, 4]);
        expect(out).toContain(`tokens: ${maxNewTokens} of ${maxNewTokens} are those the sampler draws here`);
        expect(out).toContain('the tokens spell the answer');
        expect(out).not.toContain('DIFFERENT');
      });

      function verify(...args: string[]): ReturnType<typeof runChorus> {
        const given = ['--prompt', at('prompt.txt'), '--salt', salt, '--memory', at('memory')];
        return runChorus(['verify', at('receipt.json'), ...given, ...args]);
      }
    });

    describe('of an answer on the page', () => {
      let page: Page;
      let id = '';
      let openLink = '';

      beforeAll(async () => {
        const tab = await networkOf().requester({ maxNewTokens, script: setClockAhead });
        page = tab.page;
        await sendQuestion(tab, messages[0]!.content);
        await finishedAnswer(tab);
        await page.getByRole('button', { name: /^Receipt [0-9a-f]{8} logged/ }).click();
        for (const [button, name] of [
          ['Receipt', 'page-receipt.json'],
          ['Answer', 'page-answer.txt'],
          ['Salt, prompt and tokens', 'page-secrets.json'],
          ['Manifest of the model', 'page-manifest.json'],
        ] as const) {
          const download = page.waitForEvent('download');
          await page.getByRole('button', { name: button, exact: true }).click();
          await (await download).saveAs(at(name));
        }
        await page.evaluate(() => {
          navigator.clipboard.writeText = async (text) => sessionStorage.setItem('copied', text);
        });
        await page.getByRole('button', { name: 'Copy the link that opens it' }).click();
        openLink = await until(
          () => page.evaluate(() => sessionStorage.getItem('copied') ?? undefined),
          async () => Promise.resolve('no link was copied'),
        );
        const link = page.getByRole('link', { name: 'Look at it' });
        id = digestSchema.parse((await link.getAttribute('href'))?.slice(-64));
        await fetchReceipt(`/v1/receipts/${id}`);
      });

      afterAll(() => page.context().close());

      test('are shown with their picture', async () => {
        await page.goto(`${server.url}/#/receipts/${id}`);
        await page.getByText(valid, { exact: true }).waitFor();
        const route = page.getByRole('list', { name: 'Route of the answer' });
        expect(await route.getByText('agreed on all').count()).toBe(2);
        expect(await page.getByRole('list', { name: 'Witnesses' }).getByText('saw it').count()).toBe(2);
        const model = page.getByRole('listitem').filter({ hasText: 'The manifest of the model at hand' });
        expect(await model.innerText()).toMatch(
          /passed\s+the manifest says the same of wren \(q4\)[^]*signed by the key in it/,
        );
        expect(await statuses(page)).toEqual({ passed: 19, 'not checked': 3 });
      });

      test('are repeated where they were asked, and by whoever has a link that opens them, and nothing is sent', async () => {
        await page.getByRole('button', { name: 'Repeat it here' }).click();
        await page.getByText('Every number of this answer is the same here.').waitFor();

        const url = new URL(openLink);
        const { page: other, context } = await networkOf().requester({}, `/${url.hash}`);
        const requests: string[] = [];
        other.on('request', (request) => requests.push(`${request.method()} ${request.url()}`));
        await other.getByText('This link shows the answer, and what was asked').waitFor();
        const button = other.getByRole('button', { name: 'Repeat it here' });
        await button.waitFor();
        expect(await statuses(other)).toEqual({ passed: 22 });
        await button.click();
        await other.getByText('Every number of this answer is the same here.').waitFor();
        expect(await other.getByText(`All ${maxNewTokens} tokens are those that the sampler draws here.`).count()).toBe(
          1,
        );
        const asked = new Set(requests.map((request) => request.replace(/[0-9a-f]{64}$/, '…')));
        expect(asked).toContain(`GET ${server.url}/blobs/…`);
        expect(requests.filter((request) => !request.startsWith('GET ') || /[?]|open=/.test(request))).toEqual([]);
        await context.close();
      });

      test('lead to where their model comes from', async () => {
        await page.getByRole('link', { name: 'wren', exact: true }).click();
        await page.getByRole('heading', { name: 'Where it comes from' }).waitFor();
        const provenance = page.getByRole('region', { name: 'Where it comes from' });
        const manifest = JSON.parse(await readFile(at('page-manifest.json'), 'utf8')) as { payload: string };
        const { source, licence } = manifestSchema.parse(
          JSON.parse(Buffer.from(manifest.payload, 'base64').toString()),
        );
        const text = await provenance.innerText();
        expect(text).toContain(source.root);
        expect(text).toMatch(new RegExp(`Licence\\s+${licence}`));
        expect(text).toContain('The operator of this server, by the key that signed the manifest too.');
        await page.getByText('What its publisher says of it').click();
        await page.getByText('# Wren').waitFor();
      });

      test('are found by model, verdict and day, which the address says', async () => {
        await page.goto(`${server.url}/#/receipts`);
        const own = page.locator(`a[href="#/receipts/${id}"]`);
        await own.waitFor();
        const filters = page.getByRole('group', { name: 'Which receipts' });
        await filters.getByLabel('Model').selectOption({ label: 'wren' });
        await filters.getByLabel('Verdict').selectOption('disputed');
        await page.getByText(/^None of the \d+ entries of the log is a receipt like this\.$/).waitFor();
        await filters.getByLabel('Verdict').selectOption('checked');
        await own.waitFor();
        expect(page.url()).toMatch(/#\/receipts\?model=[0-9a-f]{64}&tier=checked$/);

        const finished = await page.locator('tr', { has: own }).locator('time').getAttribute('datetime');
        const [day, next] = await page.evaluate(
          (time) => [0, 1].map((days) => new Date(Date.parse(time!) + days * 86_400_000).toLocaleDateString('sv')),
          finished,
        );
        await filters.getByLabel('From').fill(next!);
        await page.getByText('is a receipt like this.').waitFor();
        await filters.getByLabel('From').fill(day!);
        await filters.getByLabel('To').fill(day!);
        await own.waitFor();

        const { page: other, context } = await networkOf().requester({}, `/${new URL(page.url()).hash}`);
        await other.locator(`a[href="#/receipts/${id}"]`).waitFor();
        const same = other.getByRole('group', { name: 'Which receipts' });
        expect(await same.getByLabel('To').inputValue()).toBe(day);
        expect(await same.getByLabel('Verdict').inputValue()).toBe('checked');
        await other.getByRole('button', { name: 'Show all' }).click();
        await other.locator('tbody tr').nth(1).waitFor();
        expect(other.url()).toMatch(/#\/receipts$/);
        await context.close();
      });

      test('are verified by a stranger’s page without a network', async () => {
        const { page: other, context } = await networkOf().requester({}, '/#/verify');
        await other.getByText('It works without a network from now on.').waitFor();
        await context.setOffline(true);
        const requests: string[] = [];
        other.on('request', (request) => requests.push(`${request.method()} ${request.url()}`));

        const files = ['page-receipt.json', 'page-answer.txt', 'page-secrets.json'];
        await drop(other, ['page-manifest.json', ...files, 'policy.txt']);
        await other.getByText(valid, { exact: true }).waitFor();
        expect(await statuses(other)).toEqual({ passed: 22 });

        await writeFile(at('page-other.txt'), changed(await readFile(at('page-answer.txt'), 'utf8')));
        await drop(other, ['page-other.txt']);
        await other.getByText('This is not the answer that the receipt is about', { exact: true }).waitFor();
        expect(await statuses(other)).toEqual({ passed: 21, failed: 1 });

        // The page asks for the number of volunteers now and then, whatever it shows.
        expect(requests.filter((request) => request !== `GET ${server.url}/api/network`)).toEqual([]);
        await context.close();
      });
    });

    /** How many checks the page shows with which outcome. */
    async function statuses(page: Page): Promise<Record<string, number>> {
      const counts: Record<string, number> = {};
      const all = await page.locator('.groups .status').allInnerTexts();
      for (const status of all) counts[status] = (counts[status] ?? 0) + 1;
      return counts;
    }

    async function drop(page: Page, names: readonly string[]): Promise<void> {
      const files = await Promise.all(names.map(async (name) => ({ name, text: await readFile(at(name), 'utf8') })));
      const dataTransfer = await page.evaluateHandle((given) => {
        const transfer = new DataTransfer();
        for (const { name, text } of given) transfer.items.add(new File([text], name));
        return transfer;
      }, files);
      await page.getByText('Nothing is uploaded').dispatchEvent('drop', { dataTransfer });
    }
  });
}
