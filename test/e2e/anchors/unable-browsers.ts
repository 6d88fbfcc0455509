import { expect, describe, beforeAll, afterAll, test } from 'vitest';
import { PLAIN_HOST, type TestNetwork } from '../../support/network.ts';
import type { Tab } from '../../support/tabs.ts';

/** A browser whose WebCrypto has no Ed25519, as some had until 2025. */
function withoutEd25519(): void {
  for (const name of ['importKey', 'generateKey', 'sign', 'verify'] as const) {
    const real = SubtleCrypto.prototype[name] as (...given: unknown[]) => Promise<unknown>;
    Object.assign(SubtleCrypto.prototype, {
      [name](this: SubtleCrypto, ...given: unknown[]) {
        const isIt = given.some((one) => one === 'Ed25519' || (one as { name?: unknown } | null)?.name === 'Ed25519');
        if (isIt) return Promise.reject(new DOMException('Unrecognized name.', 'NotSupportedError'));
        return real.apply(this, given);
      },
    });
  }
}

export function describeUnableBrowsers(networkOf: () => TestNetwork): void {
  describe('a browser that makes no keys', () => {
    let addresses: readonly (readonly [string, RegExp])[];
    let plainUrl: string;
    beforeAll(async () => {
      const { server, snapshot } = networkOf();
      plainUrl = server.url.replace('127.0.0.1', PLAIN_HOST).replace('localhost', PLAIN_HOST);
      const body = JSON.stringify({
        model: 'wren',
        temperature: 0,
        max_tokens: 8,
        messages: [{ role: 'user', content: 'Hi' }],
      });
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`${server.url}/v1/chat/completions`, { method: 'POST', headers, body });
      const { chorus } = (await response.json()) as { chorus: { receipt: { id: string } } };
      const { models } = await snapshot();
      addresses = [
        [`receipts/${chorus.receipt.id}`, /Checked, on the word of those who signed it/],
        ['log', /The log is the one that this browser knows|sees the log for the first time/],
        [`models/${models[0]!.digest}`, /Its manifest/],
      ];
    });
    afterAll(() => networkOf().empty());

    async function look({ page }: Tab, base: string): Promise<void> {
      for (const [address, found] of addresses) {
        await page.goto('about:blank');
        await page.goto(`${base}/#/${address}`);
        await page.getByText(found).first().waitFor();
        expect(await page.locator('.notice.danger').count(), address).toBe(0);
      }
    }

    test('verifies receipts, the log and models all the same over plain http, and says what it cannot do', async () => {
      const tab = await networkOf().requester({}, '/healthz');
      await look(tab, plainUrl);
      await tab.page.goto(`${plainUrl}/#/`);
      await tab.page.getByText('This page came over plain http').waitFor();
      await tab.context.close();
    });

    test('verifies them where WebCrypto has no Ed25519', async () => {
      const tab = await networkOf().requester({ script: withoutEd25519 }, '/healthz');
      await look(tab, networkOf().server.url);
      await tab.context.close();
    });
  });
}
