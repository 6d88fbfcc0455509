import type { Identity } from '#shared/crypto/identity.ts';
import { buildReceipt, signReceipt } from '#shared/receipt/build/build-receipt.ts';
import type { SessionId } from '#shared/ids.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { openLogService, type LogService } from '../../signal-server/log/log-service.ts';
import { parseConfig } from '../../signal-server/machine/config.ts';
import { ReceiptDesk } from '../../signal-server/receipts/receipt-desk.ts';
import { openSqliteStore } from '../../signal-server/store/sqlite/sqlite-store.ts';
import type { Store } from '../../signal-server/store/store.ts';
import { realClock } from './real-clock.ts';
import { giveAnswer, type GivenAnswer } from './receipts.ts';

export interface OpenDesk {
  readonly desk: ReceiptDesk;
  readonly log: LogService;
  readonly store: Store;
  close(): Promise<void>;
}

/** The desk of a server with this data folder, recovered, at one time and without limits on the number of receipts. */
export async function openDesk(
  dataFolder: string,
  serverKey: Identity['publicKey'],
  wallMs: number,
): Promise<OpenDesk> {
  const store = await openSqliteStore(dataFolder);
  const fail = (error: unknown): never => {
    throw error;
  };
  const log = await openLogService({
    ...{ dataFolder, origin: 'log.example/chorus', publicUrl: null, witnesses: [] },
    acknowledged: store.acknowledged,
    clock: realClock,
    onError: fail,
    onDoubt: fail,
  });
  const desk = new ReceiptDesk({
    clock: { ...realClock, wallMs: () => wallMs },
    log,
    store: store.receipts,
    catalog: { get: () => undefined },
    serverKey,
    isGateway: () => false,
    config: parseConfig({ limits: { receiptsPerSession: 1_000_000, receiptsPerRequesterPerMinute: 1_000_000 } }),
    onAccepted: () => undefined,
    onRefused: fail,
  });
  await desk.recover();
  return {
    desk,
    log,
    store,
    async close() {
      await log.stop();
      await store.close();
    },
  };
}

/** Receipts of one answer that was given in as many sessions. */
export async function makeReceipts({ people }: GivenAnswer, count: number): Promise<ReceiptFile[]> {
  const files: ReceiptFile[] = [];
  for (let i = 0; i < count; i++) {
    const { parts } = await giveAnswer(people, { session: i.toString(16).padStart(32, '0') as SessionId });
    files.push(await signReceipt(await buildReceipt(parts), people.requester));
  }
  return files;
}
