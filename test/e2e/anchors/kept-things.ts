import { afterAll, describe, expect, test } from 'vitest';
import { finishedAnswer, sendQuestion, type TestNetwork } from '../../support/network.ts';
import type { Tab } from '../../support/tabs.ts';
import { pressStart } from '../../support/volunteer-tab.ts';

/** A browser that denies the page whatever it could keep, as one told to block all cookies does. */
function denyStorage(): void {
  const deny = (): never => {
    throw new DOMException('Access is denied for this document.', 'SecurityError');
  };
  for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, { get: deny });
  IDBFactory.prototype.open = deny;
  LockManager.prototype.request = () => Promise.reject(new DOMException('Access is denied.', 'SecurityError'));
}

/** Waits until the tab serves; the result is what its page says then. */
async function served(tab: Tab): Promise<string> {
  await tab.page.locator('.control[data-phase=serving]').waitFor();
  return tab.page.locator('#app').innerText();
}

/** Writes zeros over every other piece that the browser keeps, under its right name, as a failing disk does. */
function spoilPieces(): Promise<number> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open('chorus-blobs');
    opening.onerror = () => reject(new Error('no database'));
    opening.onsuccess = () => {
      const writing = opening.result.transaction('pieces', 'readwrite');
      const pieces = writing.objectStore('pieces');
      let [seen, spoilt] = [0, 0];
      pieces.openCursor().onsuccess = ({ target }) => {
        const cursor = (target as IDBRequest<IDBCursorWithValue | null>).result;
        if (cursor === null) return;
        const piece = cursor.value as { bytes: Blob };
        if (seen++ % 2 === 0) {
          spoilt++;
          cursor.update({ ...piece, bytes: new Blob([new Uint8Array(piece.bytes.size)]) });
        }
        cursor.continue();
      };
      writing.oncomplete = () => {
        opening.result.close();
        resolve(spoilt);
      };
    };
  });
}

export function describeKeptThings(networkOf: () => TestNetwork): void {
  describe('what a browser keeps is a wish and a cache', () => {
    afterAll(() => networkOf().empty());

    test('a browser that keeps nothing asks and lends, and says once that nothing is kept', async () => {
      const network = networkOf();
      const tab = await network.requester({ script: denyStorage });
      const faults: string[] = [];
      tab.page.on('pageerror', ({ message }) => faults.push(message));
      await sendQuestion(tab, 'What is the capital of France?');
      expect(await finishedAnswer(tab)).not.toBe('');
      const told = tab.page.getByText('This browser keeps nothing for this page');
      await told.waitFor();
      await tab.page.getByRole('button', { name: 'Understood' }).click();
      await tab.page.goto(`${network.server.url}/#/volunteer`);
      await pressStart(tab);
      await served(tab);
      expect([await told.count(), faults]).toEqual([0, []]);
      await tab.context.close();
    });

    test('kept weights that were damaged are fetched anew, and nothing is computed with them', async () => {
      const network = networkOf();
      const tab = await network.volunteer();
      await tab.page.getByRole('button', { name: 'Stop' }).click();
      const spoilt = await tab.page.evaluate(spoilPieces);
      expect(spoilt).toBeGreaterThan(0);
      let fetched = 0;
      tab.page.on('response', (response) => {
        if (response.url().includes('/blobs/')) fetched++;
      });
      await pressStart(tab);
      expect(await served(tab)).toMatch(/\d+ parts? of a model that this device had kept .* damaged/);
      expect(fetched).toBe(spoilt);
      await tab.context.close();
    });

    test('code that is gone: the page offers to reload, and keeps the question over it', async () => {
      const tab = await networkOf().requester();
      const { page } = tab;
      await page.route(/\/assets\/(join|network-chat)-/, (route) => route.fulfill({ status: 404, body: 'gone' }));
      await sendQuestion(tab, 'What is the capital of France?');
      await page.getByRole('status').filter({ hasText: 'A part of this page could not be loaded' }).waitFor();
      expect(await page.locator('main').innerText()).not.toContain('dynamically imported module');
      await page.getByRole('button', { name: 'Reload' }).click();
      await expect.poll(() => page.getByLabel('Your question').inputValue()).toBe('What is the capital of France?');
      await tab.context.close();
    });

    test('a compute thread, or its runtime, that is gone after an update is told in words', async () => {
      const network = networkOf();
      const { page, context } = await network.requester({}, '/#/volunteer');
      const failed = page.locator('.control[data-phase=failed]');
      const start = page.getByRole('button', { name: 'Start', exact: true });
      await page.route(/\.wasm\.gz$/, (route) => route.fulfill({ contentType: 'text/html', body: '<h1>Gone</h1>' }));
      await start.click();
      await failed.waitFor();
      await page.getByRole('status').filter({ hasText: 'A part of this page could not be loaded' }).waitFor();
      expect(await page.locator('main').innerText()).not.toMatch(/magic word|CompileError/);
      await page.reload();
      // The server has another build by now.
      const own = await (await fetch(network.server.url)).text();
      const body = own.replace(/\/assets\/index-/, '/assets/index-new-');
      await page.route(/\/$/, (route) => route.fulfill({ contentType: 'text/html', body }));
      await page.route(/\/assets\/main-[^/]*\.js$/, (route) => route.fulfill({ status: 404, body: 'gone' }));
      await start.click();
      await failed.waitFor();
      await page.getByText('Chorus was updated while this page was open').waitFor();
      expect(await page.locator('.control').innerText()).toContain('The part of this page that computes has ended');
      await context.close();
    });
  });
}
