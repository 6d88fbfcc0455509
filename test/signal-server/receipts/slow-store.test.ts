import { expect, it } from 'vitest';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import { ReceiptDesk } from '../../../signal-server/receipts/receipt-desk.ts';
import type { ReceiptStore } from '../../../signal-server/store/receipt-store.ts';
import { makeReceipts, openDesk } from '../../support/desk-stand.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';
import { realClock } from '../../support/real-clock.ts';
import { giveAnswer, ISSUED_AT_MS, makePeople } from '../../support/receipts.ts';

it('a receipt that comes twice is entered once, also where the second is looked for until the first is in', async () => {
  const [people, folder] = [await makePeople(), await newFolder()];
  const [file] = await makeReceipts(await giveAnswer(people), 1);
  const wallMs = (): number => ISSUED_AT_MS + 20_000;
  const { log, store, close } = await openDesk(folder, people.server.publicKey, wallMs());
  let isFirst = true;
  let first: Promise<unknown> = Promise.resolve();
  const get: ReceiptStore['get'] = async (...key) => {
    const found = store.receipts.get(...key);
    if (!isFirst) await first;
    isFirst = false;
    return found;
  };
  const desk = new ReceiptDesk({
    clock: { ...realClock, wallMs },
    log,
    store: { ...store.receipts, get },
    catalog: { get: () => undefined },
    serverKey: people.server.publicKey,
    isGateway: () => false,
    config: parseConfig({}),
    onAccepted: () => undefined,
    onRefused: () => undefined,
  });
  first = desk.accept(file!.envelope);
  expect(await desk.accept(file!.envelope)).toEqual(await first);
  expect(log.status.size).toBe(1);
  await close();
  await removeFolder(folder);
});
