import { afterEach, expect, it, vi } from 'vitest';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { buildReceipt, signReceipt } from '#shared/receipt/build/build-receipt.ts';
import { receiptId } from '#shared/receipt/read-receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { logStatusSchema } from '#shared/wire/log-status.ts';
import { openDataFolder } from '../../../signal-server/machine/data-folder.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { newFolder, removeFolder, runWitness } from '../../support/log-stand.ts';
import { giveAnswer, ISSUED_AT_MS, makePeople } from '../../support/receipts.ts';
import { startTestServer } from '../../support/signal-server.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

it('a receipt that is fetched has the cosignatures that came since', { timeout: 60_000 }, async () => {
  const [folder, witnessFolder] = [await newFolder(), await newFolder()];
  cleanups.push(
    () => removeFolder(folder),
    () => removeFolder(witnessFolder),
  );
  const { serverIdentity } = await openDataFolder(folder);
  const people = { ...(await makePeople()), server: serverIdentity };
  const { parts, answer } = await giveAnswer(people);
  const file = await signReceipt(await buildReceipt(parts), people.requester);
  const options = { folder, clock: new FakeClock(ISSUED_AT_MS + 20_000) };

  // A witness learns the log's key from the log, so it begins before the log is told of it.
  const first = await startTestServer(options);
  const before = await runWitness(new URL(first.url), witnessFolder, 'witness.example');
  const { verifierKey, port } = before;
  await before.stop();
  const body = JSON.stringify({ envelope: file.envelope });
  const headers = { 'content-type': 'application/json' };
  expect((await fetch(`${first.url}/api/receipts`, { method: 'POST', headers, body })).status).toBe(200);
  const witness = await runWitness(new URL(first.url), witnessFolder, 'witness.example', port);
  cleanups.push(() => witness.stop());
  await first.stop();

  const config = { witnesses: [`${verifierKey} http://127.0.0.1:${port}`] };
  const server = await startTestServer({ ...options, config });
  cleanups.push(() => server.stop());
  const policy = [`log ${server.transparencyLog.verifierKey}`, `witness w ${verifierKey}`, 'quorum w', ''].join('\n');
  await vi.waitFor(
    async () => {
      const receipt: unknown = await (await fetch(`${server.url}/v1/receipts/${receiptId(file)}`)).json();
      const { checks } = await verifyReceipt({ receipt, verify, policy, answer });
      expect(checks.filter(({ status }) => status === 'failed')).toEqual([]);
      expect(checks.find(({ name }) => name === 'witnesses')).toMatchObject({ status: 'passed' });
    },
    { timeout: 20_000, interval: 100 },
  );
  const status = logStatusSchema.parse(await (await fetch(`${server.url}/api/log`)).json());
  expect(status.witnesses).toMatchObject([{ name: 'witness.example', vkey: verifierKey, size: 1, error: null }]);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toContain('chorus_log_witness_lag_entries{witness="witness.example"} 0');
});
