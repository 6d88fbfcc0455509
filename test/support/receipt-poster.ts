import { once } from 'node:events';
import { readFileSync, writeSync } from 'node:fs';
import { fromBase64 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { receiptId } from '#shared/receipt/read-receipt.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { openDesk } from './desk-stand.ts';

/**
 * A process that gives receipts to a desk until it is killed: `FOLDER RECEIPTS SERVER_KEY TIME CLIENTS`, and on standard
 * input the first receipt to give, at which it begins. Each line on standard output has left the process when it is written:
 * `begin`, then `ack ID` for every receipt that was acknowledged.
 */
const [folder, path, serverKey, wallMs, clients] = process.argv.slice(2) as [string, string, string, string, string];
const say = (line: string): void => void writeSync(1, `${line}\n`);

const files = JSON.parse(readFileSync(path, 'utf8')) as ReceiptFile[];
// A first run is slow: it is over before anything begins.
for (const receipt of files.slice(0, 5)) await verifyReceipt({ receipt, verify });
const [first] = (await once(process.stdin, 'data')) as [Buffer];
const { desk } = await openDesk(folder, fromBase64(serverKey), Number(wallMs));
say('begin');
let next = Number(first.toString());

async function give(): Promise<void> {
  for (;;) {
    // Given again and again, once there are no more.
    const file = files[next++ % files.length]!;
    await desk.accept(file.envelope);
    say(`ack ${receiptId(file)}`);
  }
}
await Promise.all(Array.from({ length: Number(clients) }, give));
