import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { receiptEntry } from '#shared/receipt/receipt-entry.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { addressOf, runWitness, serveLog, type ServedLog } from '../support/log-stand.ts';
import { giveAnswer, makePeople, makeReceipt } from '../support/receipts.ts';
import { figure, type Figure } from './figures.ts';
import { PUBLIC_URL } from './log.ts';
import { startPageServer } from './page-server.ts';
import type * as pageModule from './page/receipt.ts';

/** The files of a verifier, as it can be handed to a page. */
export interface VerifiedReceipt {
  readonly receipt: unknown;
  readonly answer: string;
  readonly prompt: string;
  readonly salt: readonly number[];
  readonly tokens: readonly number[];
  readonly policy: string;
}

const WITNESSES = ['witness.example/one', 'witness.example/two'] as const;
const COSIGNATURES_MS = 60_000;
const TIMES = 200;

export type GivenReceipt = Omit<VerifiedReceipt, 'receipt' | 'policy'> & { readonly receipt: ReceiptFile };

/** Of an answer by two stages that were both checked. */
export async function giveReceipt(): Promise<GivenReceipt> {
  const given = await giveAnswer(await makePeople());
  const { answer, prompt, tokens, salt } = given;
  return { receipt: await makeReceipt(given), answer, prompt, tokens, salt: [...salt] };
}

export const entryOf = ({ receipt }: GivenReceipt): Uint8Array<ArrayBuffer> => receiptEntry(receipt);

/**
 * A whole receipt that is entry 0 of the log in a data folder, which two witnesses cosign: its size, and how long it takes
 * to verify all of it, by a policy that asks for both witnesses, here and in a page.
 */
export async function measureReceipt(given: GivenReceipt, dataFolder: string, browser: Browser): Promise<Figure[]> {
  const unseen = await serveLog(dataFolder, { publicUrl: PUBLIC_URL });
  const witnesses = await Promise.all(
    WITNESSES.map((name, i) => runWitness(unseen.url, join(dataFolder, `witness-${i}`), name)),
  );
  await unseen.stop();
  const log = await serveLog(dataFolder, { publicUrl: PUBLIC_URL, witnesses: witnesses.map(addressOf) });
  try {
    const proof = await log.service.prove(0, COSIGNATURES_MS);
    const verified = { ...given, receipt: { ...given.receipt, proof }, policy: policyOf(log, witnesses) };
    return [
      figure('receipt: the whole file', 'bytes', [Buffer.byteLength(JSON.stringify(verified.receipt))]),
      figure('receipt: its proof, with 2 witnesses', 'bytes', [Buffer.byteLength(proof)]),
      ...timeFigures('receipt: verifying it', await timeHere(verified)),
      ...timeFigures('receipt: verifying it in a page', await timeInPage(log.url, browser, verified)),
    ];
  } finally {
    await log.stop();
    for (const witness of witnesses) await witness.stop();
  }
}

/** On a machine with other work the quickest say best what it costs. */
function timeFigures(name: string, [first = NaN, ...later]: readonly number[]): Figure[] {
  const quickest = [...later].sort((a, b) => a - b).slice(0, later.length / 5);
  return [
    figure(`${name}, the first time`, 'ms', [first]),
    figure(name, 'ms', later),
    figure(`${name}, the quickest fifth`, 'ms', quickest),
  ];
}

function policyOf({ service }: ServedLog, witnesses: readonly { readonly verifierKey: string }[]): string {
  const lines = [
    `log ${service.verifierKey}`,
    ...witnesses.map(({ verifierKey }, i) => `witness w${i} ${verifierKey}`),
    'group both all w0 w1',
    'quorum both',
  ];
  return `${lines.join('\n')}\n`;
}

async function timeHere({ salt, ...verified }: VerifiedReceipt): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < TIMES; i++) {
    const startedMs = performance.now();
    const { checks } = await verifyReceipt({ ...verified, salt: Uint8Array.from(salt), verify });
    times.push(performance.now() - startedMs);
    const open = checks.find(({ name, status }) => status !== 'passed' && name !== 'model');
    if (open !== undefined) throw new Error(`${open.name}: ${open.detail}`);
  }
  return times;
}

async function timeInPage(serverUrl: URL, browser: Browser, verified: VerifiedReceipt): Promise<readonly number[]> {
  const pages = await startPageServer(serverUrl.href, ['test/bench/page/receipt.ts']);
  try {
    const page = await browser.newPage();
    await page.goto(pages.url);
    return await page.evaluate(
      async ([given, times]) => {
        const measure = '/test/bench/page/receipt.ts';
        const { timeVerification } = (await import(measure)) as typeof pageModule;
        return timeVerification(given, times);
      },
      [verified, TIMES] as const,
    );
  } finally {
    await pages.stop();
  }
}
