import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { makeReceipts, openDesk, type OpenDesk } from '../support/desk-stand.ts';
import { giveAnswer, ISSUED_AT_MS, makePeople } from '../support/receipts.ts';
import { figure, type Figure } from './figures.ts';

/** Receipts that wait for their acknowledgement at the same time. */
const CLIENTS = 64;
const ALONE = 20;

/**
 * The desk of a new data folder, below HTTP: how many receipts it acknowledges, verified, in the log and with a proof, and
 * how many could be verified meanwhile if that were all.
 */
export async function measureDesk(dataFolder: string, receipts: number): Promise<Figure[]> {
  const people = await makePeople();
  const files = await makeReceipts(await giveAnswer(people), receipts + ALONE);
  const open = await openDesk(dataFolder, people.server.publicKey, ISSUED_AT_MS + 20_000);
  try {
    const alone = await timeAlone(open, files.splice(0, ALONE));
    const verified = await perSecond(files, async (receipt) => {
      const { isValid } = await verifyReceipt({ receipt, verify, stopsAtFailure: true });
      if (!isValid) throw new Error('a receipt that is made to hold does not');
    });
    const accepted = await perSecond(files, ({ envelope }) => open.desk.accept(envelope));
    return [
      figure(`desk: receipts acknowledged, ${CLIENTS} at once`, 'receipts/s', [accepted]),
      figure(`desk: the same receipts verified only, ${CLIENTS} at once`, 'receipts/s', [verified]),
      figure('desk: one receipt alone', 'ms', alone),
    ];
  } finally {
    await open.close();
  }
}

async function timeAlone({ desk }: OpenDesk, files: readonly ReceiptFile[]): Promise<number[]> {
  const times: number[] = [];
  for (const { envelope } of files) {
    const startedMs = performance.now();
    await desk.accept(envelope);
    times.push(performance.now() - startedMs);
  }
  return times;
}

async function perSecond(
  files: readonly ReceiptFile[],
  take: (file: ReceiptFile) => Promise<unknown>,
): Promise<number> {
  let next = 0;
  const takeAll = async (): Promise<void> => {
    for (let file = files[next++]; file !== undefined; file = files[next++]) await take(file);
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: CLIENTS }, takeAll));
  return (1_000 * files.length) / (performance.now() - startedMs);
}
